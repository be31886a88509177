package pipe

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// Records that cannot be mapped, and others whose output the brokers would never take, become dead letters while the process is killed in
// open transactions: every record is in the output or among the dead letters, once. Put back by dlq replay, and with a program that is mended,
// all of them come over.
func TestDeadLetterPolicy(t *testing.T) {
	const total, letters = 30_000, 60 // two of each thousand
	p := proc.New(t, kafkatest.Shared(t), proc.SixToSix, "--session-timeout", "60s", "--transaction-timeout", "60s", "--max-records", "500", "--until-end")
	dead := kafkatest.Name(t, "dead")
	p.Cluster.CreateTopic(t, dead, 6)
	policy := []string{"--on-error", "dead-letter", "--dead-letter-topic", dead}
	p.Mapping = `if .offset % 1000 == 7 then error("planted") elif .offset % 1000 == 8 then .value = ([range(500000)] | tostring) else . end`
	p.Record = func(n int64, _ offsets.Partition, _ int64) *kgo.Record {
		return kgo.StringRecord(strconv.FormatInt(n, 10))
	}
	p.Fill(total)
	for range 2 {
		a := p.Start("a", slices.Concat(policy, []string{"--parallel", "4"})...)
		p.AwaitMore(1_000)
		p.FreezeInTransaction(a)
		a.Kill()
	}
	last := p.Start("a", policy...)
	require.Zero(t, last.Wait(2*time.Minute))
	code, got := p.Verify(policy...)
	require.Zero(t, code, "%+v", got)
	require.EqualValues(t, total, got.In)
	require.EqualValues(t, total, got.Out, "with the dead letters")
	for _, want := range []int64{letters, 0} { // a second call finds nothing more
		replay := p.Spawn("replay", []string{"dlq", "replay", "-b", strings.Join(p.Cluster.Bootstrap(), ","), "--from", dead, "--to", p.From[0], "--json"})
		require.Zero(t, replay.Wait(time.Minute))
		require.Equal(t, want, replay.Result().Out)
	}
	p.Mapping = "."
	require.Zero(t, p.Start("a").Wait(time.Minute))
	require.EqualValues(t, letters, p.Processes[len(p.Processes)-1].Result().In, "what came back is processed")
}
