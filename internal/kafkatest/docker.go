package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	dockernet "github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"
)

// label marks what belongs to this test process, by its id, for docker/kafka/sweep.
const label = "eos-pipe.test-process"

// dockerNode is a broker in a container of apache/kafka. Its data lie in the container's own file system and so survive
// as long as the container does.
type dockerNode struct {
	*testcontainers.DockerContainer
}

// startDocker is the backend that runs brokers in containers. The daemon must be on this machine: brokers are reached at
// 127.0.0.1.
func startDocker(ctx context.Context, cfg config) ([]node, func(context.Context) error, error) {
	d := &dockerCluster{config: cfg, nodes: make([]*testcontainers.DockerContainer, cfg.brokers)}
	if err := d.start(ctx); err != nil {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return nil, nil, errors.Join(err, d.remove(cleanup))
	}
	var nodes []node
	for _, c := range d.nodes {
		nodes = append(nodes, dockerNode{c})
	}
	return nodes, d.remove, nil
}

// dockerCluster holds what must be removed in the end; a start that failed leaves some of it nil.
type dockerCluster struct {
	config
	network *testcontainers.DockerNetwork
	nodes   []*testcontainers.DockerContainer
}

func (d *dockerCluster) start(ctx context.Context) (err error) {
	if d.brokers > 1 { // a single one needs nobody's name
		d.network, err = network.New(ctx, network.WithLabels(labels()))
		if err != nil {
			return fmt.Errorf("create a docker network: %w", err)
		}
	}
	// All at the same time: one node alone never gets ready.
	errs := make([]error, d.brokers)
	var starts sync.WaitGroup
	for i := range d.brokers {
		starts.Go(func() { errs[i] = d.startNode(ctx, i+1) })
	}
	starts.Wait()
	return errors.Join(errs...)
}

func (d *dockerCluster) startNode(ctx context.Context, id int) error {
	options := []testcontainers.ContainerCustomizer{
		testcontainers.WithLabels(labels()),
		testcontainers.WithEnv(d.env(id)),
		d.publish(d.port + id - 1),
		testcontainers.WithWaitStrategyAndDeadline(startTimeout, wait.ForLog("Kafka Server started").WithStartupTimeout(startTimeout)),
	}
	if d.network != nil {
		options = append(options, network.WithNetwork([]string{d.host(id)}, d.network))
	}
	c, err := testcontainers.Run(ctx, "apache/kafka:"+d.version, options...)
	d.nodes[id-1] = c
	if err != nil {
		return fmt.Errorf("broker %d: %w%s", id, err, tail(ctx, c))
	}
	return nil
}

// remove removes the containers, with their data, and the network.
func (d *dockerCluster) remove(ctx context.Context) error {
	errs := make([]error, len(d.nodes))
	var removals sync.WaitGroup
	for i, c := range d.nodes {
		if c != nil {
			removals.Go(func() {
				errs[i] = testcontainers.TerminateContainer(c, testcontainers.StopContext(ctx), testcontainers.StopTimeout(0))
			})
		}
	}
	removals.Wait()
	if d.network != nil {
		errs = append(errs, d.network.Remove(ctx))
	}
	return errors.Join(errs...)
}

// env is the configuration of a node, as the image takes it.
func (d *dockerCluster) env(id int) map[string]string {
	var voters []string
	for i := range d.brokers {
		voters = append(voters, fmt.Sprintf("%d@%s:9093", i+1, d.host(i+1)))
	}
	env := map[string]string{
		"CLUSTER_ID":                           "5L6g3nShT-eMCtK--X86sw", // any, but the same on every node
		"KAFKA_HEAP_OPTS":                      heap,
		"KAFKA_NODE_ID":                        strconv.Itoa(id),
		"KAFKA_PROCESS_ROLES":                  "broker,controller",
		"KAFKA_CONTROLLER_QUORUM_VOTERS":       strings.Join(voters, ","),
		"KAFKA_CONTROLLER_LISTENER_NAMES":      "CONTROLLER",
		"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "HOST:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"KAFKA_INTER_BROKER_LISTENER_NAME":     "INTERNAL",
		"KAFKA_LISTENERS":                      "HOST://:9092,INTERNAL://:19092,CONTROLLER://:9093",
		"KAFKA_ADVERTISED_LISTENERS":           fmt.Sprintf("HOST://%s,INTERNAL://%s:19092", d.address(id), d.host(id)),
	}
	if d.listener != "" {
		env["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"] += ",SECURE:" + d.listener
		env["KAFKA_LISTENERS"] += ",SECURE://:9094"
		env["KAFKA_ADVERTISED_LISTENERS"] += ",SECURE://" + d.secureAddress()
	}
	for name, value := range d.settings {
		env[envName(name)] = value
	}
	return env
}

