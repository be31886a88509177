package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// This file is the ground of the tests in pipe_*_test.go. They run the real `eos-pipe` as processes and know nothing of
// it but its command line, its exit codes and what the brokers say. pipe_feed_test.go makes the input, and
// pipe_audit_test.go judges the output.

// pipe is one pipe under test: its topics, its group, and the processes that run it.
type pipe struct {
	t       *testing.T
	cluster *kafkatest.Cluster
	adm     *kadm.Client
	rng     *rand.Rand
	from    []string // input topics
	pattern string   // --from-pattern in the place of --from, which matches them; "": none
	to      []string // output topics; --to is the first, the others are reached by --map
	group   string
	flags   []string // of every process

	filter, mapping string                                                     // --filter and --map, for run and verify alike
	expect          func(*kgo.Record) []*kgo.Record                            // what must come of an input record; nil: a copy in to[0]
	record          func(n int64, at offsets.Partition, seq int64) *kgo.Record // makes the input; nil: anyRecord

	feeding   feeding
	processes []*process
}

// shape says how many partitions each of a pipe's topics has.
type shape struct{ from, to []int32 }

var sixToSix = shape{from: []int32{6}, to: []int32{6}}

// newPipe makes a pipe with topics of its own; flags are given to each of its processes. Its processes end with the test.
func newPipe(t *testing.T, cluster *kafkatest.Cluster, s shape, flags ...string) *pipe {
	p := &pipe{t: t, cluster: cluster, adm: cluster.Admin(t), rng: seeded(t), group: kafkatest.Name(t, "group"), flags: flags}
	for _, n := range s.from {
		p.from = append(p.from, kafkatest.Name(t, "in"))
		cluster.CreateTopic(t, p.from[len(p.from)-1], n)
	}
	for _, n := range s.to {
		p.to = append(p.to, kafkatest.Name(t, "out"))
		cluster.CreateTopic(t, p.to[len(p.to)-1], n)
	}
	t.ArtifactDir() // before the cleanup below, which reads what is in it
	t.Cleanup(p.end)
	return p
}

// seeded returns the test's source of random choices; what it chose can be had again by the command it logs.
func seeded(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	if text := os.Getenv("EOS_TEST_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "EOS_TEST_SEED")
	}
	t.Logf("random choices repeat with: EOS_TEST_SEED=%d go test -race -run '^%s$' ./integration", seed, t.Name())
	return rand.New(rand.NewPCG(seed, 0))
}

// binary builds eos-pipe, once for this test process. It is put beside the test binary, whose folder the go command
// removes.
var binary = sync.OnceValues(func() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), "eos-pipe-under-test")
	out, err := exec.Command("go", "build", "-o", path, "github.com/eos-pipe/eos-pipe/cmd/eos-pipe").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build eos-pipe: %w\n%s", err, out)
	}
	return path, nil
})

// process is one process of eos-pipe.
type process struct {
	t       *testing.T
	name    string // its instance id
	cmd     *exec.Cmd
	stdout  bytes.Buffer
	errPath string        // its stderr is written there
	exited  chan struct{} // closed when it has ended; code and stdout are final then
	code    int           // exit code; -1 after a signal
	doomed  bool          // its end with another code than 0 is what the test is about
}

// start starts an instance of `eos-pipe run`.
func (p *pipe) start(instance string, more ...string) *process {
	p.t.Helper()
	args := []string{"run", "--group", p.group, "--instance-id", instance, "--provenance", "--json", "--log-level", "debug"}
	return p.spawn(instance, slices.Concat(args, p.ends(), p.flags, more))
}

// ends are the flags that run and verify share.
func (p *pipe) ends() []string {
	args := []string{"-b", strings.Join(p.cluster.Bootstrap(), ","), "--from", strings.Join(p.from, ","), "--to", p.to[0]}
	if p.pattern != "" {
		args[2], args[3] = "--from-pattern", p.pattern
	}
	if p.filter != "" {
		args = append(args, "--filter", p.filter)
	}
	if p.mapping != "" {
		args = append(args, "--map", p.mapping)
	}
	return args
}

