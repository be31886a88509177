package pipe

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// Instances join, leave and come back while records keep coming: each time the partitions move to those that are there,
// and every record comes over once, in order.
func TestRebalance(t *testing.T) {
	p := proc.New(t, kafkatest.Shared(t), proc.SixToSix, "--session-timeout", "6s", "--transaction-timeout", "10s", "--max-records", "500")
	stop := p.Feed(20_000)
	step := func(instances ...string) {
		t.Helper()
		p.AwaitOwners(40*time.Second, instances...)
		p.AwaitMore(5_000)
	}
	a := p.Start("a")
	step("a")
	b := p.Start("b", "--lanes", "2")
	step("a", "b")
	c := p.Start("c")
	step("a", "b", "c")
	a.Drain(syscall.SIGTERM)
	step("b", "c")
	a = p.Start("a", "--lanes", "3")
	step("a", "b", "c")
	b.Kill()
	step("a", "c") // after the session timeout
	b = p.Start("b")
	c.Drain(syscall.SIGTERM)
	step("a", "b")
	total := stop()
	p.AwaitAll()
	a.Drain(syscall.SIGTERM)
	b.Drain(syscall.SIGTERM)
	for _, pr := range []*proc.Process{a, b, c} {
		require.Positive(t, pr.Result().In, pr.Name)
	}
	p.AwaitNothingOpen(30 * time.Second)
	p.RequireExactlyOnce(total, total)
}

// With more instances than partitions some have nothing to do; they take over when others leave, and all of them end
// with --until-end.
func TestMoreInstancesThanPartitions(t *testing.T) {
	p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{2}, To: []int32{2}}, "--session-timeout", "6s", "--transaction-timeout", "10s",
		"--max-records", "500", "--lanes", "2")
	stop := p.Feed(10_000)
	a, b := p.Start("a"), p.Start("b")
	p.AwaitMore(10_000)
	a.Drain(syscall.SIGTERM)
	p.AwaitOwners(20*time.Second, "b")
	c := p.Start("c")
	p.AwaitMore(10_000)
	total := stop()
	d := p.Start("d", "--until-end")
	require.Zero(t, d.Wait(time.Minute))
	b.Drain(syscall.SIGTERM)
	c.Drain(syscall.SIGTERM)
	p.RequireExactlyOnce(total, total)
}
