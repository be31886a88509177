package fault

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// The clocks of those who write the input jump: by twenty minutes, which the output takes, and once by an hour to either side,
// which it does not. Timestamps come over as they are; what the output refuses stops the pipe with its name and nothing of
// it is committed; when the topic takes it, the pipe goes on.
func TestFaultTimestamps(t *testing.T) {
	const total, ahead, behind = 12_000, 4_000, 8_001 // the numbers of the two records
	p := proc.New(t, kafkatest.Shared(t), proc.SixToSix, "--session-timeout", "10s", "--max-records", "500")
	forever := "9223372036854775807"
	alterTopic(p, p.From[0], "message.timestamp.after.max.ms", forever)
	alterTopic(p, p.To[0], "message.timestamp.after.max.ms", "1800000")
	alterTopic(p, p.To[0], "message.timestamp.before.max.ms", "1800000")
	now := time.Now()
	p.Record = func(n int64, at offsets.Partition, seq int64) *kgo.Record {
		r := proc.AnyRecord(n, at, seq)
		r.Timestamp = now.Add(time.Duration(p.Rand.IntN(2401)-1200) * time.Second).Truncate(time.Millisecond)
		switch n {
		case ahead:
			r.Timestamp = now.Add(time.Hour)
		case behind:
			r.Timestamp = now.Add(-time.Hour)
		}
		return r
	}
	p.Fill(total)
	a := p.Start("a", "--until-end")
	a.RequireFails(time.Minute, 4, "INVALID_TIMESTAMP", p.From[0])
	named := 0
	for _, n := range []int64{ahead, behind} {
		if strings.Contains(a.Said()[0], fmt.Sprintf("%s@%d", p.Feeding.At[n%6], n/6)) {
			named++
		}
	}
	require.Equal(t, 1, named, "which record it is: %q", a.Said())
	report := p.RequireConsistent()
	require.Less(t, report.In, int64(total))
	alterTopic(p, p.To[0], "message.timestamp.after.max.ms", forever)
	alterTopic(p, p.To[0], "message.timestamp.before.max.ms", forever)
	require.Zero(t, p.Start("a", "--until-end").Wait(time.Minute))
	p.RequireExactlyOnce(total, total)
}

// alterTopic sets a config of a topic that is there.
func alterTopic(p *proc.Pipe, topic, name, value string) {
	p.T.Helper()
	altered, err := p.Adm.AlterTopicConfigs(p.T.Context(), []kadm.AlterConfig{{Name: name, Value: &value}}, topic)
	require.NoError(p.T, err)
	_, err = altered.On(topic, func(r *kadm.AlterConfigsResponse) error { return r.Err })
	require.NoError(p.T, err)
}
