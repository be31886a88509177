package differential

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/internal/broker/script/generate"
	"github.com/eos-pipe/eos-pipe/internal/broker/wire"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// historyWorkers run at the same time: most of a history is waiting for markers.
const historyWorkers = 4

// maxDivergent histories are shrunk and shown; then it is enough.
const maxDivergent = 5

// runHistories asks random histories of the broker and of the model, and compares every answer. EOS_TEST_HISTORIES says how many
// on each cluster (200), EOS_TEST_SEED the first seed (1). A history that diverges is shrunk and printed as a script.
func (b *modelBench) runHistories(t *testing.T) {
	count, first := number(t, "EOS_TEST_HISTORIES", 200), number(t, "EOS_TEST_SEED", 1)
	var next, requests, divergent atomic.Uint64
	var workers sync.WaitGroup
	began := time.Now()
	for range historyWorkers {
		workers.Go(func() {
			for divergent.Load() < maxDivergent {
				i := next.Add(1) - 1
				if i >= count {
					return
				}
				n, fault := b.compareHistory(t, first+i)
				requests.Add(uint64(n))
				if fault != "" {
					divergent.Add(1)
					t.Error(fault)
				}
			}
		})
	}
	workers.Wait()
	took := time.Since(began)
	if divergent.Load() > 0 {
		t.Logf("what Kafka is known for:\n%v", wire.KnownDivergences())
	}
	t.Logf("%d histories, %d requests, %v, %.0f requests per second, %d divergences", min(next.Load(), count), requests.Load(),
		took.Round(time.Millisecond), float64(requests.Load())/took.Seconds(), divergent.Load())
}

func number(t *testing.T, variable string, or uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return or
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, variable)
	return n
}

func (b *modelBench) rules(t *testing.T) model.Rules {
	level := int16(2)
	if b.featureLevel != 0 {
		level = b.featureLevel
	}
	return bench.Rules(t, level)
}

// compareHistory returns how many requests the history has, and what is to be said if the broker and the model differ.
func (b *modelBench) compareHistory(t *testing.T, seed uint64) (requests int, fault string) {
	lines := generate.History(seed, b.rules(t))
	want := generate.Expect(b.rules(t), lines)
	got := b.askHistory(t, lines)
	at := generate.Diverge(want, got)
	if at < 0 {
		return len(lines), ""
	}
	first := fmt.Sprintf("%s\n  the model says %s\n  Kafka answers %s", lines[at], want[at:][:min(1, len(want)-at)], got[at:][:min(1, len(got)-at)])
	lines = generate.Shrink(lines, 300, func(shorter []string) bool {
		return generate.Diverge(generate.Expect(b.rules(t), shorter), b.askHistory(t, shorter)) >= 0
	})
	want, got = generate.Expect(b.rules(t), lines), b.askHistory(t, lines)
	return len(lines), fmt.Sprintf("the model and Kafka differ on the history of seed %d:\n%s\nto repeat it:\n"+
		"EOS_TEST_SEED=%d EOS_TEST_HISTORIES=1 EOS_TEST_KAFKA=%s go test ./integration/differential -run 'TestModelOnKafka/%s/histories' -count=1 -v\n"+
		"what is left of it:\n%s", seed, first, seed, os.Getenv("EOS_TEST_KAFKA"), b.name, script(lines, want, got))
}

// script prints a history as a block of a script, with what Kafka answered under each line where it differs.
func script(lines, want, got []string) string {
	var s strings.Builder
	s.WriteString("run\n" + strings.Join(lines, "\n") + "\n----\n")
	for i, answer := range want {
		s.WriteString(answer + "\n")
		if i < len(got) && got[i] != answer {
			s.WriteString("    Kafka: " + got[i] + "\n")
		}
	}
	return s.String()
}

func (b *modelBench) askHistory(t *testing.T, lines []string) []string {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := b.config(t)
	c.Name, c.IsHistory, c.Partitions = kafkatest.Name(t, "h"), true, generate.Partitions
	c.RaisesIDs = wire.Raises(lines)
	broker, err := wire.Open(ctx, c)
	if err != nil {
		return []string{err.Error()}
	}
	defer broker.Close()
	return generate.Ask(broker, c.Name, lines)
}
