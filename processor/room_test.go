package processor_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/processor/processortest"
)

// fanOut makes 100 records of one, and of the record "7" more than there is room for at all.
func fanOut(_ context.Context, in processor.Record[string]) (outs []processor.Record[string], _ error) {
	size := 1000
	if in.Value == "7" {
		size = 100_000
	}
	for range 100 {
		outs = append(outs, processor.With(in, in.Value+strings.Repeat(".", size)))
	}
	return outs, nil
}

// However a pipe handles them, a batch whose outputs are more than there is room for is divided until there is: no transaction has more
// outputs than that. A record whose own outputs are more becomes a dead letter, as it came; all others are there once.
func TestRunBoundsOutputs(t *testing.T) {
	one := processor.Pipe[string, string]{Source: double.Source, Sink: double.Sink, Handle: processor.Each(fanOut)}
	together := one
	together.Handle = processor.Batches(func(ctx context.Context, in []processor.Record[string]) (outs []processor.Record[string], _ error) {
		for _, r := range in {
			more, _ := fanOut(ctx, r)
			outs = append(outs, more...)
		}
		return outs, nil
	})
	for name, c := range map[string]struct {
		pipe     processor.Pipe[string, string]
		parallel int
	}{"one by one": {one, 1}, "in parallel": {one, 4}, "as batches": {together, 1}} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.produce(80)
			cfg := b.config()
			cfg.Parallel = c.parallel
			cfg.DeadLetterTopic, cfg.Errors.Policy = "dead", processor.DeadLetterOnError
			cfg.BufferMemory = 1 << 20
			var largest atomic.Int64
			cfg.Observer.Session = eos.Observer{Transaction: func(txn eos.Transaction) { largest.Store(max(largest.Load(), int64(txn.OutBytes))) }}
			var count processor.Counter
			p, err := processor.New(counted(cfg, &count), c.pipe)
			require.NoError(t, err)
			require.NoError(t, p.Run(t.Context()))
			require.LessOrEqual(t, largest.Load(), int64(1<<20))
			require.EqualValues(t, 1, count.Stats().DeadLetters)
			require.EqualValues(t, 79*100+1, count.Stats().Out)
			require.Equal(t, map[int32][]string{0: {"7"}}, b.values("dead", 1))
			seen := map[string]int{}
			for _, values := range b.values("out", 7900) {
				for _, v := range values {
					seen[strings.TrimRight(v, ".")]++
				}
			}
			require.Len(t, seen, 79)
			for v, times := range seen {
				require.Equal(t, 100, times, v)
			}
		})
	}
}

// Without a policy such a record stops the processor, and the error names the record and the bound.
func TestRecordWithTooManyOutputs(t *testing.T) {
	pipe := double
	pipe.Handle = processor.Each(fanOut)
	_, err := processortest.Run(t.Context(), processor.Config{BufferMemory: 1 << 20}, pipe, inputs("7")...)
	var failed *processor.RecordError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, "too-large", failed.Class())
	require.ErrorContains(t, err, "more than the 1048576 bytes of BufferMemory (--buffer-memory)")
	_, err = processortest.Run(t.Context(), processor.Config{BufferMemory: 1 << 20}, pipe, inputs("7", "8")...)
	require.ErrorContains(t, err, "the outputs of the batch are more than there is room for")
	_, err = processortest.Run(t.Context(), processor.Config{}, pipe, inputs("7", "8")...)
	require.NoError(t, err)
}
