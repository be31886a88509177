package eos

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/internal/isolation"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// Session is a consumer group member and a transactional producer in one: the input that Poll hands out is marked as processed
// together with the outputs that Commit produces for it, or not at all.
//
// One goroutine at a time may call a Session; a second call that overlaps is refused with ErrMisuse.
type Session struct {
	// Written by Open before the first client is made, and only read afterwards, by any goroutine.

	cfg       Config
	plain     *kgo.Client     // asks the brokers outside of the group and the transaction; outlives the clients
	ask       *cluster.Client // asks with plain
	dial      dialFunc
	hooks     []kgo.Hook       // the user's; kgo calls them for everything but throttled fetches
	pattern   *regexp.Regexp   // nil: none
	limits    map[string]int32 // max.message.bytes of output topics, where it is known
	consumers bool             // the brokers know groups of the consumer protocol
	epochs    bool             // transaction.version 2 or higher: every transaction has a producer epoch of its own

	// Used by the session and by its client's goroutines at once; each has a lock of its own, or is atomic.

	inputs       inputs          // the input topics
	counts       partitionCounts // how many partitions the outputs have
	due          dueMarkers      // markers of the transactions that have ended; see markers.go
	decompressor *decompressor
	fetch        *fetchSize
	throttles    *throttles
	watch        watchdog
	saidRetry    limiter

	busy atomic.Bool // a method is running

	// Owned by the goroutine whose method has set busy: that of Open, Poll, Commit or Close. No other one reads or writes them.

	client          *client
	state           State
	stopped         *Error                                 // why the session will not work again
	txn             uint64                                 // transactions begun
	polled          uint64                                 // batches handed out, which is also the id of the newest
	pending         bool                                   // the newest batch is neither committed nor given back
	tracker         offsets.Tracker                        // the offsets of the input that were handed out
	held            map[offsets.Partition]*isolation.Queue // records that are fetched and not handed out; see held.go. No queue is empty
	lastEnd         time.Time                              // when the last transaction ended
	fences          []time.Time                            // when the session found that it had caused a fence itself
	authFailedSince time.Time                              // since when the brokers refuse the credentials; zero: they do not. See act
	flushEvery      int                                    // bytes that are produced before their answers are awaited; 0: all
	pace            batchPace                              // the batch size that quotas and the transaction timeout allow
	saidTrust       limiter
	over            *PassedOverError               // the batch that is passed over next
	resume          func()                         // makes the client fetch all partitions again
	failing         int                            // polls in a row that ended with an error of a partition
	bufferFullSince time.Time                      // since when no input has come because the InputBuffer is full; zero: it has
	troubles        map[offsets.Partition]*trouble // partitions that cannot be read; see unreadable.go
	unheard         error                          // what the client returned to a Poll whose context had ended
	reread          error                          // why the next Poll reads with a new client
}

// Open makes a session. It checks the configuration, the brokers' versions and the topics, fences a predecessor with the same
// transactional id, waits until the predecessor's transaction is over, and joins the group. It returns within
// Config.ConnectTimeout if no broker answers, and when ctx ends. On an error nothing is left open.
func Open(ctx context.Context, cfg Config) (*Session, error) {
	s := &Session{cfg: cfg.withDefaults(), state: Starting, troubles: map[offsets.Partition]*trouble{}, held: map[offsets.Partition]*isolation.Queue{}}
	if err := errors.Join(cfg.Validate(), s.checkOptions()); err != nil {
		return nil, &Error{Op: "open", Outcome: NotAttempted, Next: Stop, Err: err}
	}
	s.pattern, _ = compilePattern(s.cfg.TopicPattern) // validated
	warnUntested(s.cfg.Logger)
	if err := s.open(ctx); err != nil {
		if s.plain != nil {
			s.plain.Close()
		}
		return nil, s.openError(err)
	}
	return s, nil
}

