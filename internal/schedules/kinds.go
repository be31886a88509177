package schedules

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// act is what a fault does.
type act int

const (
	lostAnswer  act = iota // the broker did it, the member does not know
	lostRequest            // it never arrived
	lateAnswer
	lateRequest
	wrongAnswer // the broker did it, and the answer says that it cannot tell
	refusal     // the broker answers with an error, and has not done it
	cut         // all connections of a member, and no new ones for a while
	crash       // connections cut, the session abandoned, another one with the same ids after a while
	gone        // the same, and nobody comes back
	leave       // the session is closed in good order, and comes back after a while
	absent      // a member's JoinGroup is held up until its group has gone on without it, and what it had read is handed over afterwards
	stopped     // nothing of a member moves for longer than its timeouts, then it goes on
	twin        // a second session with the same ids while the first one runs
	slow        // the application hands over its records so slowly that the transaction times out
	failure     // the handler returns an error
	leaderMove
	coordinatorMove
	unlisted // fetches list no aborted transaction; all the time, in a part of the schedules
	deaf     // a client stops to fetch a partition, without a word, until its end; in a part of the schedules
)

// kind is one kind of fault. What it is called is what is counted: a kind that never fired fails the test.
type kind struct {
	act  act
	api  kmsg.Key    // of requests
	code *kerr.Error // of wrong answers and refusals
}

// String names the kind.
func (k kind) String() string {
	name := [...]string{
		"lost answer", "lost request", "late answer", "late request", "wrong answer", "refused", "connections cut", "crash", "gone for good",
		"leave and join", "joins too late", "stopped for long", "started twice", "slow transaction", "handler error", "leader moved", "coordinator moved", "aborted transactions not listed", "partition not fetched",
	}[k.act]
	if k.act > refusal {
		return name
	}
	name += ": " + k.api.Name()
	if k.code != nil {
		name += " " + k.code.Message
	}
	return name
}

// spread is how many requests may pass before the fault hits, so that it hits while there are some.
func (k kind) spread() int {
	switch k.api {
	case kmsg.Produce, kmsg.EndTxn, kmsg.TxnOffsetCommit, kmsg.Fetch, kmsg.Heartbeat, kmsg.ConsumerGroupHeartbeat:
		return 4
	default:
		return 1
	}
}

// drawTime draws how long the fault lasts.
func (k kind) drawTime(r *rand.Rand) time.Duration {
	ms := func(from, to int) time.Duration { return time.Duration(from+r.IntN(to-from)) * time.Millisecond }
	switch k.act {
	case lateAnswer, lateRequest:
		if r.IntN(4) == 0 {
			return ms(5000, 12000)
		}
		return ms(10, 2000)
	case cut, crash, leave:
		return ms(0, 4000)
	case absent, stopped:
		return ms(7000, 14000)
	default:
		return ms(0, 1000)
	}
}

// every are the APIs that a member uses in every schedule or nearly so, rare those that need some other fault first.
var (
	every = []kmsg.Key{
		kmsg.EndTxn, kmsg.Produce, kmsg.TxnOffsetCommit, kmsg.InitProducerID, kmsg.Fetch, kmsg.OffsetFetch, kmsg.JoinGroup, kmsg.SyncGroup,
		kmsg.Heartbeat, kmsg.FindCoordinator, kmsg.Metadata, kmsg.OffsetCommit, kmsg.ListOffsets, kmsg.ApiVersions, kmsg.LeaveGroup,
	}
	rare = []kmsg.Key{kmsg.DescribeGroups, kmsg.DescribeTransactions, kmsg.AddOffsetsToTxn, kmsg.AddPartitionsToTxn}
)

