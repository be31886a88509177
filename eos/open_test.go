package eos_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// A configuration reports all its faults at once, before anything is connected.
func TestConfigReportsAllFaults(t *testing.T) {
	err := eos.Config{Tuning: eos.Tuning{TransactionTimeout: time.Millisecond, SessionTimeout: time.Millisecond, MaxRecords: -1}}.Validate()
	for _, fault := range []string{"bootstrap server", "consumer group", "transactional id", "input topic", "transaction timeout", "session timeout", "must not be negative"} {
		require.ErrorContains(t, err, fault)
	}
	err = eos.Config{BootstrapServers: []string{"b"}, Group: "g", TransactionalID: "t", Topics: []string{"a", "b"}, Outputs: []string{"b"}}.Validate()
	require.ErrorContains(t, err, "topic b is both input and output")
	require.NoError(t, eos.Config{BootstrapServers: []string{"b"}, Group: "g", TransactionalID: "t", Topics: []string{"a"}}.Validate())
}

// franz-go options that would break the guarantee are refused, each with its reason; others pass.
func TestUnsafeOptionsAreRefused(t *testing.T) {
	b := setup(t)
	for name, opts := range map[string][]kgo.Opt{
		"DisableIdempotentWrite":             {kgo.DisableIdempotentWrite()},
		"AllowIdempotentProduceCancellation": {kgo.AllowIdempotentProduceCancellation()},
		"StopProducerOnDataLossDetected":     {kgo.StopProducerOnDataLossDetected()},
		"ServerSideBalancer":                 {kgo.ServerSideBalancer()},
		"AutoCommitMarks":                    {kgo.AutoCommitMarks()},
		"GreedyAutoCommit":                   {kgo.GreedyAutoCommit()},
		"ManualFlushing":                     {kgo.ManualFlushing()},
		"ConsumeRegex":                       {kgo.ConsumeRegex()},
		"DisableFetchCRCValidation":          {kgo.DisableFetchCRCValidation()},
	} {
		cfg := b.config()
		cfg.Client = opts
		_, err := eos.Open(t.Context(), cfg)
		require.ErrorContains(t, err, name+" is refused", name)
		require.Equal(t, eos.Stop, nextOf(err))
	}
	// What the session itself sets wins over the user's.
	b.produce(30)
	cfg := b.config()
	cfg.Client = []kgo.Opt{
		kgo.ClientID("mine"), kgo.FetchIsolationLevel(kgo.ReadUncommitted()), kgo.TransactionalID("other"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()), kgo.InstanceID("other"), kgo.FetchMaxWait(100 * time.Millisecond),
	}
	s := b.open(cfg)
	require.Empty(t, run(t, s, 30))
	b.requireOnce(30)
	txns, err := b.adm.ListTransactions(t.Context(), nil, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"g-a-0"}, txns.TransactionalIDs())
}

// A topic that does not exist is named, within seconds, and nothing is created.
func TestMissingTopics(t *testing.T) {
	b := setup(t)
	cfg := b.config()
	cfg.Topics, cfg.Outputs = []string{"nope-in", "in"}, []string{"nope-out"}
	_, err := eos.Open(t.Context(), cfg)
	require.ErrorIs(t, err, eos.ErrNoTopic)
	require.ErrorContains(t, err, "nope-in")
	require.ErrorContains(t, err, "nope-out")
	require.Equal(t, eos.Stop, nextOf(err))
}

// A topic that was created a moment ago may not be known to the broker that is asked: it is asked again.
func TestTopicJustCreated(t *testing.T) {
	b := setup(t)
	b.produce(30)
	unknown := b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "out", Err: kerr.UnknownTopicOrPartition, Count: 3})
	s := b.open(b.config())
	require.EqualValues(t, 3, unknown.Hits())
	require.Empty(t, run(t, s, 30))
	b.requireOnce(30)
}

// No broker: an error within Config.ConnectTimeout that names the servers.
func TestUnreachableBroker(t *testing.T) {
	cfg := eos.Config{BootstrapServers: []string{"127.0.0.1:1"}, Group: "g", TransactionalID: "t", Topics: []string{"in"}}
	cfg.ConnectTimeout = 300 * time.Millisecond
	_, err := eos.Open(t.Context(), cfg)
	require.ErrorIs(t, err, eos.ErrUnreachable)
	require.ErrorContains(t, err, "127.0.0.1:1")
}

// Brokers before 2.5 cannot hold offsets back while a transaction is open: refused.
func TestOldBrokersAreRefused(t *testing.T) {
	b := setup(t, kfake.MaxVersions(kversion.V2_4_0()))
	_, err := eos.Open(t.Context(), b.config())
	require.ErrorIs(t, err, eos.ErrUnsupported)
	require.ErrorContains(t, err, "older than Kafka 2.5")
}

