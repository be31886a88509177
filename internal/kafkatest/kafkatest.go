// Package kafkatest gives a test a real Kafka cluster.
//
// A package whose tests need Kafka hands its TestMain to [Main] and holds no other tests, since without Kafka none of
// them runs. A test then takes either the [Shared] cluster of its process, for anything that leaves the brokers alone,
// or one of its own by [Start], whose brokers it may kill and start again.
//
// Where the brokers come from is said by the environment, which `make test` provides (docker/kafka/provide):
//
//	EOS_TEST_KAFKA          docker: containers of apache/kafka; native: processes on Java, by docker/kafka/native
//	EOS_TEST_BOOTSTRAP      a cluster that is there already, for Shared ("host:port,host:port")
//	EOS_TEST_KAFKA_VERSION  the version of Kafka; by default what docker/kafka/version says
//
// Nothing here ever skips a test: a test that cannot have its cluster fails.
package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// How long a cluster may take to start, or a broker to come back in sync, and to be removed. Both take seconds; the
// bounds leave room for a machine that is busy with other work.
const (
	startTimeout = 3 * time.Minute
	stopTimeout  = time.Minute
)

// Cluster is a Kafka cluster in use by a test. Its methods may be called by several goroutines at once, but only one at
// a time may kill or restart brokers.
type Cluster struct {
	bootstrap []string
	// secure is where the second listener is; see Listener.
	secure string
	// nodes are the brokers, node i+1 at index i, listening at bootstrap[i]. Empty if the cluster is not ours.
	nodes []node
	// dead[i] is true from the kill of node i+1 until it is started again, and while it is paused.
	dead []bool
	// untouchable says why brokers of this cluster must not be killed; empty if they may.
	untouchable string
	// remove ends all brokers and removes their data.
	remove func(context.Context) error
}

// node is one broker (and controller) of a cluster of ours.
type node interface {
	// kill ends the broker as SIGKILL does and returns when it is gone; its data stay.
	kill(ctx context.Context) error
	// stop ends the broker as an operator does, and returns when it is gone.
	stop(ctx context.Context) error
	// start starts a killed broker again, with its port and its data. It need not wait until the broker serves.
	start(ctx context.Context) error
	// pause stops the broker's process where it is, and resume lets it go on.
	pause(ctx context.Context) error
	resume(ctx context.Context) error
	// wait returns when the broker has ended by itself.
	wait(ctx context.Context) error
	// log returns what the broker has logged since the cluster was started.
	log(ctx context.Context) (string, error)
}

// backend starts the brokers of a cluster, all at the same time, and returns them with a function that removes them.
// If it fails, nothing of the cluster remains.
type backend func(ctx context.Context, cfg config) ([]node, func(context.Context) error, error)

var backends = map[string]backend{"docker": startDocker, "native": startNative}

// Start gives the test a cluster of its own: one broker unless [Brokers] says three. It returns when all brokers serve,
// and the cluster is removed when the test ends. If a cluster cannot be had, the test fails at once. When the test
// fails, the brokers' logs are kept among its artifacts (go test -artifacts).
func Start(t testing.TB, options ...Option) *Cluster {
	t.Helper()
	note(t)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	c, err := start(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), stopTimeout)
		defer cancel()
		if t.Failed() {
			c.keepLogs(ctx, t)
		}
		if err := c.remove(ctx); err != nil {
			t.Errorf("the test's Kafka cluster is not removed: %v", err)
		}
	})
	return c
}

// shared is the one cluster of this process; [Main] removes it.
var shared struct {
	sync.Mutex
	allowed bool // Main runs the tests, and so will remove it
	cluster *Cluster
	err     error
}

