package processor

import (
	"context"
	"hash/maphash"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// parallel takes records through the stages with several goroutines. One goroutine takes all records of a key, and one
// all records of a partition that have no key, so these keep their order. The outputs are in the order of the input.
func (w *passage[In, Out]) parallel(ctx context.Context, in []*kgo.Record) (made, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	shares := share(in, min(w.cfg.Parallel, len(in)))
	results := make([]made, len(in)) // of each record
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
		return made{}, err
	}
	all := newMade(len(in))
	for _, one := range results {
		all.merge(one)
	}
	return all, nil
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
