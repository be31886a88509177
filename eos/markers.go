package eos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// A transaction ends with a marker in each of its partitions, which the coordinator makes the leaders write after EndTxn is answered.
// A partition that has no leader at that moment gets none: the coordinator treats it as deleted and completes the transaction
// without it (Kafka's TransactionMarkerChannelManager.addTxnMarkersToBrokerQueue; seen on 4.3.1 whenever a lone broker is
// killed between the two). The records of the transaction hang there until the next marker of the same producer decides them
// together with the next transaction: an abort loses what was committed, a commit brings back what was aborted.
//
// So a session remembers where the markers of its last transactions are due. They are known to be there as long as the
// connections live over which the transaction was written, because a partition that loses its last replica loses its broker.
// When the client connects again, it waits for them first (gate). If they do not come, the client is discarded, and a
// transaction without records, of the same partitions and the same outcome, writes them (repeatMarkers).

// markersPatience is how long markers may take before they count as forgotten. They take milliseconds; but the last stable offset
// also waits for transactions of others that began before them.
const markersPatience = 2 * time.Second

// errMarkers is the cause when a client is discarded because markers are missing.
var errMarkers = fmt.Errorf("%w: the brokers have not written all markers of the transaction before; they are written again", errDiscarded)

// dueMarker is the marker that a transaction needs in a partition.
type dueMarker struct {
	commit bool
	last   int64 // the offset of its last record there; unknownOffset if an answer was lost
	// behind is set when an aborted transaction may have written records after last: its answers were lost, or nothing was sent.
	behind bool
}

const unknownOffset = math.MaxInt64

// dueMarkers are the markers of decided transactions that have not been seen. Many goroutines may use it at once.
type dueMarkers struct {
	check sync.Mutex // one check at a time

	mu      sync.Mutex
	outputs map[offsets.Partition]dueMarker
	inputs  offsets.Set // the offsets of the last transaction that sent offsets; nil: no marker for them is due
	commit  bool        // whether that transaction was committed
	ends    uint64      // how many transactions have ended: an answer from before the newest end says nothing about it
}

// committed notes the markers of a transaction that has just been committed.
func (d *dueMarkers) committed(outputs map[offsets.Partition]int64, inputs offsets.Set) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.outputs == nil {
		d.outputs = map[offsets.Partition]dueMarker{}
	}
	for p, last := range outputs {
		d.outputs[p] = dueMarker{commit: true, last: last}
	}
	d.inputs, d.commit = inputs, true
	d.ends++
}

// aborted notes the markers of a transaction that has just been aborted. inputs is nil if its offsets were not sent.
// Where it is not certain that anything of it was written, what was due there stays due.
func (d *dueMarkers) aborted(outputs map[offsets.Partition]int64, inputs offsets.Set) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.outputs == nil {
		d.outputs = map[offsets.Partition]dueMarker{}
	}
	for p, last := range outputs {
		before, due := d.outputs[p]
		if due && last == unknownOffset {
			before.behind = true
			d.outputs[p] = before
			continue
		}
		d.outputs[p] = dueMarker{last: last}
	}
	if len(d.inputs) == 0 {
		d.inputs, d.commit = inputs, false
	}
	d.ends++
}

// dueNow is what is due at one time.
type dueNow struct {
	outputs map[offsets.Partition]dueMarker
	inputs  offsets.Set
	commit  bool
	ends    uint64
}

// snapshot returns what is due now.
func (d *dueMarkers) snapshot() dueNow {
	d.mu.Lock()
	defer d.mu.Unlock()
	return dueNow{outputs: maps.Clone(d.outputs), inputs: d.inputs, commit: d.commit, ends: d.ends}
}

func (d *dueMarkers) any() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.outputs) > 0 || len(d.inputs) > 0
}

// seen removes a partition's marker from the due ones; if records may follow it, the marker of their abort is due now. It removes
// nothing if a transaction has ended since asked: the marker that was seen may be that of the transaction before.
func (d *dueMarkers) seen(p offsets.Partition, asked dueNow) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ends != asked.ends {
		return
	}
	if d.outputs[p].behind {
		d.outputs[p] = dueMarker{last: unknownOffset}
		return
	}
	delete(d.outputs, p)
}

// inputsSeen removes the marker in the group's offsets from the due ones. pending says that offsets of a later transaction are
// there, which can only be an aborted one. Like seen, it removes nothing if a transaction has ended since.
func (d *dueMarkers) inputsSeen(pending bool, asked dueNow) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ends != asked.ends {
		return
	}
	if pending {
		d.commit = false
		return
	}
	d.inputs = nil
}

// written removes the markers that have been written again from the due ones.
func (d *dueMarkers) written(outputs []offsets.Partition, inputs bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range outputs {
		delete(d.outputs, p)
	}
	if inputs {
		d.inputs = nil
	}
}

