package eostest_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/eos/eostest"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
	"github.com/eos-pipe/eos-pipe/trace"
	"github.com/eos-pipe/eos-pipe/validator"
)

// spy is a test that may fail.
type spy struct {
	testing.TB
	errors, logs []string
	cleanups     []func()
}

func (s *spy) Helper()                   {}
func (s *spy) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (s *spy) Errorf(f string, a ...any) { s.errors = append(s.errors, fmt.Sprintf(f, a...)) }
func (s *spy) Logf(f string, a ...any)   { s.logs = append(s.logs, fmt.Sprintf(f, a...)) }
func (s *spy) Cleanup(f func())          { s.cleanups = append(s.cleanups, f) }

// end runs what the test would run at its end, and returns its failures.
func (s *spy) end() []string {
	for _, f := range s.cleanups {
		f()
	}
	return s.errors
}

// fake is a kfake broker with the topics "in" and "out", of one partition each.
func fake(t testing.TB) (*kfake.Cluster, string) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "in", "out"))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c, c.ListenAddrs()[0]
}

func client(t testing.TB, addr string, opts ...kgo.Opt) *kgo.Client {
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(addr), kgo.DefaultProduceTopic("out"))...)
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return cl
}

// raw sends produce requests as they are asked for, right or wrong.
type raw struct {
	t  testing.TB
	cl *kgo.Client
}

func (r raw) produce(producer trace.Producer, sequence int32, value string) *kmsg.ProduceResponseTopicPartition {
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = batchOf(producer, sequence, value)
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic, topic.Partitions = "out", append(topic.Partitions, p)
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis, req.Topics = -1, 1000, append(req.Topics, topic)
	resp, err := r.cl.Request(r.t.Context(), req)
	require.NoError(r.t, err)
	return &resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
}

// batchOf encodes a batch of one record.
func batchOf(producer trace.Producer, sequence int32, value string) []byte {
	record := append([]byte{0, 0, 0, 1, byte(len(value) << 1)}, value...) // attributes, deltas, no key
	record = append(record, 0)                                            // no headers
	record = append([]byte{byte(len(record) << 1)}, record...)
	now := time.Now().UnixMilli() // a producer whose records are old may be forgotten, and then start anywhere
	b := kmsg.RecordBatch{
		Length: int32(49 + len(record)), PartitionLeaderEpoch: -1, Magic: 2, FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: producer.ID, ProducerEpoch: producer.Epoch, FirstSequence: sequence, NumRecords: 1, Records: record,
	}
	encoded := b.AppendTo(nil)
	binary.BigEndian.PutUint32(encoded[17:], crc32.Checksum(encoded[21:], crc32.MakeTable(crc32.Castagnoli)))
	return encoded
}

// lie makes the broker answer all produce requests from now on with success, and offsets that count on.
func lie(c *kfake.Cluster, next int64) {
	c.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		q := req.(*kmsg.ProduceRequest)
		resp := q.ResponseKind().(*kmsg.ProduceResponse)
		p := kmsg.NewProduceResponseTopicPartition()
		p.BaseOffset = next
		next++
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.TopicID, topic.Partitions = q.Topics[0].Topic, q.Topics[0].TopicID, append(topic.Partitions, p)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
}

// A broker that takes a batch behind a gap is found, and the test fails with the rule and the events around.
func TestGapTaken(t *testing.T) {
	t.Parallel()
	c, addr := fake(t)
	s := &spy{TB: t}
	r := raw{t, client(t, addr, eostest.Watch(s).Client(), kgo.MaxVersions(versionsBefore(kmsg.Produce, 13)))}
	lie(c, 0)
	for _, sequence := range []int32{0, 1, 3} {
		require.Zero(t, r.produce(trace.Producer{ID: 7}, sequence, "x").ErrorCode)
	}
	failures := s.end()
	require.Len(t, failures, 1)
	require.Contains(t, failures[0], "eostest: sequence: expected OUT_OF_ORDER_SEQUENCE_NUMBER; rule: a batch starts exactly behind the last sequence of its producer [ProducerAppendInfo, KIP-98]")
	require.Regexp(t, `\n\t   produce .* seq=1 .* -> NONE offset=1\n\t-> produce .* seq=3 .* -> NONE offset=2$`, failures[0])
	require.Contains(t, strings.Join(s.logs, "\n"), "eostest.trace")
}

// versionsBefore are all of today's with one API held below a version. (Topics have names in produce requests before v13.)
func versionsBefore(key kmsg.Key, version int16) *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(key.Int16(), version-1)
	return v
}

// A producer that was fenced by another and goes on is found if it gets through.
func TestFencedGetsThrough(t *testing.T) {
	t.Parallel()
	c, addr := fake(t)
	s := &spy{TB: t}
	watch := eostest.Watch(s)
	old := began(t, addr, watch)
	require.NoError(t, old.EndTransaction(t.Context(), kgo.TryCommit))
	id, epoch, err := old.ProducerID(t.Context())
	require.NoError(t, err)
	began(t, addr, watch)
	lie(c, 100)
	raw{t, client(t, addr, watch.Client(), kgo.MaxVersions(versionsBefore(kmsg.Produce, 13)))}.produce(trace.Producer{ID: id, Epoch: epoch - 1}, 0, "late")
	failures := s.end()
	require.NotEmpty(t, failures)
	require.Contains(t, failures[0], "epoch: expected INVALID_PRODUCER_EPOCH")
}

