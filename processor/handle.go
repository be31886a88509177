package processor

import "context"

// handle is the second stage: the handler's records, or its error once it has failed for good, and how often the
// handler was called. A panic of the handler is an error of the record.
func (w *passage[In, Out]) handle(ctx context.Context, in Record[In]) (outs []Record[Out], calls int, err error) {
	e := w.cfg.Errors
	if e.Retries == 0 && e.HandlerTimeout == 0 { // the usual case, without the allocations of the other one
		outs, err = w.call(ctx, in)
		return outs, 1, err
	}
	calls, err = e.attempts(ctx, func(ctx context.Context) (err error) {
		outs, err = w.call(ctx, in)
		return err
	})
	return outs, calls, err
}

func (w *passage[In, Out]) call(ctx context.Context, in Record[In]) (outs []Record[Out], err error) {
	defer recovered(&err)
	return w.each(ctx, in)
}

// callBatch calls the batch handler. A panic is an error, as in call.
func (w *passage[In, Out]) callBatch(ctx context.Context, in []Record[In]) (outs []Record[Out], err error) {
	defer recovered(&err)
	return w.batches(ctx, in)
}
