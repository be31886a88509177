package kafkatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// nativeNode is a broker that the script docker/kafka/native runs as a process of its own.
type nativeNode struct {
	config
	dir string
	id  int
}

// startNative is the backend that runs brokers without docker, on this machine's Java.
func startNative(ctx context.Context, cfg config) ([]node, func(context.Context) error, error) {
	// The name tells docker/kafka/sweep whose it is.
	dir, err := os.MkdirTemp("", fmt.Sprintf("eos-pipe-test-%d-", os.Getpid()))
	if err != nil {
		return nil, nil, err
	}
	var nodes []node
	for i := range cfg.brokers {
		nodes = append(nodes, nativeNode{config: cfg, dir: dir, id: i + 1})
	}
	remove := func(ctx context.Context) error { return cfg.native(ctx, "down", "--dir", dir) }
	args := []string{"up", "--dir", dir, "--brokers", strconv.Itoa(cfg.brokers), "--port", strconv.Itoa(cfg.port)}
	for name, value := range cfg.settings {
		args = append(args, "--set", name+"="+value)
	}
	if cfg.listener != "" {
		plain := "PLAINTEXT://" + cfg.address(1)
		secure := "SECURE://" + cfg.secureAddress()
		args = append(
			args,
			"--set", fmt.Sprintf("listeners=%s,CONTROLLER://%s,%s", plain, net.JoinHostPort(host, strconv.Itoa(cfg.port+controllerPorts)), secure),
			"--set", "advertised.listeners="+plain+","+secure,
			"--set", "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:"+cfg.listener,
		)
	}
	if err := cfg.native(ctx, args...); err != nil {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return nil, nil, errors.Join(err, remove(cleanup), os.RemoveAll(dir))
	}
	return nodes, remove, nil
}

func (n nativeNode) kill(ctx context.Context) error { return n.do(ctx, "kill") }

func (n nativeNode) stop(ctx context.Context) error { return n.do(ctx, "stop") }

func (n nativeNode) start(ctx context.Context) error { return n.do(ctx, "start") }

func (n nativeNode) pause(ctx context.Context) error { return n.do(ctx, "pause") }

func (n nativeNode) resume(ctx context.Context) error { return n.do(ctx, "resume") }

func (n nativeNode) wait(ctx context.Context) error { return n.do(ctx, "wait") }

func (n nativeNode) do(ctx context.Context, action string) error {
	return n.native(ctx, action, "--dir", n.dir, "--node", strconv.Itoa(n.id))
}

func (n nativeNode) log(context.Context) (string, error) {
	text, err := os.ReadFile(filepath.Join(n.dir, fmt.Sprintf("node-%d", n.id), "log"))
	return string(text), err
}

// native runs the script docker/kafka/native; an error carries what it said.
func (c config) native(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(c.scripts, "native"), args...)
	cmd.Env = append(os.Environ(), "EOS_TEST_KAFKA_VERSION="+c.version, "KAFKA_HEAP_OPTS="+heap)
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.WaitDelay = time.Second // should a broker have kept the pipe open
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("docker/kafka/native %s: %w\n%s", args[0], err, lastLines(said.String(), 20))
	}
	return nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