func (p *pipe) spawn(name string, args []string) *process {
	p.t.Helper()
	pr := spawn(p.t, fmt.Sprintf("%02d-%s", len(p.processes), name), args)
	pr.name = name
	p.processes = append(p.processes, pr)
	return pr
}

// spawn starts eos-pipe with any arguments. It is killed when the test ends, if it lives.
func spawn(t *testing.T, name string, args []string) *process {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	return launch(t, name, exec.Command(path, args...))
}

// launch starts a command that is eos-pipe, or passes on its output, its exit code and the signals that it gets.
func launch(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	pr := &process{t: t, name: name, cmd: cmd, exited: make(chan struct{}), errPath: filepath.Join(t.ArtifactDir(), name+".stderr")}
	stderr, err := os.Create(pr.errPath)
	require.NoError(t, err)
	pr.cmd.Stdout, pr.cmd.Stderr = &pr.stdout, stderr
	require.NoError(t, pr.cmd.Start())
	go func() {
		_ = pr.cmd.Wait() // the exit code says it
		stderr.Close()
		pr.code = pr.cmd.ProcessState.ExitCode()
		close(pr.exited)
	}()
	t.Cleanup(pr.end)
	return pr
}

// end is the cleanup. A process that runs though its test has failed first writes to stderr where its goroutines are.
func (pr *process) end() {
	if pr.t.Failed() && pr.alive() {
		_ = pr.cmd.Process.Signal(syscall.SIGCONT)
		_ = pr.cmd.Process.Signal(syscall.SIGQUIT)
		select {
		case <-pr.exited:
		case <-time.After(5 * time.Second):
		}
	}
	pr.kill()
}

// kill is kill -9; it returns when the process is gone.
func (pr *process) kill() {
	pr.doomed = true
	_ = pr.cmd.Process.Kill() // fails only when it is gone
	<-pr.exited
}

func (pr *process) signal(s syscall.Signal) {
	pr.t.Helper()
	require.NoError(pr.t, pr.cmd.Process.Signal(s), "%s is gone", pr.name)
}

// alive reports whether the process runs (or is stopped).
func (pr *process) alive() bool {
	select {
	case <-pr.exited:
		return false
	default:
		return true
	}
}

// wait returns the exit code, and fails the test if the process still runs after that time.
func (pr *process) wait(within time.Duration) int {
	pr.t.Helper()
	select {
	case <-pr.exited:
	case <-time.After(within):
		require.FailNow(pr.t, "the process does not end", "%s, within %v", pr.name, within)
	}
	return pr.code
}

// drain sends SIGTERM and requires that the process exits with 0 within 10 s. It returns how long that took.
func (pr *process) drain(s syscall.Signal) time.Duration {
	pr.t.Helper()
	began := time.Now()
	pr.signal(s)
	require.Zero(pr.t, pr.wait(10*time.Second), "exit code of %s after %v", pr.name, s)
	return time.Since(began)
}

// stderr returns what the process has written to stderr so far.
func (pr *process) stderr() string {
	text, err := os.ReadFile(pr.errPath)
	require.NoError(pr.t, err)
	return string(text)
}

// said returns what stderr says of how the process ended, and lines that are not of the log's form: "error: …" and "hint: …", as a person at a terminal
// reads them.
func (pr *process) said() []string {
	var lines []string
	for line := range strings.Lines(pr.stderr()) {
		var last struct {
			Err, Hint string
			ExitCode  int `json:"exit_code"`
		}
		switch err := json.Unmarshal([]byte(line), &last); {
		case err != nil:
			lines = append(lines, strings.TrimSpace(line))
		case last.ExitCode > 0:
			lines = append(lines, "error: "+last.Err, "hint: "+last.Hint)
		}
	}
	return lines
}

// requireSaid requires one error line, one hint line and the exit code, and that each text is in the error.
func (pr *process) requireSaid(code int, texts ...string) {
	pr.t.Helper()
	said := pr.said()
	require.Equal(pr.t, code, pr.code, "exit code; said %q", said)
	require.Len(pr.t, said, 2, "lines of stderr that are not the log")
	require.Regexp(pr.t, "^error: ", said[0])
	require.Regexp(pr.t, "^hint: ", said[1])
	for _, text := range texts {
		require.Contains(pr.t, said[0], text)
	}
}