// gate is a kgo hook: no request goes over a new connection before the due markers are seen. kgo calls it when a
// connection is made and before it is used.
type gate struct {
	s *Session
	c *client
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (g gate) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, conn net.Conn, err error) {
	if err != nil || !g.s.due.any() {
		return
	}
	if g.s.awaitMarkers(g.c.life, markersPatience) != nil {
		g.c.discard(errMarkers) // wakes the session's call that waits for this client, which then replaces it
		_ = conn.Close()        // the next write fails, and kgo connects again
	}
}

// awaitMarkers returns nil as soon as all due markers are there. When patience is over or ctx ends, it returns why they are not. It
// asks once if patience is 0.
func (s *Session) awaitMarkers(ctx context.Context, patience time.Duration) error {
	s.due.check.Lock()
	defer s.due.check.Unlock()
	began, allowed := time.Now(), patience
	each := cluster.Retry{First: 5 * time.Millisecond, Longest: 100 * time.Millisecond}
	each.IsFinal = func(error) bool { return time.Since(began) >= allowed }
	return each.Until(ctx, func(ctx context.Context) error {
		for s.due.any() {
			missing, err := s.lookForMarkers(ctx)
			if allowed = patience; err != nil && patience > 0 {
				allowed = askTimeout // a leader or coordinator is about to move
			}
			if err != nil || missing != "" {
				return errors.Join(err, fmt.Errorf("no marker is seen in: %s", missing))
			}
		}
		return nil
	})
}

// lookForMarkers asks the brokers once and removes the markers that it sees from the due ones; missing names the others. A
// partition's marker is there when its last stable offset is after the transaction's last record; the one in the group's offsets
// is there when they are stable. An error means that not all brokers could be asked.
func (s *Session) lookForMarkers(ctx context.Context) (missing string, err error) {
	bounded, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	asked := s.due.snapshot()
	var left []string
	if len(asked.outputs) > 0 {
		stable, ends, err := s.listEnds(bounded, asked.outputs)
		if err != nil {
			return "", err
		}
		for p, e := range asked.outputs {
			last := e.last
			if last == unknownOffset {
				last = ends[p] - 1
			}
			if at, exists := stable[p]; exists && at <= last {
				left = append(left, p.String())
				continue
			}
			s.due.seen(p, asked) // also if the topic is gone
		}
	}
	if len(asked.inputs) > 0 {
		at, err := s.lookForOffsets(bounded, asked)
		if err != nil {
			return "", err
		}
		left = append(left, at...)
	}
	return strings.Join(left, ", "), nil
}

// lookForOffsets looks for the marker in the group's offsets: they are stable when it is there. If they are not stable although
// the committed offsets are there, a later transaction hangs.
func (s *Session) lookForOffsets(ctx context.Context, asked dueNow) (missing []string, err error) {
	_, err = s.fetchOffsets(ctx, s.ask.Stable, asked.inputs)
	if !errors.Is(err, kerr.UnstableOffsetCommit) {
		if err == nil {
			s.due.inputsSeen(false, asked)
		}
		return nil, err
	}
	if asked.commit {
		now, err := s.fetchOffsets(ctx, s.ask.Committed, asked.inputs)
		if err != nil {
			return nil, err
		}
		if now.Covers(asked.inputs) {
			s.due.inputsSeen(true, asked)
		}
	}
	return []string{"the offsets of group " + s.cfg.Group}, nil
}

// listEnds returns the last stable offsets and the ends of these partitions; those of topics that are gone are not there.
func (s *Session) listEnds(ctx context.Context, of map[offsets.Partition]dueMarker) (stable, ends map[offsets.Partition]int64, err error) {
	seen := map[string]bool{}
	var topics []string
	for p := range of {
		if !seen[p.Topic] {
			seen[p.Topic] = true
			topics = append(topics, p.Topic)
		}
	}
	list := func(list func(context.Context, ...string) (cluster.Offsets, error)) (map[offsets.Partition]int64, error) {
		listed, err := list(ctx, topics...)
		if err != nil {
			return nil, fmt.Errorf("list last stable offsets: %w", err)
		}
		got := map[offsets.Partition]int64{}
		for p := range of {
			o, ok := listed[p]
			if !ok || errors.Is(o.Err, kerr.UnknownTopicOrPartition) {
				continue
			}
			if o.Err != nil {
				return nil, fmt.Errorf("list the last stable offset of %s: %w", p, o.Err)
			}
			got[p] = o.Offset
		}
		return got, nil
	}
	if ends, err = list(s.ask.Ends); err == nil { // the ends first: the records of a transaction that is open now are before them
		stable, err = list(s.ask.LastStable)
	}
	return stable, ends, err
}
