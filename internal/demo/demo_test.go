package demo

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The whole performance: every fault happens (Run waits for each, and fails otherwise), the transactional pipe books
// every payment once and in order, the usual loop books some of them twice and loses none.
func TestRun(t *testing.T) {
	t.Parallel()
	var story strings.Builder
	result, err := Run(t.Context(), Config{Records: 2000, Tell: func(line string) { story.WriteString(line + "\n") }})
	require.NoError(t, err, "%s", &story)
	require.Equal(t, Counts{In: 2000, Out: 2000}, result.ExactlyOnce)
	require.True(t, result.ExactlyOnce.OK())
	require.Positive(t, result.AtLeastOnce.Doubled)
	require.Equal(t, 2000+result.AtLeastOnce.Doubled, result.AtLeastOnce.Out)
	require.Zero(t, result.AtLeastOnce.Lost+result.AtLeastOnce.Invented)
	require.False(t, result.AtLeastOnce.OK())
	for _, fault := range []string{"is not told, and sends them again", "commit is done, but it is not told", "is killed:", "stands still", "late commit reaches"} {
		require.Equal(t, 2, strings.Count(story.String(), fault), "%s is told once of each side:\n%s", fault, &story)
	}
	require.Contains(t, story.String(), "it was committed")
	text, err := json.Marshal(result)
	require.NoError(t, err)
	require.Regexp(t, `^{"exactly_once":{"in":2000,"out":2000,"lost":0,"doubled":0},"at_least_once":{"in":2000,"out":\d+,"lost":0,"doubled":\d+}}$`, string(text))
}

// A performance that is interrupted ends soon, with the reason, even while an instance is frozen.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancelCause(t.Context())
	reason := errors.New("interrupted")
	var begun time.Time
	_, err := Run(ctx, Config{Records: MinRecords, Tell: func(line string) {
		if strings.Contains(line, "stands still") && begun.IsZero() {
			begun = time.Now()
			interrupt(reason)
		}
	}})
	require.ErrorIs(t, err, reason)
	require.ErrorContains(t, err, "zombie")
	require.Less(t, time.Since(begun), 15*time.Second)
}

// An instance that fails ends the performance with its error, and is not taken for one that was killed.
func TestInstanceFails(t *testing.T) {
	t.Parallel()
	s, err := newStage(t.Context(), Config{Records: MinRecords})
	require.NoError(t, err)
	broken := errors.New("broken")
	s.sides[1].run = func(context.Context, context.Context, *instance) error { return broken }
	s.sides[1].start("c")
	err = s.play(0, acts[0])
	s.close(err)
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "at least once: instance c failed")
}

// Too few payments are refused before anything is started.
func TestTooFewRecords(t *testing.T) {
	t.Parallel()
	_, err := Run(t.Context(), Config{Records: MinRecords - 1})
	require.ErrorContains(t, err, "at least 1000")
}

// The count finds what it is there to find: a payment without a booking, one with two, a booking of no payment, and one
// that overtook another. What was aborted is not seen.
func TestCountFinds(t *testing.T) {
	t.Parallel()
	b, err := newBroker()
	require.NoError(t, err)
	defer b.close()
	require.NoError(t, b.pay(t.Context(), 0, 3*accounts))
	const topic = "booked-exactly-once"
	writer, err := kgo.NewClient(kgo.SeedBrokers(b.ListenAddrs()...), kgo.TransactionalID("writer"), kgo.DefaultProduceTopic(topic))
	require.NoError(t, err)
	defer writer.Close()
	write := func(end kgo.TransactionEndTry, numbers ...int) {
		require.NoError(t, writer.BeginTransaction())
		for _, i := range numbers {
			r := paymentRecord(t, i)
			require.NoError(t, writer.ProduceSync(t.Context(), &r).FirstErr())
		}
		require.NoError(t, writer.EndTransaction(t.Context(), end))
	}
	var most []int
	for i := range 3 * accounts {
		if i != 7 && i != 8 && i != 8+accounts {
			most = append(most, i) // 7 is lost
		}
	}
	write(kgo.TryCommit, most...)
	write(kgo.TryCommit, 8+accounts, 8) // both after 8+2*accounts, and the wrong way round
	write(kgo.TryCommit, 2*accounts+9)  // doubled
	write(kgo.TryCommit, 5*accounts)    // invented
	write(kgo.TryAbort, 7, 10, 11, 6*accounts)

	counts, err := count(t.Context(), b.ListenAddrs(), topic)
	require.NoError(t, err)
	require.Equal(t, Counts{In: 180, Out: 181, Lost: 1, Doubled: 1, Invented: 1, Reordered: 2}, counts)
	require.False(t, counts.OK())
	require.False(t, Counts{}.OK(), "nothing proves nothing")
}

func paymentRecord(t *testing.T, i int) kgo.Record {
	t.Helper()
	value, err := json.Marshal(booking{ID: paymentID(i)})
	require.NoError(t, err)
	return kgo.Record{Key: []byte(account(i)), Value: value}
}

// The table is one that a person can read.
func TestResultString(t *testing.T) {
	t.Parallel()
	r := Result{ExactlyOnce: Counts{In: 20000, Out: 20000}, AtLeastOnce: Counts{In: 20000, Out: 20200, Doubled: 200}}
	require.Equal(t, strings.Join([]string{
		"                    in      out    lost   doubled",
		"exactly once     20000    20000       0         0",
		"at least once    20000    20200       0       200",
	}, "\n"), r.String())
}
