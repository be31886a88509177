package integration

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// Instances join, leave and come back while records keep coming: each time the partitions move to those that are there,
// and every record comes over once, in order.
func TestRebalance(t *testing.T) {
	p := newPipe(t, kafkatest.Shared(t), sixToSix, "--session-timeout", "6s", "--transaction-timeout", "10s", "--max-records", "500")
	stop := p.feed(20_000)
	step := func(instances ...string) {
		t.Helper()
		p.awaitOwners(40*time.Second, instances...)
		p.awaitMore(5_000)
	}
	a := p.start("a")
	step("a")
	b := p.start("b", "--lanes", "2")
	step("a", "b")
	c := p.start("c")
	step("a", "b", "c")
	a.drain(syscall.SIGTERM)
	step("b", "c")
	a = p.start("a", "--lanes", "3")
	step("a", "b", "c")
	b.kill()
	step("a", "c") // after the session timeout
	b = p.start("b")
	c.drain(syscall.SIGTERM)
	step("a", "b")
	total := stop()
	p.awaitAll()
	a.drain(syscall.SIGTERM)
	b.drain(syscall.SIGTERM)
	for _, pr := range []*process{a, b, c} {
		require.Positive(t, pr.result().In, pr.name)
	}
	p.awaitNothingOpen(30 * time.Second)
	p.requireExactlyOnce(total, total)
}

// With more instances than partitions some have nothing to do; they take over when others leave, and all of them end
// with --until-end.
func TestMoreInstancesThanPartitions(t *testing.T) {
	p := newPipe(t, kafkatest.Shared(t), shape{from: []int32{2}, to: []int32{2}}, "--session-timeout", "6s", "--transaction-timeout", "10s",
		"--max-records", "500", "--lanes", "2")
	stop := p.feed(10_000)
	a, b := p.start("a"), p.start("b")
	p.awaitMore(10_000)
	a.drain(syscall.SIGTERM)
	p.awaitOwners(20*time.Second, "b")
	c := p.start("c")
	p.awaitMore(10_000)
	total := stop()
	d := p.start("d", "--until-end")
	require.Zero(t, d.wait(time.Minute))
	b.drain(syscall.SIGTERM)
	c.drain(syscall.SIGTERM)
	p.requireExactlyOnce(total, total)
}