// host is the name by which the other nodes reach a node.
func (d *dockerCluster) host(id int) string {
	if d.brokers == 1 {
		return "localhost"
	}
	return fmt.Sprintf("kafka-%d", id)
}

// envName is the variable by which the image takes a setting.
func envName(setting string) string {
	return "KAFKA_" + strings.ToUpper(strings.NewReplacer(".", "_", "_", "__", "-", "___").Replace(setting))
}

// publish binds the container's port 9092 to a port of our choice, which stays the same when the container is started
// again; one that docker chose would change. It also gives the container the disk that the cluster lies on, if any.
func (d *dockerCluster) publish(port int) testcontainers.CustomizeRequestOption {
	return func(req *testcontainers.GenericContainerRequest) error {
		inside, secure := dockernet.MustParsePort("9092/tcp"), dockernet.MustParsePort("9094/tcp")
		req.ExposedPorts = []string{inside.String()}
		if d.listener != "" {
			req.ExposedPorts = append(req.ExposedPorts, secure.String())
		}
		return testcontainers.WithHostConfigModifier(func(hc *container.HostConfig) {
			hc.PortBindings = dockernet.PortMap{inside: {{HostIP: netip.MustParseAddr(host), HostPort: strconv.Itoa(port)}}}
			if d.listener != "" {
				hc.PortBindings[secure] = []dockernet.PortBinding{{HostIP: netip.MustParseAddr(host), HostPort: strconv.Itoa(port + listenerPorts)}}
			}
			if d.disk != nil {
				hc.Binds = []string{d.disk.dir + ":" + d.disk.dir}
			}
		})(req)
	}
}

func labels() map[string]string { return map[string]string{label: strconv.Itoa(os.Getpid())} }

func (n dockerNode) kill(ctx context.Context) error { return n.signal(ctx, "KILL") }

// pause and resume send signals, since a container that docker has paused cannot be removed. Process 1 is the broker.
func (n dockerNode) pause(ctx context.Context) error { return n.signal(ctx, "STOP") }

func (n dockerNode) resume(ctx context.Context) error { return n.signal(ctx, "CONT") }

func (n dockerNode) signal(ctx context.Context, name string) error {
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return err
	}
	defer docker.Close()
	_, err = docker.ContainerKill(ctx, n.GetContainerID(), client.ContainerKillOptions{Signal: name})
	return err
}

func (n dockerNode) stop(ctx context.Context) error { return n.Stop(ctx, nil) }

// start returns as soon as the container runs: the line of the log that stands for readiness is there from the last time.
func (n dockerNode) start(ctx context.Context) error { return n.Start(ctx) }

func (n dockerNode) wait(ctx context.Context) error {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		state, err := n.State(ctx)
		if err != nil || !state.Running {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the container still runs: %w", ctx.Err())
		case <-again.C:
		}
	}
}

func (n dockerNode) log(ctx context.Context) (string, error) {
	r, err := n.Logs(ctx)
	if err != nil {
		return "", err
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	return string(text), err
}

// tail returns the end of a container's log, to explain why it did not start.
func tail(ctx context.Context, c *testcontainers.DockerContainer) string {
	if c == nil {
		return ""
	}
	text, err := dockerNode{c}.log(context.WithoutCancel(ctx))
	if err != nil {
		return ""
	}
	return "\n" + lastLines(text, 20)
}
