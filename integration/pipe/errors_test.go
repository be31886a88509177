package pipe

import (
	"context"
	"fmt"
	"net"
	"slices"
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

// A topic that is not there, be it an input or the output, is named, and not created.
func TestMissingTopic(t *testing.T) {
	p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{1}, To: []int32{1}})
	p.Fill(1)
	from, to := p.From, p.To
	missing := kafkatest.Name(t, "missing")
	for _, c := range []struct{ from, to []string }{{[]string{from[0], missing}, to}, {from, []string{missing}}} {
		p.From, p.To = c.from, c.to
		hint := p.Start("a").RequireFails(20*time.Second, 1, "topic does not exist: "+missing)
		require.Contains(t, hint, "create it")
	}
	p.From, p.To = from, to
	topics, err := p.Adm.ListTopics(t.Context())
	require.NoError(t, err)
	require.False(t, topics.Has(missing))
	require.Zero(t, p.Start("a", "--until-end").Wait(time.Minute))
	p.RequireExactlyOnce(1, 1)
}

// Where no broker listens, the process says so within about ten seconds, and with it the address.
func TestUnreachableBroker(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	args := []string{"-b", address, "--from", "a", "--to", "b", "--group", "g", "--log-level", "debug"}
	for _, command := range []string{"run", "verify"} {
		pr := proc.Spawn(t, command, append([]string{command}, args...))
		hint := pr.RequireFails(12*time.Second, 1, "no broker can be reached", address)
		require.Contains(t, hint, "--bootstrap-server")
	}
}

// Records were deleted before they were processed: the process stops and says exactly which, and goes on where the
// operator has set the group's offset.
func TestLostOffsets(t *testing.T) {
	p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{2}, To: []int32{1}}, "--until-end")
	p.Fill(2_000)
	require.Zero(t, p.Start("a").Wait(time.Minute))
	p.Fill(1_000)
	at := offsets.Partition{Topic: p.From[0], Number: 1}
	beyond := kadm.Offsets{}
	beyond.AddOffset(at.Topic, at.Number, 1_300, -1)
	deleted, err := p.Adm.DeleteRecords(t.Context(), beyond)
	require.NoError(t, err)
	require.NoError(t, deleted.Error())
	before, err := p.Committed(t.Context())
	require.NoError(t, err)

	hint := p.Start("a").RequireFails(30*time.Second, 4, fmt.Sprintf("offsets 1000 to 1299 of %s (300 offsets) were deleted before they were processed", at))
	require.Contains(t, hint, at.String()+" to 1300")
	after, err := p.Committed(t.Context())
	require.NoError(t, err)
	require.Equal(t, before[at], after[at], "the offset that shows what is lost")

	require.NoError(t, p.Adm.CommitAllOffsets(t.Context(), p.Group, beyond))
	require.Zero(t, p.Start("a").Wait(time.Minute))
	p.RequireNothingOpen()
	ends, err := p.Listed(t.Context(), p.Adm.ListCommittedOffsets, p.To)
	require.NoError(t, err)
	out := 0
	require.NoError(t, p.Read(t.Context(), ends, func(*kgo.Record) { out++ }))
	require.Equal(t, 3_000-300, out)
}

// A record that --filter or --map cannot take stops the process, which names it. Nothing of its batch is committed; when
// the filter leaves the record out, all others come over.
func TestPoisonRecord(t *testing.T) {
	for _, c := range []struct{ name, filter, mapping, mended string }{
		{"filter", ".value.amount >= 0", "", ".offset != 500 or .partition != 1"},
		{"map", "", ".value |= .", ".offset != 500 or .partition != 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{2}, To: []int32{2}}, "--max-records", "100", "--until-end")
			p.Record = func(n int64, at offsets.Partition, seq int64) *kgo.Record {
				r := proc.JSONRecord(n, at, seq)
				if at.Number == 1 && seq == 500 {
					r.Value = []byte("{poison")
				}
				return r
			}
			p.Fill(2_000)
			p.Filter, p.Mapping = c.filter, c.mapping
			p.Start("a").RequireFails(30*time.Second, 4, "--"+c.name, p.From[0]+"-1@500")

			p.Filter, p.Mapping = c.mended, ""
			p.Expect = func(r *kgo.Record) []*kgo.Record {
				if r.Partition == 1 && r.Offset == 500 {
					return nil
				}
				return []*kgo.Record{{Topic: p.To[0], Key: r.Key, Value: r.Value, Headers: r.Headers}}
			}
			require.Zero(t, p.Start("a").Wait(time.Minute))
			p.RequireExactlyOnce(2_000, 1_999)
		})
	}
}

