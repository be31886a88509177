package monitor

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// Status is the JSON of /api/status: a contract, to which fields may be added. Counts are since the process started.
type Status struct {
	Time     time.Time `json:"time"`
	Started  time.Time `json:"started"`
	Group    string    `json:"group"`
	Draining bool      `json:"draining"`
	Ready    Health    `json:"ready"`
	Healthy  Health    `json:"healthy"`

	Totals     Totals            `json:"totals"`
	Lanes      []LaneStatus      `json:"lanes"`      // by transactional id
	Partitions []PartitionStatus `json:"partitions"` // those of the process, in order
	Lag        LagStatus         `json:"lag"`
	History    []Sample          `json:"history"` // the last five minutes, oldest first
}

// Totals are the counts of all lanes.
type Totals struct {
	Begun           int64               `json:"begun"`
	Committed       int64               `json:"committed"`
	Aborted         map[eos.Cause]int64 `json:"aborted"`  // by cause, without those of which there is none
	InDoubt         map[string]int64    `json:"in_doubt"` // by outcome: committed, aborted, unknown
	RecordsIn       int64               `json:"records_in"`
	RecordsOut      int64               `json:"records_out"`
	BytesIn         int64               `json:"in_bytes"`
	BytesOut        int64               `json:"out_bytes"`
	Skipped         int64               `json:"skipped"`
	DeadLettered    int64               `json:"dead_lettered"`
	Rebalances      int64               `json:"rebalances"`
	ClientsReplaced int64               `json:"clients_replaced"`
}

// LaneStatus is one lane.
type LaneStatus struct {
	TransactionalID string     `json:"transactional_id"`
	State           string     `json:"state"`
	Since           time.Time  `json:"since"` // when it came into the state
	Txn             uint64     `json:"txn"`   // of its session, counted from 1
	ProducerID      int64      `json:"producer"`
	ProducerEpoch   int16      `json:"epoch"`
	Partitions      int        `json:"partitions"`
	Committed       int64      `json:"committed"`
	Aborted         int64      `json:"aborted"`
	LastCommit      *time.Time `json:"last_commit"` // null: none yet
	Failure         string     `json:"failure"`     // why it has stopped for good; empty: it has not
}

// PartitionStatus is one input partition. Its figures are -1 until the brokers have told them.
type PartitionStatus struct {
	Topic            string `json:"topic"`
	Partition        int32  `json:"partition"`
	TransactionalID  string `json:"transactional_id"` // of the lane that has it
	Committed        int64  `json:"committed_offset"`
	LastStableOffset int64  `json:"last_stable_offset"`
	HighWatermark    int64  `json:"high_watermark"`
	StableLag        int64  `json:"last_stable_offset_lag"`
	HighLag          int64  `json:"high_watermark_lag"`
}

// LagStatus says how good the figures of the partitions are.
type LagStatus struct {
	Time  *time.Time `json:"time"`  // when the brokers last told them; null: never
	Error string     `json:"error"` // why not since; empty: nothing is wrong
}

// Status returns what is known now.
func (m *Monitor) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	s := &m.state
	st := Status{
		Time: now, Started: s.started, Group: s.group, Draining: s.draining,
		Ready: s.ready(now), Healthy: s.healthy(),
		Totals: totals(s.total()), Lanes: []LaneStatus{}, Partitions: s.partitionStatuses(),
		Lag: LagStatus{Time: orNil(s.lag.at), Error: s.lag.err}, History: slices.Clone(s.history.samples),
	}
	if st.History == nil {
		st.History = []Sample{}
	}
	if m.given != nil {
		given := m.given.Stats()
		st.Totals.Skipped, st.Totals.DeadLettered = given.Skipped, given.DeadLetters
	}
	for _, l := range s.sorted() {
		st.Lanes = append(st.Lanes, l.status())
	}
	return st
}

func totals(c counts) Totals {
	t := Totals{
		Begun: c.begun, Committed: c.committed, Aborted: c.aborted, InDoubt: map[string]int64{},
		RecordsIn: c.in, RecordsOut: c.out, BytesIn: c.bytesIn, BytesOut: c.bytesOut,
		Rebalances: c.rebalances, ClientsReplaced: c.replaced,
	}
	for _, o := range []eos.Outcome{eos.Committed, eos.Aborted, eos.Unknown} {
		t.InDoubt[o.String()] = c.resolved[o]
	}
	return t
}

func (l *lane) status() LaneStatus {
	return LaneStatus{
		TransactionalID: l.id, State: l.state.String(), Since: l.since, Txn: l.txn, ProducerID: l.producerID, ProducerEpoch: l.epoch,
		Partitions: len(l.partitions), Committed: l.committed, Aborted: l.allAborted(), LastCommit: orNil(l.lastCommit), Failure: l.failure,
	}
}

func (s *state) partitionStatuses() []PartitionStatus {
	owners := s.owners()
	all := make([]PartitionStatus, 0, len(owners))
	for _, p := range slices.SortedFunc(maps.Keys(owners), offsets.Partition.Compare) {
		st := PartitionStatus{
			Topic: p.Topic, Partition: p.Number, TransactionalID: owners[p],
			Committed: -1, LastStableOffset: -1, HighWatermark: -1, StableLag: -1, HighLag: -1,
		}
		if of, ok := s.lag.of[p]; ok {
			st.Committed, st.LastStableOffset, st.HighWatermark = of.committed, of.stable, of.high
			st.StableLag, st.HighLag = of.toStable(), of.toHigh()
		}
		all = append(all, st)
	}
	return all
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func partitionLabel(p offsets.Partition) string { return strconv.Itoa(int(p.Number)) }
