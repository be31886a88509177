package storm

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// This file is the storm: a pipe of several processes to which all kinds of faults happen, one after the other and some
// at once, in an order drawn from the test's seed, while records are fed and a reader reads. storm_faults_test.go has the
// faults. The clock is not part of the seed: the same faults come in the same order, at slightly other moments.

// What the storm's processes are given: short, so that what waits for a timeout can be had often.
const (
	stormSession     = 3 * time.Second
	stormTransaction = 8 * time.Second
)

// A fault that is over must be followed by commits within this time. It is a bound for slow machines, not a goal.
const stormPatience = 2 * time.Minute

// storm is a pipe in such a storm. The test's goroutine owns it.
type storm struct {
	*proc.Pipe
	began    time.Time
	running  map[string]*proc.Process
	names    int // of instances so far
	counts   faultCounts
	recovery map[string][]time.Duration
	live     *liveReader
	stop     func() int64 // stops feeding
}

// faultCounts says what has happened: a fault is counted after it was seen to have taken effect.
type faultCounts struct {
	Kills       int // kill -9 of a process, which is started again
	KillsBeside int // of these, while a broker was away
	BrokerKills int // kill -9 of a broker, which is started again
	Zombies     int // SIGSTOP in an open transaction until others have the partitions, then SIGCONT
	Rolling     int // all brokers stopped and started again, one after the other
	Moves       int // of the coordinators of group and transactions to other brokers
	Joins       int // of a member
	Leaves      int // of a member by SIGTERM
	Vanished    int // kill -9 in an open transaction, and never started again
	Steps       int // after each of which every input partition was seen to move on
}

// stormCluster starts three brokers whose log of offsets is not cut into segments, and so not compacted: the history of
// commits is read from it.
func stormCluster(t *testing.T) *kafkatest.Cluster {
	t.Helper()
	return kafkatest.Start(t, kafkatest.Brokers(3), kafkatest.Set("offsets.topic.segment.bytes", "1073741824"))
}

// newStorm starts two instances, the feeding at this rate, and the reader.
func newStorm(t *testing.T, cluster *kafkatest.Cluster, perSecond int) *storm {
	t.Helper()
	s := &storm{
		Pipe: proc.New(t, cluster, proc.SixToSix, "--session-timeout", stormSession.String(), "--transaction-timeout", stormTransaction.String(),
			"--max-records", "500"),
		began: time.Now(), running: map[string]*proc.Process{}, recovery: map[string][]time.Duration{},
	}
	protocol := []eos.GroupProtocol{eos.ClassicProtocol, eos.ConsumerProtocol}[s.Rand.IntN(2)].String()
	if forced := os.Getenv("EOS_TEST_GROUP_PROTOCOL"); forced != "" {
		protocol = forced
	}
	s.note("the group protocol is %s", protocol)
	s.Flags = append(s.Flags, "--group-protocol", protocol)
	if protocol == eos.ConsumerProtocol.String() {
		cluster.SetSession(t, s.Group, stormSession)
	}
	s.live = readLive(s.Pipe)
	s.stop = s.Feed(perSecond)
	s.join()
	s.join()
	s.awaitRunning()
	return s
}

