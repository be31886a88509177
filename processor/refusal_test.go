package processor_test

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/logtest"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/processor/processortest"
)

// route sends a record where its value says, behind "to ".
var route = processor.Pipe[string, string]{
	Source: processor.From(processor.String(), "in"),
	Handle: processor.Each(func(_ context.Context, in processor.Record[string]) ([]processor.Record[string], error) {
		out := processor.With(in, in.Value)
		if to, ok := strings.CutPrefix(in.Value, "to "); ok {
			out.To = to
		}
		return []processor.Record[string]{out}, nil
	}),
	Sink: processor.To(processor.String(), "out"),
}

// destinations are topics that no record can go to, and what is said of each.
var destinations = map[string]string{
	"bad name!":              "no topic can have that name: it may hold only",
	"bad\nname":              "no topic can have that name: it may hold only",
	"ü":                      "no topic can have that name: it may hold only",
	"..":                     "no topic can have that name",
	".":                      "no topic can have that name",
	strings.Repeat("a", 250): "it is longer than 249 characters",
	"in":                     "in is an input topic",
	"nowhere":                "topic does not exist",
	"nowhere-else":           "topic does not exist",
}

func (b *broker) write(values ...string) {
	b.t.Helper()
	for i, v := range values {
		require.NoError(b.t, b.cl.ProduceSync(b.t.Context(), &kgo.Record{Topic: "in", Partition: int32(i % 4), Value: []byte(v)}).FirstErr())
	}
}

// A topic that data chose, and to which no record can go, is an error of the record: it becomes a dead letter, is left out, or stops the processor, which
// names it. The others come over. What can be known is known before anything is produced; of the rest, an attempt finds all records for one topic.
func TestDestinationsOfData(t *testing.T) {
	values := []string{"1", "2", "to nowhere"} // a second one of nowhere
	for to := range destinations {
		values = append(values, "to "+to)
	}
	for policy, check := range map[processor.Policy]func(b *broker, s processor.Stats){
		processor.DeadLetterOnError: func(b *broker, s processor.Stats) {
			require.EqualValues(t, len(destinations)+1, s.DeadLetters)
			for _, r := range b.records("dead", len(destinations)+1) {
				info, ok := processor.DeadLetterOf(r.Headers)
				require.True(t, ok)
				require.Equal(t, "produce", info.Class)
				require.Contains(t, info.Message, destinations[strings.TrimPrefix(string(r.Value), "to ")])
			}
		},
		processor.SkipOnError: func(_ *broker, s processor.Stats) { require.EqualValues(t, len(destinations)+1, s.Skipped) },
	} {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.write(values...)
			cfg := b.config()
			cfg.DeadLetterTopic, cfg.Errors.Policy = "dead", policy
			var count processor.Counter
			p, err := processor.New(counted(cfg, &count), route)
			require.NoError(t, err)
			require.NoError(t, p.Run(t.Context()))
			require.LessOrEqual(t, count.Stats().Aborted, 2*count.Stats().Transactions, "one for each of two topics")
			check(b, count.Stats())
			got := b.values("out", 2)
			require.Len(t, got, 2)
		})
	}
	for to, why := range destinations {
		t.Run("stop at "+strconv.Quote(to[:min(len(to), 20)]), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.write("1", "to "+to)
			var count processor.Counter
			p, err := processor.New(counted(b.config(), &count), route)
			require.NoError(t, err)
			err = p.Run(t.Context())
			var failed *processor.RecordError
			require.ErrorAs(t, err, &failed)
			require.Equal(t, "in-1@0", failed.Partition.String()+"@"+strconv.FormatInt(failed.Offset, 10))
			var d *eos.DestinationError
			require.ErrorAs(t, err, &d)
			require.Equal(t, to, d.Topic)
			require.ErrorContains(t, err, why)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

// Answers of the broker about a topic are the record's error where data chose the topic, and stop the processor, without a record, where the configuration did.
func TestRefusedDestination(t *testing.T) {
	for _, code := range []*kerr.Error{kerr.TopicAuthorizationFailed, kerr.InvalidTopicException} {
		for _, to := range []string{"other", "out"} {
			t.Run(code.Message+" "+to, func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				_, err := kadm.NewClient(b.cl).CreateTopic(t.Context(), 1, 1, nil, "other")
				require.NoError(t, err)
				b.write("to " + to)
				tap := wiretap.New()
				t.Cleanup(tap.Close)
				tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.RewriteError, ErrorCode: code.Code, Count: wiretap.Always})
				cfg := b.config()
				cfg.Session.Client = []kgo.Opt{kgo.Dialer(tap.Dial)}
				p, err := processor.New(cfg, route)
				require.NoError(t, err)
				err = p.Run(t.Context())
				require.ErrorIs(t, err, code)
				var failed *processor.RecordError
				require.Equal(t, to == "other", errors.As(err, &failed), "%v", err)
			})
		}
	}
}

