package kafkatest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Option changes what cluster [Start] gives.
type Option func(*config)

// Brokers asks for n brokers, 1 or 3. With three, every topic has three replicas unless it is created otherwise, and a
// write with acks=all needs two of them in sync.
func Brokers(n int) Option { return func(c *config) { c.brokers = n } }

// Set sets a broker setting by its name in server.properties, on all brokers; it wins over the defaults of this package.
func Set(name, value string) Option { return func(c *config) { c.settings[name] = value } }

// Listener gives the one broker a second listener, of that security protocol, beside the plaintext one, which stays open. The
// settings are its own: they get the listener's prefix. See [Cluster.Secure].
func Listener(protocol string, settings map[string]string) Option {
	return func(c *config) {
		c.listener = protocol
		for name, value := range settings {
			c.settings["listener.name.secure."+name] = value
		}
	}
}

// On puts the data of the one broker on that disk.
func On(d *Disk) Option {
	return func(c *config) { c.disk, c.settings["log.dirs"] = d, filepath.Join(d.dir, "data") }
}

// config is what a backend needs to know to start a cluster.
type config struct {
	brokers int
	// settings are what the brokers have in common, listeners and identities excepted.
	settings map[string]string
	version  string
	// disk is where the broker's data lie, nil for the machine's.
	disk *Disk
	// listener is the security protocol of the second listener, "" if there is none.
	listener string
	// scripts is the folder docker/kafka of this repository.
	scripts string
	// port is that of node 1 on 127.0.0.1; node i has port+i-1, and port+controllerPorts+i-1 is free for its controller. The
	// second listener of node 1 is at port+listenerPorts.
	port int
}

const (
	host            = "127.0.0.1"
	controllerPorts = 100
	listenerPorts   = 200
	heap            = "-Xmx512m"
)

func newConfig(options []Option) (config, error) {
	cfg := config{brokers: 1, settings: map[string]string{}}
	for _, option := range options {
		option(&cfg)
	}
	if cfg.brokers != 1 && cfg.brokers != 3 {
		return config{}, fmt.Errorf("a test cluster has 1 or 3 brokers, not %d", cfg.brokers)
	}
	if cfg.disk != nil && cfg.brokers != 1 {
		return config{}, errors.New("a disk serves one broker")
	}
	if cfg.listener != "" && cfg.brokers != 1 {
		return config{}, errors.New("a second listener is for one broker")
	}
	settings := defaults(cfg.brokers)
	maps.Copy(settings, cfg.settings)
	cfg.settings = settings
	var err error
	if cfg.scripts, err = findScripts(); err != nil {
		return config{}, err
	}
	if cfg.version, err = kafkaVersion(cfg.scripts); err != nil {
		return config{}, err
	}
	cfg.port, err = freePorts(cfg.brokers)
	return cfg, err
}

// address is where clients reach the node of that id.
func (c config) address(id int) string { return net.JoinHostPort(host, strconv.Itoa(c.port+id-1)) }

// secureAddress is where clients reach the second listener.
func (c config) secureAddress() string {
	return net.JoinHostPort(host, strconv.Itoa(c.port+listenerPorts))
}

// defaults are the settings of a cluster that differ from Kafka's own defaults, so that tests are fast: what is waited
// for in production for the sake of many brokers and many clients is not waited for here.
func defaults(brokers int) map[string]string {
	replicas, inSync := strconv.Itoa(brokers), "1"
	if brokers == 3 {
		inSync = "2"
	}
	return map[string]string{
		"default.replication.factor":                       replicas,
		"min.insync.replicas":                              inSync,
		"offsets.topic.replication.factor":                 replicas,
		"transaction.state.log.replication.factor":         replicas,
		"transaction.state.log.min.isr":                    inSync,
		"share.coordinator.state.topic.replication.factor": replicas,
		"share.coordinator.state.topic.min.isr":            inSync,
		// 50 partitions each by default, which cost seconds at every start.
		"offsets.topic.num.partitions":         "4",
		"transaction.state.log.num.partitions": "4",
		// Groups form at once, and members may ask for a short session.
		"group.initial.rebalance.delay.ms": "0",
		"group.min.session.timeout.ms":     "1000",
		// The same for groups of the consumer protocol, where the brokers say how often members are to be heard.
		"group.consumer.min.session.timeout.ms":    "1000",
		"group.consumer.heartbeat.interval.ms":     "500",
		"group.consumer.min.heartbeat.interval.ms": "100",
		// A transaction that has timed out is aborted within a second, not ten.
		"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
		// A broker that is gone is noticed after 3 s, not 9; a killed one is let in again no sooner than that.
		"broker.session.timeout.ms":    "3000",
		"broker.heartbeat.interval.ms": "500",
	}
}

// findScripts returns the folder docker/kafka of the module that the test belongs to.
func findScripts() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return filepath.Join(dir, "docker", "kafka"), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return "", errors.New("the test does not run inside the module: no go.mod in its folder or above")
		}
	}
}

func kafkaVersion(scripts string) (string, error) {
	if version := os.Getenv("EOS_TEST_KAFKA_VERSION"); version != "" {
		return version, nil
	}
	text, err := os.ReadFile(filepath.Join(scripts, "version"))
	if err != nil {
		return "", fmt.Errorf("the version of Kafka is not known: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// freePorts returns the first of n successive ports that are free and whose counterparts for controllers are. They lie
// below 32768, where the kernel takes the ports of outgoing connections from: while a broker is down, no connection
// shall take its port, nor shall a client that tries to reach it connect to itself.
func freePorts(n int) (int, error) {
	for range 100 {
		port, free := 20000+rand.IntN(12000), true
		for i := range n {
			free = free && isFree(port+i) && isFree(port+controllerPorts+i) && isFree(port+listenerPorts+i)
		}
		if free {
			return port, nil
		}
	}
	return 0, errors.New("no free ports between 20000 and 32200")
}

func isFree(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	return err == nil && l.Close() == nil
}