// result is what `run --json` prints at its end.
type result struct {
	In, Out, Skipped, Transactions, Aborted int64
	Seconds                                 float64
}

func (pr *process) result() (r result) {
	pr.t.Helper()
	require.NoError(pr.t, json.Unmarshal(pr.stdout.Bytes(), &r), "stdout of %s: %q", pr.name, pr.stdout.String())
	return r
}

// end is the cleanup: it shows the logs of a test that failed. The processes have been ended by cleanups of their own.
func (p *pipe) end() {
	if !p.t.Failed() {
		return
	}
	for i, pr := range p.processes {
		var lines []string
		text, _, _ := strings.Cut(pr.stderr(), "\nSIGQUIT: quit")
		for line := range strings.Lines(text) {
			if !strings.Contains(line, `"level":"DEBUG"`) {
				lines = append(lines, line)
			}
		}
		p.t.Logf("process %02d %s, exit code %d, stdout %q; stderr without debug, its end (all of it, and goroutines: go test -artifacts):\n%s",
			i, pr.name, pr.code, pr.stdout.String(), strings.Join(lines[max(0, len(lines)-40):], ""))
	}
}

// await asks again and again until ok says so, and fails the test when that takes too long or a process fails meanwhile.
// An error of ok is asked again too: brokers may be down on purpose.
func (p *pipe) await(what string, within time.Duration, ok func(context.Context) (bool, error)) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), within)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		done, err := ask(ctx, ok)
		if done {
			return
		}
		for _, pr := range p.processes {
			if !pr.alive() && !pr.doomed && pr.code != 0 {
				require.FailNow(p.t, "a process failed", "%s: exit code %d, %q", pr.name, pr.code, pr.said())
			}
		}
		if err := p.feeding.err.Load(); err != nil {
			require.FailNow(p.t, "the input is not fed any more", "%v", *err)
		}
		select {
		case <-ctx.Done():
			require.FailNow(p.t, "it does not come true within "+within.String(), "%s; last error: %v", what, err)
		case <-again.C:
		}
		if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
			p.adm = p.cluster.Admin(p.t) // kgo sends OffsetFetch to a coordinator that it knows, even after that broker's death
		}
	}
}

func ask(ctx context.Context, ok func(context.Context) (bool, error)) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return ok(ctx)
}

// committed returns the group's committed offsets.
func (p *pipe) committed(ctx context.Context) (offsets.Set, error) {
	resp, err := p.adm.FetchOffsets(ctx, p.group)
	if err != nil {
		return nil, err
	}
	return committedIn(resp)
}

// stable returns the group's committed offsets after every transaction that may change them has ended.
func (p *pipe) stable(ctx context.Context) (offsets.Set, error) {
	resp, err := p.adm.FetchOffsets(kadm.RequireStable(ctx), p.group)
	if err != nil {
		return nil, err
	}
	return committedIn(resp)
}

func committedIn(resp kadm.OffsetResponses) (offsets.Set, error) {
	set := offsets.Set{}
	resp.Each(func(o kadm.OffsetResponse) {
		if o.At >= 0 {
			set[offsets.Partition{Topic: o.Topic, Number: o.Partition}] = offsets.NewPosition(o.At)
		}
	})
	return set, resp.Error()
}

// sum adds up a set's offsets, of the given partitions or, without any, of all.
func sum(set offsets.Set, only ...offsets.Partition) (n int64) {
	for p, pos := range set {
		if len(only) == 0 || slices.Contains(only, p) {
			n += pos.Offset
		}
	}
	return n
}

// awaitCommitted waits until the group has committed at least n offsets, and returns how many they are then.
func (p *pipe) awaitCommitted(n int64) (now int64) {
	p.t.Helper()
	p.await(fmt.Sprintf("the group commits %d offsets", n), 2*time.Minute, func(ctx context.Context) (bool, error) {
		set, err := p.committed(ctx)
		now = sum(set)
		return err == nil && now >= n, err
	})
	return now
}

