package model

import (
	"slices"

	"github.com/eos-pipe/eos-pipe/trace"
)

// This file mirrors org.apache.kafka.coordinator.transaction.TransactionMetadata, TransactionState and the parts of
// TransactionCoordinator and TransactionStateManager that are not a request (KIP-98, KIP-360, KIP-588, KIP-890).
//
// Simplifications: one coordinator leads all of __transaction_state, and a write to it succeeds at once. So a request and its
// PREPARE record are one step; markers and the COMPLETE record are steps of their own ([Step]).

// TxnState is the state of a transactional id. The numbers are Kafka's.
type TxnState int8

// The states. PrepareEpochFence is never visible here: it lasts for a part of one step.
const (
	Empty TxnState = iota
	Ongoing
	PrepareCommit
	PrepareAbort
	CompleteCommit
	CompleteAbort
	Dead
	PrepareEpochFence

	noState TxnState = -1
)

// String gives Kafka's name of the state.
func (s TxnState) String() string {
	if s == noState {
		return "none"
	}
	return [...]string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence"}[s]
}

func (s TxnState) isPrepare() bool { return s == PrepareCommit || s == PrepareAbort }

func (s TxnState) isIdle() bool { return s == Empty || s == CompleteCommit || s == CompleteAbort }

// lastClientEpoch is the highest epoch that a client is given.
const lastClientEpoch = 32766

// Txn is what the coordinator knows of a transactional id.
type Txn struct {
	ID             string
	ProducerID     int64
	PrevProducerID int64 // that of the state before; it differs only right after a rotation
	NextProducerID int64 // taken for after the end of this transaction, when the epochs are exhausted; -1: none
	Epoch          int16 // -1: none was given yet
	LastEpoch      int16 // the one before, for retries; -1: none, and always after a reload
	TimeoutMs      int32
	State          TxnState
	Pending        TxnState          // what a write under way will make of it; while it is there, requests have to come again
	Partitions     []trace.Partition // sorted; while a transaction ends, those whose marker is not written
	StartMs        int64             // when the first partition was added; -1: no transaction since the last InitProducerId
	UpdateMs       int64             // last change of state
	Protocol       int8              // transaction version of the last request that changed it: 0 or 2

	prepared []trace.Partition // while a transaction ends: the partitions as its record in the log has them
	refused  []trace.Partition // those whose leaders refused the marker for good
}

func (t *Txn) clone() *Txn {
	c := *t
	c.Partitions, c.prepared, c.refused = slices.Clone(t.Partitions), slices.Clone(t.prepared), slices.Clone(t.refused)
	return &c
}

func (t *Txn) isExhausted() bool { return t.Epoch >= lastClientEpoch }

func (t *Txn) isPending(r *Rules) bool { return t.Pending != noState && !r.has(BugPendingIgnored) }

func (t *Txn) isOf(producerID int64, r *Rules) bool {
	return t.ProducerID == producerID || r.has(BugProducerIDUnchecked)
}

// transit notes what every change of state changes.
func (t *Txn) transit(to TxnState, nowMs int64) {
	t.PrevProducerID, t.State, t.UpdateMs = t.ProducerID, to, nowMs
}

func (t *Txn) contains(p trace.Partition) bool {
	_, ok := slices.BinarySearchFunc(t.Partitions, p, trace.Partition.Compare)
	return ok
}

func (t *Txn) add(p trace.Partition) {
	if i, ok := slices.BinarySearchFunc(t.Partitions, p, trace.Partition.Compare); !ok {
		t.Partitions = slices.Insert(t.Partitions, i, p)
	}
}

func (t *Txn) remove(p trace.Partition) {
	if i, ok := slices.BinarySearchFunc(t.Partitions, p, trace.Partition.Compare); ok {
		t.Partitions = slices.Delete(t.Partitions, i, i+1)
	}
}

