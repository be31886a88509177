package replay

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/processor/processortest"
)

// letter is a dead letter of key "k" and value "v" with these headers, "name=value" each.
func letter(headers ...string) *kgo.Record {
	r := &kgo.Record{Topic: "dead", Key: []byte("k"), Value: []byte("v"), Timestamp: time.UnixMilli(2000)}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, "=")
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	return r
}

// own is the headers of eos-pipe on a dead letter of a record that was in that topic.
func own(topic string, more ...string) []string {
	return append([]string{
		"h=1", "eos-pipe-dlq-topic=" + topic, "eos-pipe-dlq-partition=2", "eos-pipe-dlq-offset=7",
		"eos-pipe-dlq-timestamp=1000",
		"eos-pipe-dlq-error=handle", "eos-pipe-dlq-message=bad", "eos-pipe-dlq-attempt=1",
	}, more...)
}

// A dead letter becomes the record that it was. One without anything to put back is left out; one of a topic that is
// not named, or without the headers of a dead letter, is an error.
func TestRevive(t *testing.T) {
	t.Parallel()
	pipe := Config{From: "dead", To: []string{"orders", "refunds"}, Logger: slog.New(slog.DiscardHandler)}.pipe()
	unread := letter(own("orders", "eos-pipe-dlq-first-offset=3")...) // it is for a batch that was not read
	res, err := processortest.Run(t.Context(), processor.Config{}, pipe, letter(own("refunds")...), unread)
	require.NoError(t, err)
	require.Equal(t, 1, res.Skipped)
	require.Equal(t, []processor.Record[[]byte]{{
		Key: []byte("k"), Value: []byte("v"), Headers: []processor.Header{{Key: "h", Value: []byte("1")}},
		Timestamp: time.UnixMilli(1000), To: "refunds", Partition: 2,
	}}, res.Outputs)

	bare := letter("__dlq.errors.topic=orders", "__dlq.errors.partition=0", "__dlq.errors.offset=9")
	bare.Key, bare.Value = nil, nil
	res, err = processortest.Run(t.Context(), processor.Config{}, pipe, bare)
	require.NoError(t, err)
	require.Equal(t, 1, res.Skipped)
	res, err = processortest.Run(t.Context(), processor.Config{}, pipe,
		letter("__dlq.errors.topic=orders", "__dlq.errors.partition=1", "__dlq.errors.offset=7"),
		letter("__connect.errors.topic=orders", "__connect.errors.partition=0", "__connect.errors.offset=3", "h=1"))
	require.NoError(t, err)
	require.Equal(t, []int32{1, 0}, []int32{res.Outputs[0].Partition, res.Outputs[1].Partition})
	require.Empty(t, res.Outputs[0].Headers)
	require.Equal(t, []processor.Header{{Key: "h", Value: []byte("1")}}, res.Outputs[1].Headers)

	for want, headers := range map[string][]string{
		"it came from topic other, which --to does not name": own("other"),
		"has not the headers of a dead letter":               {"h=1"},
		"__connect.errors.offset cannot be what Kafka Connect writes": {
			"__connect.errors.topic=orders", "__connect.errors.partition=0",
		},
		"kafka_dlt-original-timestamp cannot be what Spring Kafka writes": {
			"kafka_dlt-original-topic=orders", "kafka_dlt-original-partition=\x00\x00\x00\x01",
			"kafka_dlt-original-offset=\x00\x00\x00\x00\x00\x00\x00\x02",
		},
	} {
		_, err := processortest.Run(t.Context(), processor.Config{}, pipe, letter(headers...))
		require.ErrorContains(t, err, want)
		require.ErrorAs(t, err, new(*processor.RecordError))
	}
}

// What a program does not keep of a record is logged once, however many of its dead letters there are.
func TestMissingPartsAreLoggedOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	pipe := Config{From: "dead", To: []string{"orders"}, Logger: slog.New(slog.NewTextHandler(&log, nil))}.pipe()
	share := letter("__dlq.errors.topic=orders", "__dlq.errors.partition=0", "__dlq.errors.offset=9")
	spring := letter("kafka_dlt-original-topic=orders", "kafka_dlt-original-partition=\x00\x00\x00\x01",
		"kafka_dlt-original-offset=\x00\x00\x00\x00\x00\x00\x00\x02",
		"kafka_dlt-original-timestamp=\x00\x00\x00\x00\x00\x00\x00\x02")
	again := letter("__dlq.errors.topic=orders", "__dlq.errors.partition=1", "__dlq.errors.offset=3")
	_, err := processortest.Run(t.Context(), processor.Config{}, pipe, share, letter(own("orders")...), again, spring)
	require.NoError(t, err)
	for _, writer := range []string{"a share group", "Spring Kafka"} {
		require.Equal(t, 1, strings.Count(log.String(), "dead letters of "+writer+" do not hold all of a record"), writer)
	}
	require.Equal(t, 2, strings.Count(log.String(), "level=WARN"))
}

// Every fault of a configuration is reported, and nothing is connected.
func TestNewReportsFaults(t *testing.T) {
	t.Parallel()
	c := Config{Group: "g", TransactionalID: "g-1", Logger: slog.New(slog.DiscardHandler)}
	_, err := New(c)
	require.ErrorContains(t, err, "the sink names no topic")
	c.From, c.To = "dead", []string{"orders"}
	_, err = New(c)
	require.ErrorContains(t, err, "server")
}

// Dead letters go back into the partitions they were in, once: a second replay puts back only what is new. One that
// cannot go back stops the replay before anything of its batch is put back.
func TestReplayOnABroker(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "orders"), kfake.SeedTopics(1, "dead"),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	replay := func(want string) error {
		var count processor.Counter
		p, err := New(Config{
			Observer:         count.Observer(),
			BootstrapServers: c.ListenAddrs(), From: "dead", To: []string{"orders"}, Group: "dead-replay",
			TransactionalID: "dead-replay-1", Logger: slog.New(slog.DiscardHandler),
		})
		require.NoError(t, err)
		err = p.Run(t.Context())
		require.Equal(t, want, fmt.Sprint(count.Stats().In, " in, ", count.Stats().Out, " out"))
		return err
	}
	require.NoError(t, cl.ProduceSync(t.Context(), letter(own("orders")...), letter(own("orders")...)).FirstErr())
	require.NoError(t, replay("2 in, 2 out"))
	require.NoError(t, replay("0 in, 0 out"))
	require.NoError(t, cl.ProduceSync(t.Context(), letter(own("orders")...), letter(own("other")...)).FirstErr())
	err = replay("0 in, 0 out")
	require.ErrorAs(t, err, new(*processor.RecordError))
	require.ErrorContains(t, err, "dead-0@3")

	require.Equal(t, []string{"2 k=v [h 1]", "2 k=v [h 1]"}, committed(t, c.ListenAddrs(), "orders", 2))
}

// committed reads the n committed records of a topic, and returns "partition key=value [headers]" of each, sorted.
func committed(t *testing.T, servers []string, topic string, n int) (all []string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(servers...), kgo.ConsumeTopics(topic),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	require.NoError(t, err)
	defer cl.Close()
	for len(all) < n {
		fs := cl.PollFetches(t.Context())
		require.NoError(t, fs.Err())
		fs.EachRecord(func(r *kgo.Record) {
			line := fmt.Sprintf("%d %s=%s", r.Partition, r.Key, r.Value)
			for _, h := range r.Headers {
				line += fmt.Sprintf(" [%s %s]", h.Key, h.Value)
			}
			all = append(all, line)
		})
	}
	slices.Sort(all)
	return all
}
