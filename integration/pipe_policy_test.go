package integration

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// Records that cannot be mapped, and others whose output the brokers would never take, become dead letters while the process is killed in
// open transactions: every record is in the output or among the dead letters, once. Put back by dlq replay, and with a program that is mended,
// all of them come over.
func TestDeadLetterPolicy(t *testing.T) {
	const total, letters = 30_000, 60 // two of each thousand
	p := newPipe(t, kafkatest.Shared(t), sixToSix, "--session-timeout", "60s", "--transaction-timeout", "60s", "--max-records", "500", "--until-end")
	dead := kafkatest.Name(t, "dead")
	p.cluster.CreateTopic(t, dead, 6)
	policy := []string{"--on-error", "dead-letter", "--dead-letter-topic", dead}
	p.mapping = `if .offset % 1000 == 7 then error("planted") elif .offset % 1000 == 8 then .value = ([range(500000)] | tostring) else . end`
	p.record = func(n int64, _ offsets.Partition, _ int64) *kgo.Record {
		return kgo.StringRecord(strconv.FormatInt(n, 10))
	}
	p.fill(total)
	for range 2 {
		a := p.start("a", slices.Concat(policy, []string{"--parallel", "4"})...)
		p.awaitMore(1_000)
		p.freezeInTransaction(a)
		a.kill()
	}
	last := p.start("a", policy...)
	require.Zero(t, last.wait(2*time.Minute))
	code, got := p.verify(policy...)
	require.Zero(t, code, "%+v", got)
	require.EqualValues(t, total, got.In)
	require.EqualValues(t, total, got.Out, "with the dead letters")
	for _, want := range []int64{letters, 0} { // a second call finds nothing more
		replay := p.spawn("replay", []string{"dlq", "replay", "-b", strings.Join(p.cluster.Bootstrap(), ","), "--from", dead, "--to", p.from[0], "--json"})
		require.Zero(t, replay.wait(time.Minute))
		require.Equal(t, want, replay.result().Out)
	}
	p.mapping = "."
	require.Zero(t, p.start("a").wait(time.Minute))
	require.EqualValues(t, letters, p.processes[len(p.processes)-1].result().In, "what came back is processed")
}