// An output that is larger than its topic takes stops the process, which names the input record it was made of. Nothing
// is lost: when the limit is raised, the next start copies it.
func TestTooLargeOutput(t *testing.T) {
	cluster := kafkatest.Shared(t)
	p := proc.New(t, cluster, proc.Shape{From: []int32{2}}, "--max-records", "100", "--until-end")
	p.To = []string{kafkatest.Name(t, "out")}
	cluster.CreateTopic(t, p.To[0], 2, "max.message.bytes=100000")
	p.Record = func(n int64, at offsets.Partition, seq int64) *kgo.Record {
		r := proc.JSONRecord(n, at, seq)
		if at.Number == 1 && seq == 500 {
			r.Value = randomText(p, 200_000)
		}
		return r
	}
	p.Fill(2_000)
	hint := p.Start("a").RequireFails(30*time.Second, 4, p.From[0]+"-1@500", p.To[0], "MESSAGE_TOO_LARGE")
	require.Contains(t, hint, "max.message.bytes")
	report := p.RequireConsistent()
	require.Less(t, report.In, int64(2_000))

	setConfig(p, p.To[0], "max.message.bytes", "1000000")
	require.Zero(t, p.Start("a").Wait(time.Minute))
	p.RequireExactlyOnce(2_000, 2_000)
}

// randomText returns a JSON string of about n bytes that no compression makes smaller than half of that.
func randomText(p *proc.Pipe, n int) []byte {
	text := make([]byte, n)
	for i := range text {
		text[i] = byte('a' + p.Rand.IntN(26))
	}
	return slices.Concat([]byte(`"`), text, []byte(`"`))
}

// setConfig sets a config of a topic and waits until the brokers say it.
func setConfig(p *proc.Pipe, topic, key, value string) {
	p.T.Helper()
	changed, err := p.Adm.AlterTopicConfigs(p.T.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, topic)
	require.NoError(p.T, err)
	require.NoError(p.T, changed[0].Err)
	p.Await(key+" is set", 10*time.Second, func(ctx context.Context) (bool, error) {
		described, err := p.Adm.DescribeTopicConfigs(ctx, topic)
		return err == nil && slices.ContainsFunc(described[0].Configs, func(c kadm.Config) bool {
			return c.Key == key && c.MaybeValue() == value
		}), err
	})
}

// Timeouts that the broker does not take are refused at the start, with a hint at the flag.
func TestTimeoutsOutOfRange(t *testing.T) {
	p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{1}, To: []int32{1}})
	p.Fill(10)
	for _, flag := range []string{"--transaction-timeout", "--session-timeout"} {
		hint := p.Start("a", flag, "2h").RequireFails(20*time.Second, 4, strings.ToUpper(strings.ReplaceAll("INVALID_"+flag[2:], "-", "_")))
		require.Contains(t, hint, flag)
	}
	require.Zero(t, p.Start("a", "--until-end").Wait(time.Minute))
	p.RequireExactlyOnce(10, 10)
}

// What an output topic takes is what counts, and not what the client would send by itself: small records come over into
// a topic whose limit is below a usual batch, and a large one into a topic that takes it.
func TestOutputLimits(t *testing.T) {
	for _, c := range []struct {
		name    string
		limit   string // max.message.bytes of input and output
		records int
		size    int // of the first record
	}{{"small records, low limit", "50000", 20_000, 0}, {"large record, high limit", "5000000", 10, 2_000_000}} {
		t.Run(c.name, func(t *testing.T) {
			cluster := kafkatest.Shared(t)
			p := proc.New(t, cluster, proc.Shape{From: []int32{1}}, "--until-end")
			setConfig(p, p.From[0], "max.message.bytes", "5000000")
			p.To = []string{kafkatest.Name(t, "out")}
			cluster.CreateTopic(t, p.To[0], 1, "max.message.bytes="+c.limit)
			p.Record = func(n int64, at offsets.Partition, seq int64) *kgo.Record {
				r := proc.JSONRecord(n, at, seq)
				if n == 0 && c.size > 0 {
					r.Value = randomText(p, c.size)
				}
				return r
			}
			p.Prepare()
			p.Feeding.Client = p.Cluster.Client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(5_000_000))
			p.Fill(c.records)
			require.Zero(t, p.Start("a").Wait(time.Minute))
			p.RequireExactlyOnce(int64(c.records), int64(c.records))
		})
	}
}