// Brokers with transaction.version 0 or 1 (before 4.0) are served as well.
func TestTransactionVersion1(t *testing.T) {
	b := setup(t, kfake.MaxVersions(kversion.V3_9_0()))
	b.produce(300)
	s := b.open(b.config())
	require.Empty(t, run(t, s, 300))
	b.requireOnce(300)
}

// An UNKNOWN_SERVER_ERROR in answer to InitProducerId stays with its client for good; the session takes another client, when it
// opens and when it replaces one. Found by a schedule (internal/schedules).
func TestUnknownServerErrorAtInitProducerID(t *testing.T) {
	b := setup(t)
	b.produce(300)
	cfg, tap := b.tapped()
	unknown := wiretap.Rule{API: kmsg.InitProducerID, Action: wiretap.RewriteError, ErrorCode: kerr.UnknownServerError.Code}
	first := tap.Add(unknown)
	s := b.open(cfg)
	require.Equal(t, 1, first.Hits())
	again := tap.Add(unknown)
	b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.InvalidTxnState})
	require.Len(t, run(t, s, 300), 1)
	require.Equal(t, 1, again.Hits())
	b.requireOnce(300)
}

// A transaction timeout beyond the broker's transaction.max.timeout.ms is refused when the session opens,
// not when the first record is produced.
func TestTransactionTimeoutBeyondTheBrokers(t *testing.T) {
	b := setup(t)
	cfg := b.config()
	cfg.TransactionTimeout = 24 * time.Hour
	_, err := eos.Open(t.Context(), cfg)
	require.ErrorContains(t, err, "INVALID_TRANSACTION_TIMEOUT")
	require.Equal(t, eos.Stop, nextOf(err))
}

// Close leaves the group, so that the partitions move to others at once; closing again does nothing; every other call
// says that the session is closed.
func TestClose(t *testing.T) {
	b := setup(t)
	b.produce(30)
	s := b.open(b.config())
	batch, err := s.Poll(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Close(t.Context()))
	require.NoError(t, s.Close(t.Context()))
	_, err = s.Poll(t.Context())
	require.ErrorIs(t, err, eos.ErrClosed)
	require.ErrorIs(t, s.Commit(t.Context(), batch, copyOf(batch)), eos.ErrClosed)
	groups, err := b.adm.DescribeGroups(t.Context(), "g")
	require.NoError(t, err)
	require.Empty(t, groups["g"].Members)
}

// The producer id is initialized before the group is joined.
func TestProducerIDComesFirst(t *testing.T) {
	b := setup(t)
	b.produce(30)
	cfg, tap := b.tapped()
	s := b.open(cfg)
	require.Empty(t, run(t, s, 30))
	var order []kmsg.Key
	for _, e := range tap.Log() {
		if e.API == kmsg.InitProducerID || e.API == kmsg.JoinGroup {
			order = append(order, e.API)
		}
	}
	require.Equal(t, []kmsg.Key{kmsg.InitProducerID, kmsg.InitProducerID}, order[:2], "request and reply")
	require.Contains(t, order, kmsg.JoinGroup)
}

// The observer sees the states in their order, and one transaction.
func TestObserver(t *testing.T) {
	b := setup(t)
	b.produce(30)
	cfg := b.config()
	var states []string
	var txns []eos.Transaction
	cfg.Observer = eos.Observer{
		Transition:  func(tr eos.Transition) { states = append(states, tr.To.String()) },
		Transaction: func(tx eos.Transaction) { txns = append(txns, tx) },
	}
	s := b.open(cfg)
	batch, err := s.Poll(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Commit(t.Context(), batch, copyOf(batch)))
	require.NoError(t, s.Close(t.Context()))
	require.Equal(t, []string{"polling", "preparing", "in_txn", "flushing", "committing", "polling", "stopped"}, states)
	require.Len(t, txns, 1)
	require.Equal(t, eos.Committed, txns[0].Outcome)
	require.Equal(t, len(batch.Records), txns[0].Out)
	require.Equal(t, batch.Offsets(), txns[0].Offsets)
}

// A client that fails before its group exists is replaced: that there is no such group says that nobody has taken its place. Found by the
// table of errors (internal/schedules).
func TestReplaceBeforeTheGroupExists(t *testing.T) {
	b := setup(t)
	b.produce(30)
	refused := b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Err: kerr.InvalidProducerIDMapping})
	s := b.open(b.config())
	require.Empty(t, run(t, s, 30))
	require.Equal(t, 1, refused.Hits())
	b.requireOnce(30)
}
