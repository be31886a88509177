//go:build torture

package storm

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// The long run of `make torture`: storms for TORTURE_TIME (an hour by default) on clusters of both transaction versions, and
// a round of more than 70,000 transactions on one transactional id, which uses up its epochs twice. It writes a report into
// TORTURE_OUT, also when it fails.

const (
	tortureTime     = time.Hour
	tortureRate     = 4_000 // records a second that are fed
	roundTime       = 10 * time.Minute
	manyTransaction = 75_000 // records of the round of small transactions, one each
	twoRollOvers    = 70_000 // transactions that use up 2 * 32,767 epochs
)

// torture is one such run.
type torture struct {
	length time.Duration
	out    string
	seed   uint64
	report tortureReport
}

func TestTorture(t *testing.T) {
	r := newTorture(t)
	defer r.write(t)
	r.storms(t)
	r.oneID(t)
}

func newTorture(t *testing.T) *torture {
	r := &torture{length: tortureTime, out: os.Getenv("TORTURE_OUT"), seed: rand.Uint64() >> 1}
	require.NotEmpty(t, r.out, "TORTURE_OUT says where the report is to be written; make torture sets it")
	var err error
	if text := os.Getenv("TORTURE_TIME"); text != "" {
		r.length, err = time.ParseDuration(text)
		require.NoError(t, err, "TORTURE_TIME")
	}
	if text := os.Getenv("EOS_TEST_SEED"); text != "" {
		r.seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "EOS_TEST_SEED")
	}
	command := fmt.Sprintf("EOS_TEST_SEED=%d TORTURE_TIME=%v make torture", r.seed, r.length)
	t.Logf("again: %s", command)
	version, err := exec.Command("git", "describe", "--tags", "--always", "--dirty").Output()
	require.NoError(t, err)
	r.report = tortureReport{
		Version: strings.TrimSpace(string(version)), Kafka: bench.KafkaVersion(t), Began: time.Now(), Seed: r.seed, Command: command,
		Machine: fmt.Sprintf("%s/%s, %d CPUs, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version()),
	}
	return r
}

// write writes the report.
func (r *torture) write(t *testing.T) {
	r.report.Took = time.Since(r.report.Began)
	require.NoError(t, os.MkdirAll(r.out, 0o755))
	md, err := os.Create(filepath.Join(r.out, "torture.md"))
	require.NoError(t, err)
	defer md.Close()
	page, err := os.Create(filepath.Join(r.out, "torture.html"))
	require.NoError(t, err)
	defer page.Close()
	require.NoError(t, r.report.markdown(md))
	require.NoError(t, r.report.html(page))
	require.NoError(t, os.WriteFile(filepath.Join(r.out, "summary"), []byte(r.report.Summary()+"\n"), 0o644)) // for docs/tested.md
	t.Logf("the report is in %s", r.out)
}

// round runs one round, with a seed of its own that follows from the run's.
func (r *torture) round(t *testing.T, name string, version int, run func(t *testing.T, round *tortureRound)) {
	round := &tortureRound{Name: name, Version: version}
	r.report.Rounds = append(r.report.Rounds, round)
	t.Setenv("EOS_TEST_SEED", strconv.FormatUint(r.seed+uint64(len(r.report.Rounds)), 10))
	began := time.Now()
	t.Run(name, func(t *testing.T) {
		defer func() { round.Took = time.Since(began) }()
		run(t, round)
	})
}

// storms takes three fifths of the time, in rounds of some ten minutes, by turns on clusters of transaction.version 2 and 1.
func (r *torture) storms(t *testing.T) {
	all := r.length * 3 / 5
	rounds := max(2, int(all/roundTime))
	for i := range rounds {
		version := 2 - i%2
		r.round(t, fmt.Sprintf("storm-%d", i+1), version, func(t *testing.T, round *tortureRound) {
			stormRound(t, round, all/time.Duration(rounds))
		})
	}
}

// stormRound plays decks of all faults until the time is over, and judges.
func stormRound(t *testing.T, round *tortureRound, length time.Duration) {
	cluster := stormCluster(t)
	if round.Version != 2 {
		bench.SetFeatureLevel(t, cluster, int16(round.Version))
	}
	s := newStorm(t, cluster, tortureRate)
	defer func() { round.Counts, round.Recovery = s.counts, s.recovery }()
	enough := func() bool { return time.Since(s.began) > length }
	for !enough() {
		s.play(slices.Concat(
			repeated(8, s.killOne), repeated(3, s.killBroker), repeated(3, s.makeZombie), repeated(1, s.moveCoordinators),
			repeated(1, s.restartAll), repeated(1, s.joinAndLeave), repeated(1, s.vanish),
		), enough)
	}
	total := s.finish(0)
	require.Positive(t, s.counts.Steps, "faults have happened")
	got := s.judge(total)
	s.note("idle for two transaction timeouts")
	idle(t, 2*stormTransaction)
	s.judgeLate(got)
	round.fill(got)
}

func (r *tortureRound) fill(got judged) {
	r.Records, r.Transactions, r.Aborted, r.Committed, r.Producers = got.Out, got.log.Commits, got.log.Aborts, got.committed, got.producers
	r.Anomalies, r.IsJudged = got.anomalies(), true
}

// idle waits for the brokers' timers, while nothing is to happen.
func idle(t *testing.T, length time.Duration) {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

// oneID takes half of the time at most: a pipe with one transactional id and one record a transaction. In an hour it must
// come to two roll-overs of the epoch; in a shorter run the report says how far it came.
func (r *torture) oneID(t *testing.T) {
	r.round(t, "one-id", 2, func(t *testing.T, round *tortureRound) {
		cluster := kafkatest.Start(t, kafkatest.Set("offsets.topic.segment.bytes", "1073741824"))
		p := proc.New(t, cluster, proc.Shape{From: []int32{1}, To: []int32{1}}, "--max-records", "1", "--commit-interval", "1ms", "--log-level", "info")
		p.Fill(manyTransaction)
		a := p.Start("a")
		deadline := time.Now().Add(max(r.length/2, time.Minute))
		for now := int64(0); now < manyTransaction && time.Now().Before(deadline); {
			now = p.AwaitCommitted(min(now+500, manyTransaction))
		}
		a.Signal(syscall.SIGTERM)
		require.Zero(t, a.Wait(time.Minute))
		p.RequireNothingOpen()
		got, err := examine(p)
		require.NoError(t, err)
		round.fill(got)
		if r.length >= tortureTime {
			require.GreaterOrEqual(t, got.committed, int64(twoRollOvers), "transactions on one id")
			require.GreaterOrEqual(t, got.producers, 3, "producer ids: one more for each roll-over")
		}
		if got.committed < twoRollOvers {
			round.Note = fmt.Sprintf("the time was not enough for %d transactions", twoRollOvers)
		}
	})
}