// Shared returns the cluster that all tests of this process share: the one at $EOS_TEST_BOOTSTRAP or, without it, one
// broker, which the first call starts. Its brokers must not be killed; use names of your own on it (see [Name]). If it
// cannot be had, every test that asks fails with the same reason.
func Shared(t testing.TB) *Cluster {
	t.Helper()
	note(t)
	shared.Lock()
	defer shared.Unlock()
	if !shared.allowed {
		t.Fatal("kafkatest.Shared needs func TestMain(m *testing.M) { kafkatest.Main(m) }, which removes the cluster")
	}
	if shared.cluster == nil && shared.err == nil {
		// It outlives the test that happens to ask first.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), startTimeout)
		defer cancel()
		shared.cluster, shared.err = startShared(ctx)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}

func startShared(ctx context.Context) (*Cluster, error) {
	if bootstrap := os.Getenv("EOS_TEST_BOOTSTRAP"); bootstrap != "" {
		return &Cluster{
			bootstrap:   strings.Split(bootstrap, ","),
			untouchable: "it is the cluster at $EOS_TEST_BOOTSTRAP",
			remove:      func(context.Context) error { return nil },
		}, nil
	}
	c, err := start(ctx, nil)
	if err != nil {
		return nil, err
	}
	c.untouchable = "it is shared by all tests of this process; use kafkatest.Start"
	return c, nil
}

// removeShared removes the shared cluster if one was started.
func removeShared() error {
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return shared.cluster.remove(ctx)
}

func start(ctx context.Context, options []Option) (*Cluster, error) {
	cfg, err := newConfig(options)
	if err != nil {
		return nil, err
	}
	begin, ok := backends[os.Getenv("EOS_TEST_KAFKA")]
	if !ok {
		return nil, fmt.Errorf("no Kafka of the test's own: EOS_TEST_KAFKA is %q, and only with docker or native can brokers "+
			"be started and killed ($EOS_TEST_BOOTSTRAP serves kafkatest.Shared only); run `make test`",
			os.Getenv("EOS_TEST_KAFKA"))
	}
	nodes, remove, err := begin(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("start %d Kafka broker(s): %w", cfg.brokers, err)
	}
	c := &Cluster{nodes: nodes, dead: make([]bool, cfg.brokers), remove: remove, secure: cfg.secureAddress()}
	for i := range nodes {
		c.bootstrap = append(c.bootstrap, cfg.address(i+1))
	}
	if err := c.waitReady(ctx); err != nil {
		err = fmt.Errorf("start %d Kafka broker(s): %w", cfg.brokers, err)
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return nil, errors.Join(err, remove(cleanup))
	}
	return c, nil
}

// Bootstrap returns the addresses of all brokers, dead ones included, in the order of their node ids.
func (c *Cluster) Bootstrap() []string { return append([]string(nil), c.bootstrap...) }

// Secure returns the address of the second listener, which [Listener] asks for.
func (c *Cluster) Secure() []string { return []string{c.secure} }

// Kill ends a broker as SIGKILL does; nodes count from 1, as node.id does. It returns when the process is gone. The
// rest of the cluster notices after broker.session.timeout.ms; the broker's data stay for [Cluster.Restart].
func (c *Cluster) Kill(t testing.TB, id int) {
	t.Helper()
	c.end(t, id, "kill", node.kill)
}

// Stop ends a broker as an operator does: it writes what it needs for a clean start, such as the snapshots of its producers.
// Otherwise it is like [Cluster.Kill].
func (c *Cluster) Stop(t testing.TB, id int) {
	t.Helper()
	c.end(t, id, "stop", node.stop)
}

func (c *Cluster) end(t testing.TB, id int, verb string, how func(node, context.Context) error) {
	t.Helper()
	i := c.index(t, id, false)
	ctx, cancel := context.WithTimeout(t.Context(), stopTimeout)
	defer cancel()
	if err := how(c.nodes[i], ctx); err != nil {
		t.Fatalf("%s broker %d: %v", verb, id, err)
	}
	c.dead[i] = true
}

// Pause stops a broker's process where it is, as SIGSTOP does: its connections stay open and nobody answers. For the rest
// of the cluster and for this package it is dead until [Cluster.Resume].
func (c *Cluster) Pause(t testing.TB, id int) {
	t.Helper()
	c.end(t, id, "pause", node.pause)
}

// AwaitEnd returns when a broker has ended by itself, as it does when its disk fails.
func (c *Cluster) AwaitEnd(t testing.TB, id int) {
	t.Helper()
	c.end(t, id, "wait for the end of", node.wait)
}

// Restart starts a killed broker again at the same address and with the same data. It returns when that broker and all
// others that live say that every partition has a leader and all its replicas on living brokers in sync.
func (c *Cluster) Restart(t testing.TB, id int) {
	t.Helper()
	c.begin(t, id, "start", node.start)
}

// Resume lets a paused broker go on, and returns when Restart would.
func (c *Cluster) Resume(t testing.TB, id int) {
	t.Helper()
	c.begin(t, id, "resume", node.resume)
}

func (c *Cluster) begin(t testing.TB, id int, verb string, how func(node, context.Context) error) {
	t.Helper()
	i := c.index(t, id, true)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	if err := how(c.nodes[i], ctx); err != nil {
		t.Fatalf("%s broker %d again: %v", verb, id, err)
	}
	c.dead[i] = false
	if err := c.waitReady(ctx); err != nil {
		t.Fatalf("%s broker %d again: %v", verb, id, err)
	}
}

// index returns the index of a node that the test may touch and that is dead or not as asked; otherwise the test fails.
func (c *Cluster) index(t testing.TB, node int, dead bool) int {
	t.Helper()
	switch {
	case c.untouchable != "":
		t.Fatalf("the brokers of this cluster must not be touched: %s", c.untouchable)
	case node < 1 || node > len(c.nodes):
		t.Fatalf("there is no broker %d in a cluster of %d", node, len(c.nodes))
	case c.dead[node-1] && !dead:
		t.Fatalf("broker %d is dead already", node)
	case !c.dead[node-1] && dead:
		t.Fatalf("broker %d was not killed", node)
	}
	return node - 1
}

// keepLogs writes the log of every broker to the test's artifacts; where that fails it only says so.
func (c *Cluster) keepLogs(ctx context.Context, t testing.TB) {
	for i, n := range c.nodes {
		text, err := n.log(ctx)
		if err == nil {
			err = os.WriteFile(filepath.Join(t.ArtifactDir(), fmt.Sprintf("broker-%d.log", i+1)), []byte(text), 0o600)
		}
		if err != nil {
			t.Logf("the log of broker %d is not kept: %v", i+1, err)
		}
	}
}