// note writes a line of the timeline, which go test shows when the test fails (or with -v).
func (s *storm) note(format string, args ...any) {
	s.T.Helper()
	s.T.Logf("%7.1fs %s", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// measured notes how long something took.
func (s *storm) measured(kind string, took time.Duration) {
	s.T.Helper()
	s.recovery[kind] = append(s.recovery[kind], took)
	s.note("  %s: %v", kind, took.Round(time.Millisecond))
	if took > slowRecovery {
		s.explain(took)
	}
}

// slowRecovery is after which time a recovery is worth an explanation.
const slowRecovery = 12 * time.Second

// explain logs what the processes have said in that time, and some seconds before.
func (s *storm) explain(took time.Duration) {
	s.T.Helper()
	since := time.Now().Add(-took - 5*time.Second)
	for name, pr := range s.running {
		for line := range strings.Lines(pr.Stderr()) {
			var said struct {
				Time  time.Time
				Level string
			}
			if json.Unmarshal([]byte(line), &said) == nil && said.Level != "DEBUG" && said.Time.After(since) {
				s.T.Logf("    %s: %s", name, strings.TrimSpace(line))
			}
		}
	}
}

// play lets the faults of the deck happen, in an order drawn from the seed, each after some more progress, unless enough
// says no more.
func (s *storm) play(deck []func(), enough func() bool) {
	s.T.Helper()
	s.Rand.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	for _, fault := range deck {
		if enough() {
			return
		}
		before := s.now()
		fault()
		s.awaitAllMove(before)
		s.counts.Steps++
		s.AwaitMore(int64(s.Rand.IntN(3000)))
	}
}

// repeated returns n times the same fault.
func repeated(n int, fault func()) (list []func()) {
	for range n {
		list = append(list, fault)
	}
	return list
}

// instances returns the names of those that run, in order.
func (s *storm) instances() []string { return slices.Sorted(maps.Keys(s.running)) }

// pick draws one of the instances that run, but for those named.
func (s *storm) pick(but ...string) string {
	names := slices.DeleteFunc(s.instances(), func(name string) bool { return slices.Contains(but, name) })
	return names[s.Rand.IntN(len(names))]
}

// now returns what is committed.
func (s *storm) now() (set offsets.Set) {
	s.T.Helper()
	s.Await("the committed offsets are known", stormPatience, func(ctx context.Context) (_ bool, err error) {
		set, err = s.Committed(ctx)
		return err == nil, err
	})
	return set
}

// awaitRunning waits until those that run, and no others, share the input.
func (s *storm) awaitRunning() {
	s.T.Helper()
	s.AwaitOwners(stormPatience, s.instances()...)
}

// owned waits until an instance owns partitions, and returns them.
func (s *storm) owned(name string) (list []offsets.Partition) {
	s.T.Helper()
	s.Await(name+" owns partitions", stormPatience, func(ctx context.Context) (bool, error) {
		owners, err := s.Owners(ctx)
		list = owners[name]
		return err == nil && len(list) > 0, err
	})
	return list
}

// awaitAllMove waits until every input partition is further than before.
func (s *storm) awaitAllMove(before offsets.Set) {
	s.T.Helper()
	s.Await("all partitions move on", stormPatience, func(ctx context.Context) (bool, error) {
		now, err := s.Committed(ctx)
		for _, at := range s.Feeding.At {
			if err == nil && now[at].Offset <= before[at].Offset {
				err = fmt.Errorf("%v stays at %d", at, now[at].Offset)
			}
		}
		return err == nil, err
	})
}

// finish feeds the rest up to records, waits until all is processed, and ends the instances. It returns how many records
// there are.
func (s *storm) finish(records int64) int64 {
	s.T.Helper()
	total := s.stop()
	s.note("the last fault is over; %d records so far", total)
	if total < records {
		s.Fill(int(records - total))
		total = records
	}
	s.awaitLong()
	for _, name := range s.instances() {
		s.leave(name)
	}
	s.AwaitNothingOpen(time.Minute)
	s.note("all instances have left")
	return total
}

// awaitLong waits until all that was fed is committed, as long as there is progress.
func (s *storm) awaitLong() {
	s.T.Helper()
	ends, err := s.Listed(s.T.Context(), s.Adm.ListCommittedOffsets, s.From)
	require.NoError(s.T, err)
	all := proc.Sum(ends)
	for now := s.AwaitCommitted(0); now < all; {
		now = s.AwaitCommitted(min(all, now+20_000))
	}
}

// leave ends an instance by SIGTERM.
func (s *storm) leave(name string) {
	s.T.Helper()
	s.running[name].Signal(syscall.SIGTERM)
	require.Zero(s.T, s.running[name].Wait(time.Minute), "exit code of %s", name)
	delete(s.running, name)
}

// judged is all that was found out about a storm that is over.
type judged struct {
	checker.Report
	log       checker.LogReport
	commits   checker.CommitsReport
	committed int64 // transactions that were told apart; at transaction.version 1 they cannot be
	producers int   // producer ids among these
	readings  map[offsets.Partition]*checker.Reading
}

// judge reads everything and requires that nothing is wrong: the copy, bytes and order; the logs against the reader; what the
// group has committed against the outputs, transaction by transaction; and the reader beside the faults against the one
// afterwards.
func (s *storm) judge(in int64) judged {
	s.T.Helper()
	s.RequireNothingOpen()
	got, err := examine(s.Pipe)
	s.note("aborted transactions that a replica lists otherwise than its log's markers say: %d", s.Unlisted())
	if err != nil {
		s.Autopsy()
	}
	require.NoError(s.T, err)
	require.Equal(s.T, in, got.In, "input records")
	require.Equal(s.T, in, got.Out, "output records")
	ends, err := s.Listed(s.T.Context(), s.Adm.ListCommittedOffsets, s.To)
	require.NoError(s.T, err)
	live := s.live.finish(ends, stormPatience)
	for at, reading := range live {
		require.Empty(s.T, reading.Diff(got.readings[at]), "the reader beside the faults, and the one afterwards")
	}
	s.note("judged: %v; %+v; %+v", got.Report, got.log, got.commits)
	return got
}

// examine reads both sides, the logs and the history of commits, and returns an error for whatever is wrong.
func examine(p *proc.Pipe) (judged, error) {
	ctx, cancel := context.WithTimeout(p.T.Context(), 20*time.Minute)
	defer cancel()
	outcomes := checker.NewOutcomes()
	commits, err := p.CommitHistory(ctx, outcomes)
	if err != nil {
		return judged{}, err
	}
	audited, err := p.AuditWith(ctx, outcomes, func(r *kgo.Record) {
		if from, ok := processor.ProvenanceOf(r); ok {
			commits.Output(offsets.Partition{Topic: r.Topic, Number: r.Partition}, r.Offset, from.Partition, from.Offset, proc.WriterOf(r))
		}
	})
	got := judged{
		Report: audited.Report, log: audited.Log, commits: commits.Report(), committed: outcomes.Commits(), producers: outcomes.Producers(),
		readings: audited.Readings,
	}
	if err != nil {
		return got, err
	}
	if !got.commits.OK() {
		return got, fmt.Errorf("outputs and offsets were not committed together: %+v\n%s", got.commits, strings.Join(got.commits.Examples, "\n"))
	}
	stable, err := p.StableCommitted(ctx)
	if err == nil && stable.String() != commits.Ends().String() {
		err = fmt.Errorf("the group has committed %v, and the log of its coordinator ends at %v", stable, commits.Ends())
	}
	return got, err
}

// judgeLate starts the pipe once more, when it has nothing to do, and requires that nothing has changed: nothing that was
// held back comes to light, and nothing is processed again.
func (s *storm) judgeLate(first judged) {
	s.T.Helper()
	require.Zero(s.T, s.Start("late", "--until-end").Wait(stormPatience))
	s.RequireNothingOpen()
	again, err := examine(s.Pipe)
	require.NoError(s.T, err)
	require.Equal(s.T, first.In, again.In)
	for at, reading := range first.readings {
		require.Empty(s.T, reading.Diff(again.readings[at]), "the output at first, and later")
	}
	s.note("judged again: nothing has changed")
}
