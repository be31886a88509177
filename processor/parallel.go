package processor

import (
	"context"
	"hash/maphash"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// parallel takes records through the stages by several goroutines. Those of one key go through one of them, and so do those of one
// partition that have no key: so they keep their order. What is made of them stands in the order of the input.
func (w way[In, Out]) parallel(ctx context.Context, in []*kgo.Record) (Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	shares := share(in, min(w.opts.Parallel, len(in)))
	results := make([]Result, len(in)) // of each record
	var wg sync.WaitGroup
	for _, mine := range shares {
		wg.Go(func() {
			for _, i := range mine {
				if ctx.Err() != nil {
					return
				}
				if err := w.one(ctx, in[i], &results[i]); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return Result{}, err
	}
	all := newResult(len(in))
	for _, one := range results {
		all.merge(one)
	}
	return all, nil
}

// merge appends what was made of later records.
func (res *Result) merge(later Result) {
	res.Records = append(res.Records, later.Records...)
	res.sources = append(res.sources, later.sources...)
	res.GivenUp = append(res.GivenUp, later.GivenUp...)
	res.Skipped += later.Skipped
	res.DeadLetters += later.DeadLetters
	res.Retries += later.Retries
}

var seed = maphash.MakeSeed()

// share divides the indexes of the records among n.
func share(in []*kgo.Record, n int) [][]int {
	shares := make([][]int, n)
	for i, r := range in {
		var h uint64
		if r.Key != nil {
			h = maphash.Bytes(seed, r.Key)
		} else {
			h = maphash.Comparable(seed, placeOf(r).partition)
		}
		mine := h % uint64(n)
		shares[mine] = append(shares[mine], i)
	}
	return shares
}
