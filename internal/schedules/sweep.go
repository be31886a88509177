package schedules

import (
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
)

// Errors is no family of random faults but the table of errors: seed n is its n-th cell, one API of one session answered once
// with one error, which the broker gives before it does anything.
const Errors Focus = "errors"

// The rows and columns of the table. DUPLICATE_SEQUENCE_NUMBER is not in it: it says that the records are there. Some errors are no answer of Kafka's to some of these APIs; what a session does then is no
// worse for it.
var (
	sweptAPIs = []kmsg.Key{
		kmsg.InitProducerID, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.OffsetFetch, kmsg.ListOffsets, kmsg.OffsetCommit, kmsg.Fetch, kmsg.Heartbeat,
		kmsg.AddPartitionsToTxn, kmsg.Produce, kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit, kmsg.EndTxn, kmsg.ConsumerGroupHeartbeat,
	}
	sweptCodes = []*kerr.Error{
		kerr.UnknownServerError, kerr.OffsetOutOfRange, kerr.CorruptMessage, kerr.UnknownTopicOrPartition, kerr.LeaderNotAvailable,
		kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.MessageTooLarge, kerr.NetworkException, kerr.CoordinatorLoadInProgress,
		kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.RecordListTooLarge, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend,
		kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.RebalanceInProgress, kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed,
		kerr.ClusterAuthorizationFailed, kerr.InvalidTimestamp, kerr.UnsupportedVersion, kerr.PolicyViolation, kerr.OutOfOrderSequenceNumber,
		kerr.InvalidRequest, kerr.InvalidProducerEpoch, kerr.InvalidTxnState, kerr.InvalidProducerIDMapping, kerr.ConcurrentTransactions,
		kerr.TransactionalIDAuthorizationFailed, kerr.OperationNotAttempted, kerr.KafkaStorageError, kerr.UnknownProducerID, kerr.FencedLeaderEpoch,
		kerr.UnknownLeaderEpoch, kerr.StaleMemberEpoch, kerr.FencedInstanceID, kerr.InvalidRecord, kerr.UnstableOffsetCommit, kerr.ProducerFenced,
		kerr.UnknownTopicID, kerr.TransactionAbortable, kerr.FencedMemberEpoch, kerr.UnreleasedInstanceID, kerr.UnsupportedAssignor,
		kerr.GroupIDNotFound, kerr.OffsetMetadataTooLarge, kerr.GroupMaxSizeReached,
	}
)

// Cells is how many cells the table of errors has.
func Cells() int { return len(sweptAPIs) * len(sweptCodes) }

// cell returns the API and the error of a seed.
func cell(seed uint64) (kmsg.Key, *kerr.Error) {
	n := int(seed-1) % Cells()
	return sweptAPIs[n/len(sweptCodes)], sweptCodes[n%len(sweptCodes)]
}

// sweep is the plan of a cell: one session, an input that comes while it works, and one error. Requests that are sent while it works are
// hit in the middle of it, the others at the start.
func sweep(seed uint64) Plan {
	api, code := cell(seed)
	at := 2 * time.Second
	if slices.Contains([]kmsg.Key{kmsg.InitProducerID, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.OffsetFetch, kmsg.ListOffsets, kmsg.OffsetCommit}, api) {
		at = 0
	}
	return Plan{
		Seed: seed, Focus: Errors, Members: 1, Inputs: 2, Outputs: 2, Brokers: 2, Records: 180, Chunks: 8, Batch: 40, Window: 8 * time.Second,
		Old:      api == kmsg.AddPartitionsToTxn || api == kmsg.AddOffsetsToTxn,
		Consumer: api == kmsg.ConsumerGroupHeartbeat,
		Events:   []Event{{At: at, Kind: kind{refusal, api, code}, Count: 1, For: 1}},
	}
}

const replaces = "replaces the client"

// did notes what a session did about a fault, by the states that it went through.
func (w *world) did(t eos.Transition) {
	if what := map[eos.State]string{eos.Aborting: "aborts", eos.Replacing: replaces}[t.To]; what != "" {
		w.didSo(what)
	}
}

func (w *world) didSo(what string) {
	if w.isHealed() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Contains(w.result.Did, what) {
		w.result.Did = append(w.result.Did, what)
		slices.Sort(w.result.Did)
	}
}

// Action is what the session of a cell did, in words.
func (r Result) Action() string {
	if len(r.Did) == 0 {
		return "continues"
	}
	return strings.Join(r.Did, ", ")
}
