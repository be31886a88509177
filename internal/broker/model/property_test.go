package model_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// A broker under any sequence of requests, steps, restarts and reloads keeps what readers and producers rely on; see check.
// A failure prints the seed: `go test ./internal/broker/model -run TestInvariants -rapid.seed=N`.
func TestInvariants(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(model.DefaultRules())
		h.broker.Partition(trace.Partition{Topic: topic, Number: 1}).IsLagging = true
		before := h.watermarks()
		for range rapid.IntRange(1, 60).Draw(t, "length") {
			if rapid.IntRange(0, 4).Draw(t, "else") > 0 {
				h.next(t)
			} else {
				h.moveOffsets(t)
			}
			after := h.watermarks()
			for i := range after {
				require.GreaterOrEqual(t, after[i], before[i], "no watermark, high or stable, ever goes back")
			}
			before = after
			for _, p := range h.broker.Partitions() {
				checkPartition(t, p, h.broker)
			}
		}
	})
}

// checkPartition holds what is true of a partition at any time.
func checkPartition(t *rapid.T, p *model.Partition, b *model.Broker) {
	rules := b.Rules()
	stable := p.LastStableOffset(&rules)
	require.True(t, p.LogStartOffset() <= stable || len(p.OpenTransactions()) > 0 || p.IsLagging, "only a log start within a batch of an open transaction is above it")
	require.LessOrEqual(t, stable, p.HighWatermark())
	require.LessOrEqual(t, p.HighWatermark(), p.LogEndOffset())
	open := map[int64]bool{}
	for _, e := range p.Producers() {
		if e.TxnFirstOffset >= 0 {
			open[e.ID] = true
			require.LessOrEqual(t, stable, max(e.TxnFirstOffset, p.LogStartOffset()), "the last stable offset does not pass an open transaction, unless its records are deleted")
		}
		require.LessOrEqual(t, len(e.Batches()), 5)
	}
	require.Len(t, p.OpenTransactions(), len(open), "one open transaction for each producer id at most")
	for _, id := range p.OpenTransactions() {
		require.True(t, open[id])
	}
	checkLog(t, p, b)
}

// checkLog goes through the log as a naive reader would: sequences without gaps within an epoch, markers whose epochs do not go
// back, and what is delivered is what is not transactional or followed by a COMMIT marker of its producer id.
func checkLog(t *rapid.T, p *model.Partition, b *model.Broker) {
	a := b.Fetch(model.FetchRequest{Partition: p.Name, Offset: p.LogStartOffset(), IsReadCommitted: true})
	all := b.Fetch(model.FetchRequest{Partition: p.Name, Offset: p.LogStartOffset()})
	epochs, sequences := map[int64]int16{}, map[trace.Producer]int32{}
	end := int64(-1)
	var committed []int64
	for i, batch := range all.Batches {
		producer := trace.Producer{ID: batch.ProducerID, Epoch: batch.Epoch}
		require.True(t, end == batch.BaseOffset || i == 0, "offsets without gaps")
		end = batch.LastOffset + 1
		if batch.Control != model.Data {
			require.GreaterOrEqual(t, batch.Epoch, epochs[batch.ProducerID], "marker epochs do not go back")
			epochs[batch.ProducerID] = batch.Epoch
			continue
		}
		if expected, isKnown := sequences[producer]; isKnown && batch.BaseSequence >= 0 && batch.Epoch >= 0 { // without an epoch any sequence goes
			require.Equal(t, expected, batch.BaseSequence, "sequences without gaps")
		}
		sequences[producer] = (batch.BaseSequence + int32(batch.LastOffset-batch.BaseOffset) + 1) & 0x7fffffff
		isReadable := batch.BaseOffset < a.LastStableOffset && a.LastStableOffset > p.LogStartOffset()
		if isReadable && (!batch.IsTransactional || isFollowedByCommit(all.Batches[i:])) {
			committed = append(committed, batch.BaseOffset)
		}
	}
	var delivered []int64
	for _, batch := range model.Delivered(a.Batches, a.Aborted) {
		delivered = append(delivered, batch.BaseOffset)
	}
	require.Equal(t, committed, delivered)
}

func isFollowedByCommit(batches []model.LogBatch) bool {
	for _, batch := range batches {
		if batch.ProducerID == batches[0].ProducerID && batch.Control != model.Data {
			return batch.Control == model.Commit
		}
	}
	return false
}

// A clone is independent of its original, and the model is deterministic: what is done to the original does not show in a clone,
// and the same requests done to the clone lead to the same state and the same answers.
func TestCloneIsIndependent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(model.DefaultRules())
		for range rapid.IntRange(0, 40).Draw(t, "before") {
			h.next(t)
		}
		clone := &history{broker: h.broker.Clone()}
		dump := clone.broker.Dump()
		require.Equal(t, h.broker.Dump(), dump)
		from := len(h.done)
		for range rapid.IntRange(1, 20).Draw(t, "after") {
			h.next(t)
		}
		require.Equal(t, dump, clone.broker.Dump(), "the clone has not changed")
		for i, op := range h.done[from:] {
			require.Equal(t, h.events[from+i], op(clone.broker))
		}
		require.Equal(t, h.broker.Dump(), clone.broker.Dump())
	})
}