// awaitMore waits until the group has committed n offsets more than now, and returns how many they are then.
func (p *pipe) awaitMore(n int64) int64 {
	p.t.Helper()
	return p.awaitCommitted(p.awaitCommitted(0) + n)
}

// awaitAll waits until the group has committed all that was fed.
func (p *pipe) awaitAll() {
	p.t.Helper()
	ends, err := p.listed(p.t.Context(), p.adm.ListCommittedOffsets, p.from)
	require.NoError(p.t, err)
	p.awaitCommitted(sum(ends))
}

// owners returns which instance of the pipe owns which partitions; instances without one are not in it.
func (p *pipe) owners(ctx context.Context) (map[string][]offsets.Partition, error) {
	groups, err := p.adm.DescribeGroups(ctx, p.group)
	if err != nil {
		return nil, err
	}
	if len(groups[p.group].Members) == 0 {
		return p.consumerOwners(ctx)
	}
	owners := map[string][]offsets.Partition{}
	for _, m := range groups[p.group].Members {
		assigned, ok := m.Assigned.AsConsumer()
		if !ok || m.InstanceID == nil {
			continue
		}
		name := p.instance(*m.InstanceID)
		for _, t := range assigned.Topics {
			for _, n := range t.Partitions {
				owners[name] = append(owners[name], offsets.Partition{Topic: t.Topic, Number: n})
			}
		}
	}
	return owners, groups.Error()
}

// consumerOwners are the owners in a group of the consumer protocol.
func (p *pipe) consumerOwners(ctx context.Context) (map[string][]offsets.Partition, error) {
	groups, err := p.adm.DescribeConsumerGroups(ctx, p.group)
	if err != nil {
		return nil, err
	}
	owners := map[string][]offsets.Partition{}
	for _, m := range groups[p.group].Members {
		if m.InstanceID == nil {
			continue
		}
		name := p.instance(*m.InstanceID)
		for topic, numbers := range m.Assignment {
			for n := range numbers {
				owners[name] = append(owners[name], offsets.Partition{Topic: topic, Number: n})
			}
		}
	}
	return owners, nil // a group without members, or none
}

// instance is the instance of which a static member is a lane.
func (p *pipe) instance(member string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(member, p.group+"-"), "-")
	return name
}

// awaitOwners waits until these instances, and no others, share all input partitions, and returns who owns which.
func (p *pipe) awaitOwners(within time.Duration, instances ...string) (owners map[string][]offsets.Partition) {
	p.t.Helper()
	p.await(fmt.Sprintf("%v own the input", instances), within, func(ctx context.Context) (_ bool, err error) {
		owners, err = p.owners(ctx)
		all := 0
		for _, name := range instances {
			if len(owners[name]) == 0 {
				return false, err
			}
			all += len(owners[name])
		}
		return err == nil && len(owners) == len(instances) && all == p.partitions(), err
	})
	return owners
}

// partitions returns how many partitions the input has.
func (p *pipe) partitions() int {
	p.t.Helper()
	ends, err := p.listed(p.t.Context(), p.adm.ListEndOffsets, p.from)
	require.NoError(p.t, err)
	return len(ends)
}

// transaction returns what the coordinator says of the transactional id of an instance's first lane.
func (p *pipe) transaction(ctx context.Context, instance string) (kadm.DescribedTransaction, error) {
	id := p.group + "-" + instance + "-0"
	described, err := p.adm.DescribeTransactions(ctx, id)
	if err != nil {
		return kadm.DescribedTransaction{}, err
	}
	return described[id], described[id].Err
}

// freezeInTransaction stops a process (SIGSTOP) while it has a transaction open.
func (p *pipe) freezeInTransaction(pr *process) {
	p.t.Helper()
	p.await(pr.name+" is stopped with an open transaction", time.Minute, func(ctx context.Context) (bool, error) {
		pr.signal(syscall.SIGSTOP)
		for range 2 { // what it had sent before it was stopped may still end the transaction; on a slow broker even later
			txn, err := p.transaction(ctx, pr.name)
			if err != nil || txn.State != "Ongoing" {
				pr.signal(syscall.SIGCONT)
				return false, err
			}
		}
		return true, nil
	})
}
