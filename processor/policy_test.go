package processor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/logtest"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/processor/processortest"
)

// stubborn fails for records in ways that their value names.
var stubborn = processor.Pipe[string, string]{
	Source: processor.From(processor.String(), "in"),
	Handle: processor.Each(func(ctx context.Context, in processor.Record[string]) ([]processor.Record[string], error) {
		switch in.Value {
		case "fails":
			return nil, errors.New("cannot do it")
		case "panics":
			panic("boom")
		case "hangs":
			<-ctx.Done()
			return nil, ctx.Err()
		case "late but done":
			<-ctx.Done()
		case "skips":
			return nil, processor.Skip(errors.New("not wanted"))
		case "away":
			return nil, processor.Transient(errors.New("the database is away"))
		}
		return []processor.Record[string]{in, processor.With(in, "second "+in.Value)}, nil
	}),
	Sink: processor.To[string](picky{}, "out"),
}

// picky is a codec that cannot encode everything.
type picky struct{}

func (picky) Decode(data []byte) (string, error) { return string(data), nil }

func (picky) Encode(s string) ([]byte, error) {
	switch s {
	case "second unencodable":
		return nil, errors.New("cannot be written")
	case "second panics in the codec":
		panic("codec")
	}
	return []byte(s), nil
}

func input(offset int64, value string) *kgo.Record {
	return &kgo.Record{
		Topic: "in", Partition: 3, Offset: offset, Key: []byte("k"), Value: []byte(value), Timestamp: time.UnixMilli(1000 + offset),
		Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("own")}},
	}
}

func inputs(values ...string) (in []*kgo.Record) {
	for i, v := range values {
		in = append(in, input(int64(i), v))
	}
	return in
}

func values(rs []*kgo.Record) (vs []string) {
	for _, r := range rs {
		vs = append(vs, r.Topic+":"+string(r.Value))
	}
	return vs
}

var giveUps = []struct {
	value, class, message string
	attempts              int
}{
	{"\xff", "decode", "not text", 1},
	{"fails", "handle", "cannot do it", 3},
	{"panics", "panic", "boom", 3},
	{"hangs", "timeout", "within 1s", 3},
	{"unencodable", "encode", "cannot be written", 1},
	{"panics in the codec", "panic", "codec", 1},
}

// A record that cannot be processed becomes a dead letter, as it came, with its place, the class and message of the error, and how
// often it was tried; the records around it are processed, and of its own outputs there is none.
func TestDeadLetterOnError(t *testing.T) {
	for _, c := range giveUps {
		t.Run(c.class+" "+strings.ToValidUTF8(c.value, "?"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				res, err := processortest.Run(t.Context(), processor.Config{
					DeadLetterTopic: "dead", Errors: processor.Errors{Policy: processor.DeadLetterOnError, Retries: 2, HandlerTimeout: time.Second},
				}, stubborn, inputs("a", c.value, "late but done")...)
				require.NoError(t, err)
				require.Equal(t, []string{"out:a", "out:second a", "dead:" + c.value, "out:late but done", "out:second late but done"}, values(res.Produced))
				require.Len(t, res.DeadLetters, 1)
				require.Equal(t, c.attempts-1, res.Retries)
				dead := res.Produced[2]
				info, ok := processor.DeadLetterOf(dead.Headers)
				require.True(t, ok)
				require.Contains(t, info.Message, c.message)
				info.Message = ""
				require.Equal(t, processor.DeadLetterInfo{
					Partition: info.Partition, Offset: 1, First: 1, Timestamp: time.UnixMilli(1001), Class: c.class, Attempts: c.attempts,
				}, info)
				require.Equal(t, "in-3", info.Partition.String())
				require.Equal(t, "k", string(dead.Key))
				require.Equal(t, int32(3), dead.Partition)
				require.Equal(t, "own", string(dead.Headers[0].Value))

				dead.Topic, dead.Partition = "dead", 0 // the topic has only one partition
				replay := processor.Pipe[[]byte, []byte]{
					Source: processor.From(processor.Bytes(), "dead"),
					Handle: processor.Each(func(_ context.Context, in processor.Record[[]byte]) ([]processor.Record[[]byte], error) {
						out, err := processor.Revive(in)
						return []processor.Record[[]byte]{out}, err
					}),
					Sink: processor.To(processor.Bytes(), "elsewhere"),
				}
				again, err := processortest.Run(t.Context(), processor.Config{}, replay, dead)
				require.NoError(t, err)
				revived, original := again.Produced[0], input(1, c.value)
				require.Equal(t, []any{original.Topic, original.Partition, original.Key, original.Value, original.Headers, original.Timestamp},
					[]any{revived.Topic, revived.Partition, revived.Key, revived.Value, revived.Headers, revived.Timestamp})
				_, err = processortest.Run(t.Context(), processor.Config{}, replay, original)
				require.ErrorContains(t, err, "has not the headers of a dead letter")
			})
		})
	}
}