func (s *Session) open(ctx context.Context) (err error) {
	if s.plain, err = kgo.NewClient(s.connection()...); err != nil {
		return fmt.Errorf("make the client: %w", err)
	}
	s.ask = cluster.New(s.plain, cluster.Patience{First: firstAsk, Most: askTimeout})
	s.dial, _ = s.plain.OptValue(kgo.Dialer).(dialFunc)
	s.hooks, _ = s.plain.OptValue(kgo.WithHooks).([]kgo.Hook)
	s.throttles = newThrottles(s)
	if id, ok := s.plain.OptValue(kgo.ClientID).(string); ok {
		s.cfg.ClientID = id // the user's options override it
	}
	most, _ := s.plain.OptValue(kgo.MaxDecompressBatchBytes).(int)
	if s.decompressor, err = newDecompressor(most, s.cfg.InputBuffer); err != nil {
		return err
	}
	if err := s.preflight(ctx); err != nil {
		return err
	}
	asked := cluster.LogSlow(s.cfg.Logger, "the coordinators of the group and of the transactional id; a new cluster has none before the first request for them", nil)
	defer asked()
	if err := s.checkCommitted(ctx); err != nil {
		return err
	}
	s.inheritMarkers(ctx)
	asked()
	if s.client, err = s.renew(ctx, errMarkers, nil); err != nil {
		return err
	}
	s.to(Polling, nil)
	return nil
}

// openError returns the error of Open, with whether a second try is worth it.
func (s *Session) openError(err error) *Error {
	next := Reopen
	if actionFor(err, actReplace) == actStop || errors.Is(err, ErrNoTopic) || errors.Is(err, ErrNoOffset) || errors.Is(err, ErrUnsupported) {
		next = Stop
	}
	return &Error{Op: "open", Outcome: NotAttempted, Next: next, Err: explain(err)}
}

// preflight finds what would fail later: no broker, brokers before 2.5, a topic that does not exist.
func (s *Session) preflight(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ConnectTimeout)
	defer cancel()
	if err := s.ask.Reach(ctx, s.cfg.ConnectTimeout, s.cfg.Logger); err != nil {
		return fmt.Errorf("%w at %v: %w", ErrUnreachable, s.cfg.BootstrapServers, err)
	}
	versions, err := s.ask.Versions(ctx)
	if err != nil {
		return fmt.Errorf("ask for the brokers' versions: %w", err)
	}
	s.fetch = newFetchSize(max(s.cfg.MaxBytes, 1<<20), s.cfg.InputBuffer, len(versions))
	for _, v := range versions {
		if v.Err != nil {
			continue // a broker that is down now need not be too old
		}
		for _, f := range v.Raw().FinalizedFeatures {
			s.epochs = s.epochs || f.Name == "transaction.version" && f.MaxVersionLevel >= 2
		}
		if err := s.checkProtocol(v); err != nil {
			return err
		}
		_, consumers := v.KeyMaxVersion(kmsg.ConsumerGroupDescribe.Int16())
		s.consumers = s.consumers || consumers
		// KIP-447: a commit in a transaction that knows the member, and offsets that wait for open transactions.
		commit, _ := v.KeyMaxVersion(kmsg.TxnOffsetCommit.Int16())
		fetch, _ := v.KeyMaxVersion(kmsg.OffsetFetch.Int16())
		if commit < 3 || fetch < 7 {
			return fmt.Errorf("%w: broker %d is older than Kafka 2.5 (KIP-447)", ErrUnsupported, v.NodeID)
		}
	}
	if err := s.checkTopics(ctx); err != nil {
		return err
	}
	return s.matchTopics(ctx)
}