// wrong are answers that say nothing of whether the broker did what was asked. refused are those that say it did not. A broker
// never gives the latter after it did it, so they are not put into an answer but had from the broker itself.
var (
	wrong = map[kmsg.Key][]*kerr.Error{
		kmsg.EndTxn:          {kerr.UnknownServerError, kerr.RequestTimedOut, kerr.CoordinatorNotAvailable, kerr.NetworkException},
		kmsg.Produce:         {kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend, kerr.NetworkException, kerr.UnknownServerError},
		kmsg.TxnOffsetCommit: {kerr.RequestTimedOut, kerr.CoordinatorNotAvailable, kerr.UnknownServerError},
		kmsg.InitProducerID:  {kerr.CoordinatorNotAvailable, kerr.UnknownServerError},
		kmsg.OffsetCommit:    {kerr.RequestTimedOut},
	}
	refused = map[kmsg.Key][]*kerr.Error{
		kmsg.EndTxn: {
			kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.ConcurrentTransactions, kerr.InvalidTxnState, kerr.TransactionAbortable,
			kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.InvalidProducerIDMapping,
		},
		kmsg.Produce: {
			kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.MessageTooLarge, kerr.InvalidRecord, kerr.InvalidTxnState, kerr.TransactionAbortable,
			kerr.InvalidProducerEpoch, kerr.OutOfOrderSequenceNumber, kerr.KafkaStorageError, kerr.InvalidTimestamp,
		},
		kmsg.TxnOffsetCommit: {
			kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.TransactionAbortable,
			kerr.InvalidProducerEpoch, kerr.FencedInstanceID, kerr.RebalanceInProgress, kerr.StaleMemberEpoch, kerr.GroupIDNotFound,
		},
		kmsg.InitProducerID: {kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.ConcurrentTransactions},
		kmsg.Fetch:          {kerr.NotLeaderForPartition, kerr.UnknownLeaderEpoch, kerr.KafkaStorageError, kerr.OffsetNotAvailable, kerr.OffsetOutOfRange},
		kmsg.OffsetFetch:    {kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.UnstableOffsetCommit},
		kmsg.JoinGroup:      {kerr.NotCoordinator, kerr.UnknownMemberID, kerr.CoordinatorLoadInProgress},
		kmsg.SyncGroup:      {kerr.NotCoordinator, kerr.RebalanceInProgress, kerr.UnknownMemberID},
		kmsg.Heartbeat:      {kerr.NotCoordinator, kerr.RebalanceInProgress, kerr.UnknownMemberID, kerr.IllegalGeneration},
		kmsg.OffsetCommit:   {kerr.NotCoordinator, kerr.RebalanceInProgress},
		kmsg.ListOffsets:    {kerr.NotLeaderForPartition},
	}
)

// kinds are all kinds of faults, in a fixed order.
var kinds = allKinds()

func allKinds() (ks []kind) {
	for _, api := range slices.Concat(every, rare) {
		for _, a := range []act{lostAnswer, lostRequest, lateAnswer, lateRequest} {
			ks = append(ks, kind{act: a, api: api})
		}
		for _, code := range wrong[api] {
			ks = append(ks, kind{wrongAnswer, api, code})
		}
		for _, code := range refused[api] {
			ks = append(ks, kind{refusal, api, code})
		}
	}
	for a := cut; a <= coordinatorMove; a++ {
		ks = append(ks, kind{act: a})
	}
	return ks
}

// consumer returns what takes the place of a kind in the consumer protocol, which has one request for all that a member and its group say
// to each other.
func (k kind) consumer() kind {
	switch k.api {
	case kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.LeaveGroup:
		k.api = kmsg.ConsumerGroupHeartbeat
		if k.code == kerr.RebalanceInProgress || k.code == kerr.IllegalGeneration {
			k.code = kerr.FencedMemberEpoch
		}
	case kmsg.DescribeGroups:
		k.api = kmsg.ConsumerGroupDescribe
	case kmsg.TxnOffsetCommit, kmsg.OffsetCommit:
		if k.code == kerr.RebalanceInProgress {
			k.code = kerr.StaleMemberEpoch
		}
	default: // the same in both
	}
	if k.act == absent {
		k.act = stopped
	}
	return k
}

// kindsOf returns the kinds that a focus draws from. Those that are not about one API stand in the list of all several times:
// they are few, and what they do is most of what happens to a process. So do those of rare APIs, which are often not asked at all.
func kindsOf(focus Focus) (of []kind) {
	for _, k := range kinds {
		n := 0
		if focus == "" {
			n = 1
			switch {
			case k.act > refusal:
				n = 6
			case slices.Contains(rare, k.api):
				n = 2
			}
		} else if k.in(focus) {
			n = 1
		}
		for range n {
			of = append(of, k)
		}
	}
	return of
}

// in says whether a kind belongs to a focus.
func (k kind) in(focus Focus) bool {
	api := func(keys ...kmsg.Key) bool { return k.act <= refusal && slices.Contains(keys, k.api) }
	switch focus {
	case Ends:
		return api(kmsg.EndTxn, kmsg.TxnOffsetCommit) || k.act == slow
	case Produces:
		return api(kmsg.Produce) || k.act == leaderMove
	case Groups, Consumers:
		late := k.act == lateRequest && k.api == kmsg.TxnOffsetCommit // a zombie's, if late enough
		return late || api(kmsg.JoinGroup, kmsg.Heartbeat) || k.act == crash || k.act == gone || k.act == leave || k.act == stopped
	case Absences:
		return k.act == absent || k.act == crash || k.act == leave
	case Inputs:
		return api(kmsg.Fetch, kmsg.OffsetFetch, kmsg.ListOffsets, kmsg.OffsetCommit) || k.act == crash
	case Handlers:
		return k.act == failure || k.act == crash
	case Errors: // one fault a schedule, and none of these
	case Twins:
		return k.act == twin || k.act == crash || k.act == stopped
	}
	return false
}
