package eos_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// assignments keeps the newest assignment of each session.
type assignments struct {
	mu      sync.Mutex
	changed chan struct{}
	newest  map[string][]offsets.Partition
}

func (a *assignments) note(as eos.Assignment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.newest[as.TransactionalID] = as.Partitions
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// await waits until the sessions have so many partitions, in the order of their ids.
func (a *assignments) await(t *testing.T, want ...int) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		a.mu.Lock()
		var got []int
		for _, id := range []string{"g-a-0", "g-a-1", "g-a-2", "g-a-3"}[:len(want)] {
			if parts, ok := a.newest[id]; ok {
				got = append(got, len(parts))
			}
		}
		a.mu.Unlock()
		slices.Sort(got)
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-a.changed:
		case <-deadline:
			t.Fatalf("the sessions have %v partitions, not %v", got, want)
		}
	}
}

// The observer is told of all that a session has after each rebalance: one session has all partitions; with a second one both have
// some; and one that gets none, as there are more members than partitions, is told that too.
func TestObserverIsToldAssignments(t *testing.T) {
	b := setup(t)
	a := &assignments{changed: make(chan struct{}, 1), newest: map[string][]offsets.Partition{}}
	open := func(id string) {
		cfg := b.config()
		cfg.TransactionalID, cfg.Observer.Assigned = id, a.note
		s := b.open(cfg)
		polling := make(chan struct{})
		go func() {
			defer close(polling)
			for {
				if _, err := s.Poll(t.Context()); err != nil {
					return
				}
			}
		}()
		t.Cleanup(func() { <-polling })
	}
	open("g-a-0")
	a.await(t, 3)
	require.Equal(t, "[in-0 in-1 in-2]", fmt.Sprint(a.newest["g-a-0"]))
	open("g-a-1")
	a.await(t, 1, 2)
	open("g-a-2")
	a.await(t, 1, 1, 1)
	open("g-a-3")
	a.await(t, 0, 1, 1, 1)
}

// An observer with another is both, in order, wherever either is set.
func TestObserverWith(t *testing.T) {
	var told []string
	first := eos.Observer{Transition: func(eos.Transition) { told = append(told, "1") }, Assigned: func(eos.Assignment) { told = append(told, "a") }}
	second := eos.Observer{Transition: func(eos.Transition) { told = append(told, "2") }, Transaction: func(eos.Transaction) { told = append(told, "t") }}
	both := first.With(second)
	both.Transition(eos.Transition{})
	both.Transaction(eos.Transaction{})
	both.Assigned(eos.Assignment{})
	require.Equal(t, []string{"1", "2", "t", "a"}, told)
	require.Nil(t, eos.Observer{}.With(eos.Observer{}).Transaction)
}

// A transaction tells the bytes of what was polled and of what was produced.
func TestObserverIsToldBytes(t *testing.T) {
	b := setup(t)
	b.produce(10)
	var in, out, bytesIn, bytesOut int
	cfg := b.config()
	cfg.Observer.Transaction = func(tr eos.Transaction) {
		in, out, bytesIn, bytesOut = in+tr.In, out+tr.Out, bytesIn+tr.Bytes, bytesOut+tr.OutBytes
	}
	require.Empty(t, run(t, b.open(cfg), 10))
	require.Equal(t, []int{10, 10, 10, 10}, []int{in, out, bytesIn, bytesOut})
}