func (s *Session) checkTopics(ctx context.Context) error {
	names := append(append([]string{}, s.cfg.Topics...), s.cfg.Outputs...)
	topics, err := s.listTopics(ctx, names)
	if errors.Is(err, kerr.TopicAuthorizationFailed) {
		return s.refusedTopics(ctx, names)
	}
	if err != nil {
		return fmt.Errorf("ask for the topics: %w", err)
	}
	var faults []error
	for _, name := range names {
		if t, ok := topics[name]; !ok || errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
			faults = append(faults, fmt.Errorf("%w: %s", ErrNoTopic, name))
		} else if t.Err != nil {
			faults = append(faults, fmt.Errorf("topic %s: %w", name, t.Err))
		}
	}
	for _, name := range s.cfg.Topics {
		s.inputs.add(name, input{partitions: int32(len(topics[name].Partitions)), id: topics[name].ID})
	}
	s.expectPartitions(topics)
	s.readLimits(ctx)
	return errors.Join(faults...)
}

// listTopics asks for topics, and asks again for a while if some do not exist: they may have been created a moment ago. Those that still
// do not exist are in the answer with that error.
func (s *Session) listTopics(ctx context.Context, names []string) (topics kadm.TopicDetails, err error) {
	missing := func(t kadm.TopicDetail) bool { return errors.Is(t.Err, kerr.UnknownTopicOrPartition) }
	err = cluster.Await(ctx, s.cfg.ConnectTimeout, s.cfg.Logger, "the topics", func(ctx context.Context) (err error) {
		topics, err = s.ask.Topics(ctx, names...)
		if err == nil && slices.ContainsFunc(topics.Sorted(), missing) {
			return kerr.UnknownTopicOrPartition
		}
		return err
	})
	if slices.ContainsFunc(topics.Sorted(), missing) {
		return topics, nil
	}
	return topics, err
}

// refusedTopics returns an error that names the topics that the client may not even see. The brokers' answer for several topics names
// none of them.
func (s *Session) refusedTopics(ctx context.Context, names []string) error {
	var faults []error
	for _, name := range names {
		if _, err := s.ask.Topics(ctx, name); err != nil {
			faults = append(faults, fmt.Errorf("topic %s: %w", name, err))
		}
	}
	return errors.Join(faults...)
}

// readLimits asks for max.message.bytes of the topics, so that records above the client's own limit of 1 MB can be
// produced to topics that accept them. A client that may not ask (DESCRIBE_CONFIGS) keeps the limit of 1 MB.
func (s *Session) readLimits(ctx context.Context) {
	s.limits = map[string]int32{}
	if len(s.cfg.Outputs) == 0 {
		return
	}
	configs, err := s.ask.Configs(ctx, slices.Concat(s.cfg.Outputs, s.cfg.Topics)...)
	if err != nil {
		return
	}
	for _, topic := range configs {
		for _, c := range topic.Configs {
			if c.Key == "max.message.bytes" {
				if n, err := strconv.ParseInt(c.MaybeValue(), 10, 32); err == nil {
					s.limits[topic.Name] = int32(n)
				}
			}
		}
	}
}

// MaxMessageBytes returns max.message.bytes of a topic of Config.Topics or Config.Outputs, as it was at Open. ok is false if it is not
// known: the client may not ask for it (DESCRIBE_CONFIGS). Any goroutine may call it at any time.
func (s *Session) MaxMessageBytes(topic string) (n int, ok bool) {
	limit, ok := s.limits[topic]
	return int(limit), ok
}

// maxBatch is the size of the largest batch that the client produces to topic. If the topic's limit is below the
// client's default, the records may still fit when they are compressed: the broker decides, see narrow.
func (s *Session) maxBatch(topic string) int32 { return max(defaultMaxBatch, s.limits[topic]) }

// largestBatch is the size of the largest batch that any of the outputs accepts.
func (s *Session) largestBatch() int {
	largest := int32(defaultMaxBatch)
	for _, topic := range s.cfg.Outputs {
		largest = max(largest, s.limits[topic])
	}
	return int(largest)
}

// defaultMaxBatch is kgo's default: max.message.bytes of a topic that sets none.
const defaultMaxBatch = 1000012

