// Package proc runs the real `eos-pipe` as processes on real Kafka, for tests that know nothing of it but its command line, its exit
// codes and what the brokers say. A [Pipe] makes its own input (feed.go) and judges its output (audit.go) by what a plain client reads.
package proc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// Pipe is one pipe under test: its topics, its group, and the processes that run it.
type Pipe struct {
	bench.Ground
	Rand    *rand.Rand
	From    []string // input topics
	Pattern string   // --from-pattern in the place of --from, which matches them; "": none
	To      []string // output topics; --to is the first, the others are reached by --map
	Flags   []string // of every process

	Filter, Mapping string                                                     // --filter and --map, for run and verify alike
	Expect          func(*kgo.Record) []*kgo.Record                            // what must come of an input record; nil: a copy in To[0]
	Record          func(n int64, at offsets.Partition, seq int64) *kgo.Record // makes the input; nil: AnyRecord

	Feeding   Feeding
	Processes []*Process
}

// Shape says how many partitions each of a pipe's topics has.
type Shape struct{ From, To []int32 }

// SixToSix is an input and an output of six partitions each.
var SixToSix = Shape{From: []int32{6}, To: []int32{6}}

// New makes a pipe with topics of its own; flags are given to each of its processes. Its processes end with the test.
func New(t *testing.T, cluster *kafkatest.Cluster, s Shape, flags ...string) *Pipe {
	ground := bench.Ground{T: t, Cluster: cluster, Adm: cluster.Admin(t), Group: kafkatest.Name(t, "group")}
	p := &Pipe{Ground: ground, Rand: bench.Seeded(t), Flags: flags}
	for _, n := range s.From {
		p.From = append(p.From, kafkatest.Name(t, "in"))
		cluster.CreateTopic(t, p.From[len(p.From)-1], n)
	}
	for _, n := range s.To {
		p.To = append(p.To, kafkatest.Name(t, "out"))
		cluster.CreateTopic(t, p.To[len(p.To)-1], n)
	}
	t.ArtifactDir() // before the cleanup below, which reads what is in it
	t.Cleanup(p.end)
	return p
}

// Start starts an instance of `eos-pipe run`.
func (p *Pipe) Start(instance string, more ...string) *Process {
	p.T.Helper()
	args := []string{"run", "--group", p.Group, "--instance-id", instance, "--provenance", "--json", "--log-level", "debug"}
	return p.Spawn(instance, slices.Concat(args, p.Ends(), p.Flags, more))
}

// Ends are the flags that run and verify share.
func (p *Pipe) Ends() []string {
	args := []string{"-b", strings.Join(p.Cluster.Bootstrap(), ","), "--from", strings.Join(p.From, ","), "--to", p.To[0]}
	if p.Pattern != "" {
		args[2], args[3] = "--from-pattern", p.Pattern
	}
	if p.Filter != "" {
		args = append(args, "--filter", p.Filter)
	}
	if p.Mapping != "" {
		args = append(args, "--map", p.Mapping)
	}
	return args
}

// Spawn starts eos-pipe with any arguments as a process of this pipe: [Pipe.Await] fails the test if it fails.
func (p *Pipe) Spawn(name string, args []string) *Process {
	p.T.Helper()
	pr := Spawn(p.T, fmt.Sprintf("%02d-%s", len(p.Processes), name), args)
	pr.Name = name
	p.Processes = append(p.Processes, pr)
	return pr
}

// end is the cleanup: it shows the logs of a test that failed. The processes have been ended by cleanups of their own.
func (p *Pipe) end() {
	if !p.T.Failed() {
		return
	}
	for i, pr := range p.Processes {
		var lines []string
		text, _, _ := strings.Cut(pr.Stderr(), "\nSIGQUIT: quit")
		for line := range strings.Lines(text) {
			if !strings.Contains(line, `"level":"DEBUG"`) {
				lines = append(lines, line)
			}
		}
		p.T.Logf("process %02d %s, exit code %d, stdout %q; stderr without debug, its end (all of it, and goroutines: go test -artifacts):\n%s",
			i, pr.Name, pr.Code, pr.Stdout.String(), strings.Join(lines[max(0, len(lines)-40):], ""))
	}
}

// Await asks again and again until ok says so, and fails the test when that takes too long or a process fails meanwhile.
// An error of ok is asked again too: brokers may be down on purpose.
func (p *Pipe) Await(what string, within time.Duration, ok func(context.Context) (bool, error)) {
	p.T.Helper()
	ctx, cancel := context.WithTimeout(p.T.Context(), within)
	defer cancel()
	var last error
	if !bench.Until(ctx, func() bool {
		var done bool
		if done, last = ask(ctx, ok); done {
			return true
		}
		p.requireUndisturbed()
		if dial, ok := errors.AsType[*net.OpError](last); ok && dial.Op == "dial" {
			p.Adm = p.Cluster.Admin(p.T) // kgo sends OffsetFetch to a coordinator that it knows, even after that broker's death
		}
		return false
	}) {
		require.FailNow(p.T, "it does not come true within "+within.String(), "%s; last error: %v", what, last)
	}
}

// requireUndisturbed fails the test if a process has failed that was not to, or if the input is not fed any more.
func (p *Pipe) requireUndisturbed() {
	p.T.Helper()
	for _, pr := range p.Processes {
		if !pr.Alive() && !pr.Doomed && pr.Code != 0 {
			require.FailNow(p.T, "a process failed", "%s: exit code %d, %q", pr.Name, pr.Code, pr.Said())
		}
	}
	if err := p.Feeding.err.Load(); err != nil {
		require.FailNow(p.T, "the input is not fed any more", "%v", *err)
	}
}

func ask(ctx context.Context, ok func(context.Context) (bool, error)) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return ok(ctx)
}