// The same records are left out by the policy skip, and stop the processor by the policy stop, whichever policy the verdicts of a
// handler go before.
func TestSkipAndStopOnError(t *testing.T) {
	for _, c := range giveUps {
		synctest.Test(t, func(t *testing.T) {
			e := processor.Errors{Policy: processor.SkipOnError, HandlerTimeout: time.Second}
			res, err := processortest.Run(t.Context(), processor.Config{Errors: e}, stubborn, inputs("a", c.value)...)
			require.NoError(t, err)
			require.Equal(t, []string{"out:a", "out:second a"}, values(res.Produced))
			require.Equal(t, 1, res.Skipped)
			require.Equal(t, c.class, res.GivenUp[0].Class())

			e.Policy = processor.StopOnError
			_, err = processortest.Run(t.Context(), processor.Config{Errors: e}, stubborn, inputs("skips", c.value)...)
			var failed *processor.RecordError
			require.ErrorAs(t, err, &failed)
			require.EqualValues(t, 1, failed.Offset)
			require.Equal(t, c.class, failed.Class())
		})
	}
}

// An error that is not the record's fault is no reason to give it up, whatever the policy, and neither is the end of the context.
func TestTransientIsNotGivenUp(t *testing.T) {
	opts := processor.Config{Errors: processor.Errors{Policy: processor.SkipOnError}}
	_, err := processortest.Run(t.Context(), opts, stubborn, inputs("away")...)
	require.ErrorContains(t, err, "the database is away")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = processortest.Run(ctx, opts, stubborn, inputs("hangs")...)
	require.ErrorIs(t, err, context.Canceled)
}

// Retries wait longer from one to the next, with half of it drawn at random, and no longer than they may; a retry that succeeds is as good
// as a first call.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		began := time.Now()
		pipe := stubborn
		pipe.Handle = processor.Each(func(_ context.Context, in processor.Record[string]) ([]processor.Record[string], error) {
			if at = append(at, time.Since(began)); len(at) < 6 {
				return nil, errors.New("not yet")
			}
			return []processor.Record[string]{in}, nil
		})
		e := processor.Errors{Retries: 9, Backoff: 100 * time.Millisecond, MaxBackoff: 400 * time.Millisecond}
		res, err := processortest.Run(t.Context(), processor.Config{Errors: e}, pipe, inputs("a")...)
		require.NoError(t, err)
		require.Equal(t, 5, res.Retries)
		require.Equal(t, []string{"out:a"}, values(res.Produced))
		for i, most := range []time.Duration{100, 200, 400, 400, 400} {
			pause := at[i+1] - at[i]
			require.LessOrEqual(t, pause, most*time.Millisecond)
			require.GreaterOrEqual(t, pause, most*time.Millisecond/2)
		}
	})
}

// Faults of the settings are reported together.
func TestErrorsAreChecked(t *testing.T) {
	_, err := processor.New(processor.Config{
		BootstrapServers: []string{"x"}, ApplicationID: "a", Parallel: -1,
		Errors: processor.Errors{Policy: processor.DeadLetterOnError, Retries: -1, Backoff: time.Second, MaxBackoff: time.Millisecond},
	}, double)
	for _, part := range []string{"needs a dead-letter topic", "must not be negative", "longest back-off", "-1 handlers at once"} {
		require.ErrorContains(t, err, part)
	}
	for i, name := range processor.PolicyNames() {
		p, err := processor.ParsePolicy(name)
		require.NoError(t, err)
		require.Equal(t, name, p.String())
		require.EqualValues(t, i, p)
	}
	_, err = processor.ParsePolicy("retry")
	require.ErrorContains(t, err, "dead-letter")
}

// The broker refuses an output. By the policy its input becomes a dead letter; everything else is there once, and the run ends well.
func TestRunGivesUpWhatTheBrokerRefuses(t *testing.T) {
	b := setup(t)
	b.produce(200)
	cfg := b.config()
	cfg.DeadLetterTopic, cfg.Errors.Policy = "dead", processor.DeadLetterOnError
	pipe := double
	pipe.Handle = processor.Map(func(s string) (string, error) {
		if s == "102" || s == "103" {
			return string(make([]byte, 2<<20)), nil
		}
		return s, nil
	})
	var count processor.Counter
	p, err := processor.New(counted(cfg, &count), pipe)
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	require.EqualValues(t, 2, count.Stats().DeadLetters)
	require.ElementsMatch(t, []string{"102", "103"}, b.values("dead", 2)[0])
	var all []string
	for _, vs := range b.values("out", 198) {
		all = append(all, vs...)
	}
	var want []string
	for i := range 200 {
		if i != 102 && i != 103 {
			want = append(want, fmt.Sprint(i))
		}
	}
	require.ElementsMatch(t, want, all)
}

