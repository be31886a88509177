package processortest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/processor/processortest"
)

// words writes a record for each word, has no output for what is empty, and fails for what begins with "!".
var words = processor.Pipe[string, string]{
	Source: processor.From(processor.String(), "lines"), Handle: processor.Each(split), Sink: processor.To(processor.String(), "words"),
}

func split(_ context.Context, in processor.Record[string]) (outs []processor.Record[string], err error) {
	if strings.HasPrefix(in.Value, "!") {
		return nil, errors.New("no word")
	}
	for w := range strings.FieldsSeq(in.Value) {
		outs = append(outs, processor.With(in, w))
	}
	return outs, nil
}

func lines(n int) (rs []*kgo.Record) {
	for i := range n {
		r := kgo.StringRecord(strings.TrimSpace(strings.Repeat(fmt.Sprintf("w%d ", i), i%4)))
		r.Partition = int32(i)
		rs = append(rs, r)
	}
	return rs
}

// A handler that depends on nothing but its record survives: its outputs are there once, in the order of each
// partition, and the record that it cannot do is among the dead letters.
func TestReplay(t *testing.T) {
	input := lines(40)
	input[7].Value = []byte("! 7")
	res := processortest.Replay(t, words, processor.Errors{Policy: processor.DeadLetterOnError}, input...)
	var want, got []string
	for i, r := range input {
		if i != 7 {
			want = append(want, strings.Fields(string(r.Value))...)
		}
	}
	for _, r := range res.Outputs {
		got = append(got, r.Value)
	}
	require.ElementsMatch(t, want, got)
	require.Len(t, res.DeadLetters, 1)
	require.Equal(t, "! 7", string(res.DeadLetters[0].Value))
}

// A pipe whose source is a pattern is tested with a topic that stands for those that match.
func TestSourcePattern(t *testing.T) {
	pipe := words
	pipe.Source = processor.FromPattern(processor.String(), "lines-.*")
	require.Len(t, processortest.Replay(t, pipe, processor.Errors{}, lines(8)...).Outputs, 12)
	pipe.Handle = processor.Each(func(_ context.Context, in processor.Record[string]) ([]processor.Record[string], error) {
		return []processor.Record[string]{processor.With(in, in.Topic)}, nil
	})
	res, err := processortest.Run(t.Context(), processor.Config{}, pipe, kgo.StringRecord("a b"))
	require.NoError(t, err)
	require.Equal(t, processortest.SourceTopic, res.Outputs[0].Value)
}

// recorder is a testing.TB that notes failures.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	failed []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = append(r.failed, fmt.Sprintf(format, args...))
}

// A handler that remembers what it has seen, to drop duplicates by itself, loses records: it is called again for those
// of a transaction that was aborted, and drops them. Replay finds that.
func TestReplayFindsHandlersThatRemember(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	pipe := words
	pipe.Handle = processor.Each(func(ctx context.Context, in processor.Record[string]) ([]processor.Record[string], error) {
		mu.Lock()
		defer mu.Unlock()
		key := fmt.Sprint(in.Partition, in.Offset)
		if slices.Contains(seen, key) {
			return nil, nil
		}
		seen = append(seen, key)
		return split(ctx, in)
	})
	r := &recorder{TB: t}
	processortest.Replay(r, pipe, processor.Errors{}, lines(40)...)
	require.NotEmpty(t, r.failed)
	require.Contains(t, r.failed[0], "has 0 outputs; the handler made")
}