// A handler, and a batch handler, that set a timestamp which the client would change: an error of the record.
func TestTimestampsOfHandlers(t *testing.T) {
	micros := time.UnixMilli(1_764_500_000_000_000)
	stamp := func(in processor.Record[string]) processor.Record[string] {
		out := processor.With(in, in.Value)
		if in.Value == "late" {
			out.Timestamp = micros
		}
		return out
	}
	single, batch := double, double
	single.Handle = processor.Each(func(_ context.Context, in processor.Record[string]) ([]processor.Record[string], error) {
		return []processor.Record[string]{stamp(in)}, nil
	})
	batch.Handle = processor.Batches(func(_ context.Context, in []processor.Record[string]) (outs []processor.Record[string], err error) {
		for _, r := range in {
			outs = append(outs, stamp(r))
		}
		return outs, nil
	})
	for name, pipe := range map[string]processor.Pipe[string, string]{"single": single, "batch": batch} {
		t.Run(name, func(t *testing.T) {
			opts := processor.Config{DeadLetterTopic: "dead", Errors: processor.Errors{Policy: processor.DeadLetterOnError}}
			res, err := processortest.Run(t.Context(), opts, pipe, inputs("a", "late", "b")...)
			require.NoError(t, err)
			require.ElementsMatch(t, []string{"out:a", "dead:late", "out:b"}, values(res.Produced))
			require.Equal(t, "produce", res.GivenUp[0].Class())
			require.ErrorContains(t, res.GivenUp[0], "its timestamp 1764500000000000 is not in milliseconds")
			_, err = processortest.Run(t.Context(), processor.Config{}, pipe, inputs("late")...)
			var stamped *eos.TimestampError
			require.ErrorAs(t, err, &stamped)
			require.Equal(t, micros, stamped.Timestamp)
		})
	}
}

// The dead letter of a record whose timestamp cannot be written has one that can, and says what the record had. So does one of a record without any.
func TestTimestampsOfDeadLetters(t *testing.T) {
	for ms, kept := range map[int64]bool{1_764_500_000_000_000: false, -1: true, 0: true} {
		r := &kgo.Record{Topic: "in", Timestamp: time.UnixMilli(ms)}
		letter := processor.NewDeadLetter(r, "dead", &processor.RecordError{Err: errors.New("no")})
		if kept {
			require.Equal(t, r.Timestamp, letter.Timestamp)
		} else {
			require.Zero(t, letter.Timestamp, "that is the time at which it is produced")
		}
		info, ok := processor.DeadLetterOf(letter.Headers)
		require.False(t, ok, "no topic")
		require.Equal(t, ms, info.Timestamp.UnixMilli())
	}
	letter := processor.NewDeadLetter(&kgo.Record{}, "dead", &processor.RecordError{Err: errors.New("no")})
	require.Contains(t, letter.Headers, kgo.RecordHeader{Key: processor.DeadLetterTimestampHeader, Value: []byte("-1")})
}

// A dead letter has the timestamp of its record; where the topic does not take that, it is written with another one.
func TestDeadLetterOfARefusedTimestamp(t *testing.T) {
	b := setup(t)
	old := time.UnixMilli(1_000)
	for i := range 3 {
		require.NoError(t, b.cl.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Partition: int32(i), Value: []byte("x"), Timestamp: old}).FirstErr())
	}
	tap := wiretap.New()
	t.Cleanup(tap.Close)
	refusal := tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.RewriteError, ErrorCode: kerr.InvalidTimestamp.Code, Count: 1})
	cfg := b.config()
	cfg.Session.MaxRecords = 1 // refused alone
	cfg.DeadLetterTopic, cfg.Errors.Policy = "dead", processor.DeadLetterOnError
	cfg.Session.Client = []kgo.Opt{kgo.Dialer(tap.Dial)}
	pipe := double
	pipe.Handle = processor.Map(func(string) (string, error) { return "", errors.New("no") })
	p, err := processor.New(cfg, pipe)
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	require.Equal(t, 1, refusal.Hits())
	others := 0
	for _, r := range b.records("dead", 3) {
		if !r.Timestamp.Equal(old) {
			others++
		}
		info, ok := processor.DeadLetterOf(r.Headers)
		require.True(t, ok)
		require.Equal(t, old, info.Timestamp)
		require.Equal(t, "handle", info.Class)
	}
	require.Equal(t, 1, others)
}

// Headers that say what cannot be are those of no dead letter; what is put back has the timestamp that they name, not that of the dead letter.
func TestReviveHeaders(t *testing.T) {
	letter := func(header, value string) processor.Record[string] {
		r := processor.NewDeadLetter(&kgo.Record{Timestamp: time.UnixMilli(1_700_000_000_000)}, "dead", &processor.RecordError{Partition: offsets.Partition{Topic: "in", Number: 3}, Err: errors.New("no")})
		for i, h := range r.Headers {
			if h.Key == header {
				r.Headers[i].Value = []byte(value)
			}
		}
		return processor.Record[string]{Headers: r.Headers, Timestamp: time.UnixMilli(1_800_000_000_000)}
	}
	out, err := processor.Revive(letter("", ""))
	require.NoError(t, err)
	require.Equal(t, time.UnixMilli(1_700_000_000_000), out.Timestamp)
	for header, bad := range map[string]string{
		processor.DeadLetterPartitionHeader: "4294967297", processor.DeadLetterOffsetHeader: "-1", processor.DeadLetterTimestampHeader: "soon",
	} {
		_, err := processor.Revive(letter(header, bad))
		require.Error(t, err, header)
	}
	_, err = processor.Revive(letter(processor.DeadLetterPartitionHeader, "-1"))
	require.Error(t, err)
}

// A dead-letter topic that takes smaller records than an input is said at the start; one that takes as much, or of which nothing is known, is not.
func TestRoomForDeadLetters(t *testing.T) {
	for size, said := range map[string]bool{"1000": true, "1048588": false} {
		b := setup(t)
		_, err := kadm.NewClient(b.cl).CreateTopic(t.Context(), 1, 1, map[string]*string{"max.message.bytes": &size}, "letters")
		require.NoError(t, err)
		var log logtest.Buffer
		cfg := b.config()
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		cfg.DeadLetterTopic, cfg.Errors.Policy = "letters", processor.DeadLetterOnError
		p, err := processor.New(cfg, double)
		require.NoError(t, err)
		require.NoError(t, p.Run(t.Context()))
		require.Equal(t, said, strings.Contains(log.String(), "accepts only smaller records than an input"), log.String())
	}
}