// F20. Partitions that are added to the dead-letter topic while the processor runs do not stop it.
func TestDeadLetterTopicMayGrow(t *testing.T) {
	b := setup(t)
	cfg := b.config()
	cfg.UntilEnd, cfg.DeadLetterTopic, cfg.Errors.Policy = false, "dead", processor.DeadLetterOnError
	cfg.Session.Client = []kgo.Opt{kgo.MetadataMaxAge(100 * time.Millisecond)}
	pipe := double
	pipe.Handle = processor.Map(func(string) (string, error) { return "", errors.New("no") })
	p, err := processor.New(cfg, pipe)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	adm := kadm.NewClient(b.cl)
	inPartition := func(n int32) int64 {
		ends, err := adm.ListEndOffsets(t.Context(), "dead")
		require.NoError(t, err)
		end, _ := ends.Lookup("dead", n)
		return end.Offset
	}
	b.produce(4)
	require.Eventually(t, func() bool { return inPartition(0) > 0 }, 10*time.Second, 10*time.Millisecond)
	_, err = adm.UpdatePartitions(t.Context(), 4, "dead")
	require.NoError(t, err)
	require.Eventually(t, func() bool { b.produce(4); return inPartition(3) > 0 || len(ended) > 0 }, 10*time.Second, 10*time.Millisecond)
	stop()
	require.NoError(t, <-ended)
}

// A dead letter that the broker refuses stops the processor: there is nowhere to put the record.
func TestRunStopsAtARefusedDeadLetter(t *testing.T) {
	b := setup(t)
	b.produce(8)
	tap := wiretap.New()
	t.Cleanup(tap.Close)
	tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.RewriteError, ErrorCode: kerr.InvalidRecord.Code, Count: wiretap.Always})
	cfg := b.config()
	cfg.DeadLetterTopic, cfg.Errors.Policy = "dead", processor.DeadLetterOnError
	cfg.Session.Client = []kgo.Opt{kgo.Dialer(tap.Dial)}
	pipe := double
	pipe.Handle = processor.Map(func(string) (string, error) { return "", errors.New("no") })
	var count processor.Counter
	p, err := processor.New(counted(cfg, &count), pipe)
	require.NoError(t, err)
	err = p.Run(t.Context())
	var failed *processor.RecordError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, "produce", failed.Stage)
	require.ErrorIs(t, err, kerr.InvalidRecord)
	var dead *processor.DeadLetterError
	require.ErrorAs(t, err, &dead)
	require.Zero(t, count.Stats().In)
}

// While something is away that a handler needs, its batch waits, and comes when it is back: nothing is given up.
func TestRunWaitsForWhatIsAway(t *testing.T) {
	b := setup(t)
	b.produce(100)
	cfg := b.config()
	cfg.Errors.Policy = processor.SkipOnError
	calls := 0
	pipe := double
	pipe.Handle = processor.Map(func(s string) (string, error) {
		if calls++; calls <= 5 {
			return "", processor.Transient(errors.New("away"))
		}
		return s, nil
	})
	var count processor.Counter
	p, err := processor.New(counted(cfg, &count), pipe)
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	require.Equal(t, processor.Stats{In: 100, Out: 100, Transactions: count.Stats().Transactions}, count.Stats())
	b.values("out", 100)
}

// Where a handler panicked is in the log, with the record's place, be the record given up or not.
func TestPanicsAreLogged(t *testing.T) {
	for _, policy := range []processor.Policy{processor.StopOnError, processor.SkipOnError} {
		b := setup(t)
		b.produce(4)
		var log logtest.Buffer
		cfg := b.config()
		cfg.Errors.Policy, cfg.Logger = policy, slog.New(slog.NewTextHandler(&log, nil))
		pipe := double
		pipe.Handle = processor.Map(func(s string) (string, error) {
			if s == "2" {
				panic("boom")
			}
			return s, nil
		})
		p, err := processor.New(cfg, pipe)
		require.NoError(t, err)
		err = p.Run(t.Context())
		require.Equal(t, policy == processor.StopOnError, err != nil)
		require.Regexp(t, `topic=in partition=2 offset=0 stack=".*policy_test.go.*err="it panicked: boom"`, log.String())
	}
}