// Hash and Dump tell the same states apart: along a history, a step changes both or neither.
func TestHashFollowsDump(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(model.DefaultRules())
		seen := map[string]uint64{h.broker.Dump(): h.broker.Hash()}
		hashes := map[uint64]string{h.broker.Hash(): h.broker.Dump()}
		for range rapid.IntRange(1, 60).Draw(t, "length") {
			h.next(t)
			dump, hash := h.broker.Dump(), h.broker.Hash()
			if before, ok := seen[dump]; ok {
				require.Equal(t, before, hash)
			}
			if before, ok := hashes[hash]; ok {
				require.Equal(t, before, dump)
			}
			seen[dump], hashes[hash] = hash, dump
		}
	})
}

// A repeat of a batch that was just appended is answered with its offset and changes nothing at all; so does one of the four
// before it. A refused batch changes nothing of log and producers.
func TestRepeatsChangeNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(model.DefaultRules())
		for range rapid.IntRange(1, 60).Draw(t, "length") {
			logs := h.logs()
			e, ok := h.next(t).(trace.Produce)
			if !ok {
				continue
			}
			if e.Code != trace.None {
				require.Equal(t, logs, h.logs(), "refused: %s", e)
				continue
			}
			dump := h.broker.Dump()
			require.Equal(t, e, opProduce(e)(h.broker))
			require.Equal(t, dump, h.broker.Dump(), "repeated: %s", e)
		}
	})
}

// Where every answer is seen, no other answer passes: a code or an offset that is changed in one event is found there, or by what
// follows at the latest.
func TestValidatorNoticesChangedAnswers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(model.DefaultRules())
		h.timeoutMs = 600_000 // else a transaction may or may not have timed out
		v := model.NewValidator(model.ValidatorConfig{Rules: model.DefaultRules(), HasSteps: true})
		for range rapid.IntRange(0, 40).Draw(t, "length") {
			v.Observe(h.next(t))
		}
		for range 20 {
			e := h.next(t)
			changed := change(t, e)
			if changed == nil {
				require.Empty(t, withoutSentTwice(v.Observe(e)))
				continue
			}
			findings := withoutSentTwice(v.Observe(changed))
			require.NotEmpty(t, findings, "%s\nafter %v", changed, h.events)
			require.True(t, findings[0].IsCertain)
			return
		}
	})
}

func withoutSentTwice(findings []model.Finding) []model.Finding {
	return slices.DeleteFunc(findings, func(f model.Finding) bool { return f.Class() == model.ClassSentTwice })
}

// change makes another answer of it; nil for events without one.
func change(t *rapid.T, e trace.Event) trace.Event {
	other := func(c trace.Code) trace.Code {
		if c != trace.None {
			return trace.None
		}
		return rapid.SampledFrom([]trace.Code{trace.InvalidTxnState, trace.ProducerFenced, trace.InvalidProducerEpoch, trace.OutOfOrderSequenceNumber}).Draw(t, "code")
	}
	switch e := e.(type) {
	case trace.Produce:
		if e.Code == trace.None && rapid.Bool().Draw(t, "offset") {
			e.BaseOffset++
		} else {
			e.Code, e.BaseOffset = other(e.Code), -1
		}
		return e
	case trace.InitProducerID:
		e.Code = other(e.Code)
		return e
	case trace.EndTxn:
		e.Code = other(e.Code)
		return e
	case trace.AddPartitions:
		e.Codes = []trace.Code{other(e.Codes[0])}
		return e
	case trace.Marker:
		if rapid.Bool().Draw(t, "kind") {
			e.Commit = !e.Commit
		} else {
			e.Producer.Epoch++
		}
		return e
	}
	return nil
}

// Whatever the model does, the validator finds nothing wrong with, whether or not it is shown what brokers do by themselves,
// and also when answers are missing, of requests that were carried out and of some that were not. (It may give up
// possibilities; it then says so.)
func TestValidatorAcceptsTheModel(t *testing.T) {
	t.Parallel()
	for name, hasSteps := range map[string]bool{"with steps": true, "without steps": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				h := newHistory(model.DefaultRules())
				h.losesReplies = true
				v := model.NewValidator(model.ValidatorConfig{Rules: model.DefaultRules(), HasSteps: hasSteps})
				for range rapid.IntRange(1, 40).Draw(t, "length") {
					e := h.next(t)
					if isStep := e.Kind() == "marker" || e.Kind() == "complete" || e.Kind() == "drop"; isStep && !hasSteps {
						continue
					}
					for _, f := range v.Observe(e) {
						isFalse := f.IsCertain && f.Class() != model.ClassSentTwice
						require.False(t, isFalse, "%s\nafter %v", f, h.events)
					}
				}
			})
		})
	}
}