// Close ends the session. A batch that was polled and not committed is given back: other members, or the next session, poll its
// records again. Close closes the client and leaves the group, so that other members take the partitions over at once. No transaction
// is open afterwards. Close after Close does nothing. If ctx ends first, Close still waits for the client's goroutines, but not until it
// has left the group; the partitions then move after Config.SessionTimeout.
func (s *Session) Close(ctx context.Context) error {
	if !s.busy.CompareAndSwap(false, true) {
		return overlaps("close")
	}
	defer s.busy.Store(false)
	if s.stopped != nil && errors.Is(s.stopped, ErrClosed) {
		return nil
	}
	taken := s.stopped != nil && errors.Is(s.stopped, ErrFenced)
	outcome := NotAttempted
	if s.pending {
		outcome = Aborted
	}
	var err error
	if s.client != nil {
		member, _ := s.client.gts.Client().GroupMetadata()
		s.client.close()
		if !taken && member != "" { // the membership of a fenced session is now another instance's
			err = s.leave(ctx, member, outcome)
		}
	}
	_ = s.stop("close", outcome, ErrClosed) // every later call returns this
	s.plain.Close()
	return err
}

// leave removes the static member from the group, so that its partitions go to others now and not after the session timeout.
// outcome is that of the batch that was out, for the error.
func (s *Session) leave(ctx context.Context, member string, outcome Outcome) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	own := cluster.Member{Instance: s.cfg.InstanceID, ID: member, Classic: s.cfg.GroupProtocol != ConsumerProtocol}
	if err := s.ask.Leave(ctx, s.cfg.Group, own, false); err != nil {
		return &Error{Op: "close", Outcome: outcome, Next: Stop, Err: fmt.Errorf(
			"leave the group: %w; its partitions move to other members after the session timeout", err)}
	}
	return nil
}

// enter admits one caller at a time, and none after the session has stopped. commit is the batch of a Commit, else nil.
func (s *Session) enter(op string, commit *Batch) *Error {
	if !s.busy.CompareAndSwap(false, true) {
		return overlaps(op)
	}
	if s.stopped == nil {
		return nil
	}
	defer s.busy.Store(false)
	if commit == nil {
		return s.stopped
	}
	err := *s.stopped
	if err.Op, err.Outcome = op, NotAttempted; s.isOut(*commit) {
		err.Outcome = Aborted
	}
	return &err
}

// overlaps refuses a call while another one is running.
func overlaps(op string) *Error {
	return &Error{Op: op, Outcome: NotAttempted, Next: PollAgain, Err: fmt.Errorf("%w: another call is running", ErrMisuse)}
}

// isOut reports whether b was handed out and is neither committed nor given back.
func (s *Session) isOut(b Batch) bool { return s.pending && b.id == s.polled }

// stop ends the session for good; every later call returns the error.
func (s *Session) stop(op string, outcome Outcome, cause error) *Error {
	next := Stop
	if isContext(cause) {
		next = Reopen
	}
	s.stopped = &Error{Op: op, Outcome: outcome, Next: next, Err: explain(cause)}
	s.to(Stopped, cause)
	return s.stopped
}

// to changes the state and tells the Observer.
func (s *Session) to(next State, why error) {
	if s.cfg.Observer.Transition != nil {
		t := Transition{
			From: s.state, To: next, TransactionalID: s.cfg.TransactionalID, Txn: s.txn,
			ProducerID: -1, ProducerEpoch: -1, Err: why,
		}
		if s.client != nil {
			t.ProducerID, t.ProducerEpoch = s.client.producerID, s.client.producerEpoch
		}
		s.cfg.Observer.Transition(t)
	}
	s.state = next
}

// retrying logs, at most every five seconds, that something is being tried again.
func (s *Session) retrying(what string, err error) {
	if s.saidRetry.allow(5 * time.Second) {
		attrs := []any{"transactional_id", s.cfg.TransactionalID, "err", err}
		if what := waitsFor(err); what != "" {
			attrs = append(attrs, "waits_for", what)
		}
		s.cfg.Logger.Warn("trying again to "+what, attrs...)
	}
}