// began returns a client with the transactional id "txn" and a transaction open.
func began(t *testing.T, addr string, watch *eostest.Watcher) *kgo.Client {
	cl := client(t, addr, watch.Client(), kgo.TransactionalID("txn"))
	require.NoError(t, cl.BeginTransaction())
	for _, v := range []string{"a", "b"} { // the second finds the topic loaded
		require.NoError(t, cl.ProduceSync(t.Context(), kgo.StringRecord(v)).FirstErr())
	}
	return cl
}

// A session that copies, whose answers are lost at each step, passes on kfake: what was not answered is followed both ways.
func TestSessionPasses(t *testing.T) {
	t.Parallel()
	for _, lost := range []kmsg.Key{wiretap.AnyAPI, kmsg.Produce, kmsg.TxnOffsetCommit, kmsg.EndTxn} {
		t.Run(lost.Name(), func(t *testing.T) {
			t.Parallel()
			_, addr := fake(t)
			tap := wiretap.New()
			t.Cleanup(tap.Close)
			s := &spy{TB: t}
			watch := eostest.Watch(s, eostest.Kfake(), eostest.Over(eostest.DialFunc(tap.Dial)))
			copyAll(t, addr, watch, func() {
				if lost != wiretap.AnyAPI {
					tap.Add(wiretap.Rule{API: lost, Action: wiretap.DropReply})
				}
			})
			require.Empty(t, s.end(), "%v", watch.Trace())
			kinds := map[string]int{}
			unanswered := 0
			for _, e := range watch.Trace() {
				kinds[e.Kind()]++
				if strings.HasSuffix(e.String(), " -> ?") {
					unanswered++
				}
			}
			for _, kind := range []string{"init", "produce", "offset-commit", "end"} {
				require.Positive(t, kinds[kind], "%s: %v", kind, kinds)
			}
			if lost != wiretap.AnyAPI {
				require.Positive(t, unanswered)
			}
		})
	}
}

// copyAll copies 30 records from "in" to "out" by a session; midway it calls disturb.
func copyAll(t *testing.T, addr string, watch *eostest.Watcher, disturb func()) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	feeder := client(t, addr)
	feed := func(from, to int) {
		for n := from; n < to; n++ {
			require.NoError(t, feeder.ProduceSync(ctx, &kgo.Record{Topic: "in", Value: fmt.Append(nil, "record ", n)}).FirstErr())
		}
	}
	s, err := eos.Open(ctx, eos.Config{
		BootstrapServers: []string{addr}, Group: "g", TransactionalID: "copy", Topics: []string{"in"}, Outputs: []string{"out"},
		Tuning: eos.Tuning{Client: []kgo.Opt{watch.Client(), kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond })}},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(ctx)) }()
	feed(0, 10)
	for done := 0; done < 30; {
		batch, err := s.Poll(ctx)
		require.NoError(t, err)
		err = s.Commit(ctx, batch, func(yield func(*kgo.Record) bool) {
			for _, r := range batch.Records {
				if !yield(&kgo.Record{Topic: "out", Value: r.Value}) {
					return
				}
			}
		})
		if err != nil {
			continue
		}
		if done += len(batch.Records); done == 10 {
			disturb()
			feed(10, 30)
		}
	}
	got, err := kadm.NewClient(feeder).FetchOffsets(ctx, "g")
	require.NoError(t, err)
	at, _ := got.Lookup("in", 0)
	require.EqualValues(t, 30, at.At)
}

// The same content committed twice is a failure for who asks for that.
func TestSentTwice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		options []eostest.Option
		want    int
	}{{nil, 0}, {[]eostest.Option{eostest.SentTwice()}, 1}} {
		_, addr := fake(t)
		s := &spy{TB: t}
		cl := client(t, addr, eostest.Watch(s, c.options...).Client())
		for range 2 {
			require.NoError(t, cl.ProduceSync(t.Context(), kgo.StringRecord("order 42")).FirstErr())
		}
		failures := s.end()
		require.Len(t, failures, c.want)
		if c.want > 0 {
			require.Contains(t, failures[0], "sent twice")
		}
	}
}

// A watcher that saw nothing, or cannot read what it sees, proves nothing, and says so.
func TestBlindWatcherFails(t *testing.T) {
	t.Parallel()
	s := &spy{TB: t}
	eostest.Watch(s)
	require.Equal(t, []string{"eostest: no request that changes anything was seen: is the client given the watcher's Client option?"}, s.end())

	_, addr := fake(t)
	s = &spy{TB: t}
	conn, err := eostest.Watch(s).Dial(t.Context(), "tcp", addr)
	require.NoError(t, err)
	_, _ = conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	require.NoError(t, conn.Close())
	require.Len(t, s.end(), 1)
	require.Contains(t, s.errors[0], "what is sent is not Kafka's protocol")
}

// The version decides: a request that Kafka 4.4 answers closes the connection of 3.5, so a broker that answers it is none. A
// version whose rules are not known ends the test.
func TestKafkaVersion(t *testing.T) {
	t.Parallel()
	for version, isFound := range map[string]bool{"3.5": true, "4.4": false, "4.4 transaction.version=1": false} {
		_, addr := fake(t)
		s := &spy{TB: t}
		began(t, addr, eostest.Watch(s, eostest.Kafka(version)))
		require.Equal(t, isFound, len(s.end()) > 0, version)
	}
	require.PanicsWithValue(t, "eostest: nothing can be judged: the rules of Kafka \"2.8\" are not known: name one of "+strings.Join(validator.Versions(), ", "), func() {
		eostest.Watch(&spy{TB: t}, eostest.Kafka("2.8"))
	})
}
