package processor_test

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/logtest"
	"github.com/eos-pipe/eos-pipe/processor"
)

// A batch of the input that is too large when decompressed is one record to the policies: it stops the processor, is left out, or becomes one
// dead letter without key and value that says which offsets it stands for, and that cannot be put back. What is around it is processed.
func TestBatchThatIsPassedOver(t *testing.T) {
	for policy, out := range map[processor.Policy]int64{processor.StopOnError: 0, processor.SkipOnError: 20, processor.DeadLetterOnError: 21} {
		t.Run(policy.String(), func(t *testing.T) {
			b := setup(t)
			b.produce(20)
			bomber, err := kgo.NewClient(kgo.SeedBrokers(b.servers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ManualFlushing(),
				kgo.ProducerBatchCompression(kgo.GzipCompression()), kgo.ProducerBatchMaxBytes(8<<20))
			require.NoError(t, err)
			defer bomber.Close()
			loaded := make(chan error, 1) // with a topic that it does not know, a client may begin with a batch of the first record
			bomber.Produce(t.Context(), &kgo.Record{Topic: "in", Partition: 99}, func(_ *kgo.Record, err error) { loaded <- err })
			require.Error(t, <-loaded, "there is no such partition")
			for range 3 {
				bomber.Produce(t.Context(), &kgo.Record{Topic: "in", Partition: 2, Key: []byte("key"), Value: make([]byte, 1<<20)}, nil)
			}
			require.NoError(t, bomber.Flush(t.Context()))
			require.NoError(t, b.cl.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Partition: 2, Value: []byte("behind")}).FirstErr())
			var log logtest.Buffer
			cfg := b.config()
			cfg.Errors.Policy, cfg.DeadLetterTopic = policy, "dead"
			cfg.Session.Client = []kgo.Opt{kgo.MaxDecompressBatchBytes(2 << 20)}
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			var count processor.Counter
			p, err := processor.New(counted(cfg, &count), double)
			require.NoError(t, err)
			err = p.Run(t.Context())
			if policy == processor.StopOnError {
				var failed *eos.UnreadableError
				require.ErrorAs(t, err, &failed)
				require.EqualValues(t, 5, failed.Offset)
				return
			}
			require.NoError(t, err)
			require.Equal(t, []int64{22, out + 1}, []int64{count.Stats().In, count.Stats().Out})
			require.Contains(t, log.String(), `level=ERROR msg="a batch was passed over"`)
			require.Contains(t, log.String(), "partition=2 offset=7 first_offset=5 bytes=")
			require.Equal(t, "behindbehind", b.values("out", 21)[2][5])
			if policy == processor.SkipOnError {
				require.EqualValues(t, 1, count.Stats().Skipped)
				return
			}
			letter := b.records("dead", 1)[0]
			require.Nil(t, letter.Key)
			require.Nil(t, letter.Value)
			info, ok := processor.DeadLetterOf(letter.Headers)
			require.True(t, ok)
			require.Equal(t, []any{"in-2", int64(5), int64(7), "unreadable"}, []any{info.Partition.String(), info.First, info.Offset, info.Class})
			require.Contains(t, info.Message, "the batch at in-2@5..7 (")
			_, err = processor.Revive(processor.Record[string]{Headers: letter.Headers})
			require.ErrorIs(t, err, processor.ErrNotRead)
			require.EqualError(t, err, fmt.Sprintf("%v: that of in-2@5..7", processor.ErrNotRead))
		})
	}
}
