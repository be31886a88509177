package processor

import "context"

// handle is the second stage: the handler's records, or its error once it has failed for good, and how often it was called. A panic of
// the handler is an error of the record.
func (p Pipe[In, Out]) handle(ctx context.Context, in Record[In], e Errors) (outs []Record[Out], calls int, err error) {
	if e.Retries == 0 && e.HandlerTimeout == 0 { // the usual case, without what the other one allocates
		outs, err = p.call(ctx, in)
		return outs, 1, err
	}
	calls, err = e.attempts(ctx, func(ctx context.Context) (err error) {
		outs, err = p.call(ctx, in)
		return err
	})
	return outs, calls, err
}

func (p Pipe[In, Out]) call(ctx context.Context, in Record[In]) (outs []Record[Out], err error) {
	defer recovered(&err)
	return p.Handle(ctx, in)
}

// callBatch is the same for the records of a batch.
func (p Pipe[In, Out]) callBatch(ctx context.Context, in []Record[In]) (outs []Record[Out], err error) {
	defer recovered(&err)
	return p.HandleBatch(ctx, in)
}