// prepare begins the end of the transaction (TransactionMetadata.prepareAbortOrCommit). next is a new producer id, or -1.
func (t *Txn) prepare(to TxnState, protocol int8, next, nowMs int64, r *Rules) {
	if t.State != Ongoing {
		t.StartMs = nowMs // a TV2 abort of nothing
	}
	if protocol >= 2 && !r.has(BugEndWithoutBump) {
		t.LastEpoch = t.Epoch
		t.Epoch = int16(min(int32(t.Epoch)+1, maxMarkerEpoch))
	}
	t.transit(to, nowMs)
	t.NextProducerID, t.Protocol = next, protocol
	t.prepared, t.refused = slices.Clone(t.Partitions), nil
	t.Pending = completionOf(to)
}

func completionOf(prepare TxnState) TxnState {
	if prepare == PrepareCommit {
		return CompleteCommit
	}
	return CompleteAbort
}

func prepareOf(commit bool) TxnState {
	if commit {
		return PrepareCommit
	}
	return PrepareAbort
}

// complete ends the end of the transaction (TransactionMetadata.prepareComplete).
func (t *Txn) complete(nowMs int64) {
	t.transit(t.Pending, nowMs)
	t.Pending = noState
	if t.Protocol >= 2 && t.NextProducerID != -1 {
		t.ProducerID, t.Epoch = t.NextProducerID, 0
	}
	t.NextProducerID = -1
	t.Partitions, t.prepared, t.refused = nil, nil, nil
}

// marker is what is written into the partitions of an ending transaction.
func (t *Txn) marker(coordinatorEpoch int32) Marker {
	return Marker{
		ProducerID: t.ProducerID, Epoch: t.Epoch, IsCommit: t.State == PrepareCommit, CoordinatorEpoch: coordinatorEpoch, Protocol: t.Protocol,
	}
}

// fence aborts an open transaction on behalf of the coordinator, because a producer starts anew or time is up. The epoch is
// raised, so that the old producer is refused from now on; the producer gets the epoch behind that.
func (c *coordinator) fence(t *Txn, nowMs int64, r *Rules) {
	if r.bumpsOnAbort() {
		t.prepare(PrepareAbort, 2, c.nextIDIfExhausted(t, r), nowMs, r)
		return
	}
	t.Epoch = int16(min(int32(t.Epoch)+1, maxMarkerEpoch))
	t.LastEpoch = -1
	t.prepare(PrepareAbort, 0, -1, nowMs, r)
}

// coordinator is the transaction coordinator.
type coordinator struct {
	txns  []*Txn // in the order in which their ids came
	index map[string]*Txn
	ids   IDs
	epoch int32 // leader epoch of __transaction_state
}

func (c *coordinator) clone() coordinator {
	d := coordinator{index: make(map[string]*Txn, len(c.txns)), ids: c.ids, epoch: c.epoch}
	for _, t := range c.txns {
		d.put(t.clone())
	}
	return d
}

func (c *coordinator) put(t *Txn) {
	c.txns = append(c.txns, t)
	c.index[t.ID] = t
}

func (c *coordinator) remove(t *Txn) {
	delete(c.index, t.ID)
	c.txns = slices.DeleteFunc(c.txns, func(u *Txn) bool { return u == t })
}

func (c *coordinator) nextIDIfExhausted(t *Txn, r *Rules) int64 {
	if t.isExhausted() && !r.has(BugEpochOverflow) {
		return c.ids.Next()
	}
	return -1
}

// reload is a new coordinator with a higher epoch that reads the log of the old one: LastEpoch is not in it, and markers of
// ending transactions are written again, to all partitions of the PREPARE record.
func (c *coordinator) reload(r *Rules) {
	c.epoch++
	for _, t := range c.txns {
		t.LastEpoch = -1
		t.refused = nil
		if t.State.isPrepare() {
			t.Partitions = slices.Clone(t.prepared)
			if r.has(BugReloadForgets) {
				t.Partitions = nil
			}
		}
	}
}
