package pipe

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// A million records of six partitions come over, byte by byte, and the process says so: as many in as out.
func TestCopyMillion(t *testing.T) {
	const total = 1_000_000
	p := proc.New(t, kafkatest.Shared(t), proc.SixToSix, "--lanes", "2", "--until-end")
	p.Fill(total)
	a := p.Start("a")
	require.Zero(t, a.Wait(2*time.Minute))
	r := a.Result()
	require.EqualValues(t, total, r.In)
	require.EqualValues(t, total, r.Out)
	t.Logf("%d records in %.1f s: %.0f a second, %d transactions, %d aborted", total, r.Seconds, total/r.Seconds, r.Transactions, r.Aborted)
	p.RequireExactlyOnce(total, total)
}

// Several topics with different numbers of partitions into one with yet another: every record comes over, and a record
// without a key is beside its input, modulo.
func TestCopyTwoTopics(t *testing.T) {
	p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{3, 5}, To: []int32{4}}, "--lanes", "3", "--max-records", "1000", "--until-end")
	p.Fill(40_000)
	require.Zero(t, p.Start("a").Wait(time.Minute))
	p.RequireExactlyOnce(40_000, 40_000)
}

// Records of aborted transactions in the input are not copied, not even where a partition ends with them or holds
// nothing else; and --until-end ends there all the same. What stands behind an open transaction waits for its end.
func TestCopyAbortedInput(t *testing.T) {
	p := proc.New(t, kafkatest.Shared(t), proc.SixToSix, "--max-records", "100", "--lanes", "2", "--until-end")
	const onlyAborted = 5 // this partition gets nothing but aborted records
	f := p.Prepare()
	txns := p.Cluster.Client(t, kgo.TransactionalID(kafkatest.Name(t, "producer")), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	var good, aborted int64
	transact := func(commit kgo.TransactionEndTry) {
		require.NoError(t, txns.BeginTransaction())
		var rs []*kgo.Record
		for range 1 + p.Rand.IntN(60) {
			i := p.Rand.IntN(len(f.At))
			if commit == kgo.TryCommit && i == onlyAborted {
				continue
			}
			rs = append(rs, p.NextFor(good+aborted, i))
			if commit == kgo.TryCommit {
				good++
			} else {
				aborted++
			}
		}
		require.NoError(t, txns.ProduceSync(t.Context(), rs...).FirstErr())
		require.NoError(t, txns.EndTransaction(t.Context(), commit))
	}
	for i := range 150 {
		transact(kgo.TransactionEndTry(i%3 != 1))
	}
	transact(kgo.TryAbort) // the end of most partitions
	// Behind an open transaction stand plain records.
	require.NoError(t, txns.BeginTransaction())
	require.NoError(t, txns.ProduceSync(t.Context(), p.NextFor(0, 0), p.NextFor(1, 1)).FirstErr())
	require.NoError(t, f.Client.ProduceSync(t.Context(), p.NextFor(2, 0), p.NextFor(3, 1), p.NextFor(4, 2)).FirstErr())
	require.Zero(t, p.Start("a").Wait(time.Minute))
	require.Positive(t, aborted)
	good++ // the one in partition 2
	p.RequireExactlyOnce(good, good)

	require.NoError(t, txns.EndTransaction(t.Context(), kgo.TryCommit))
	require.Zero(t, p.Start("a").Wait(time.Minute))
	p.RequireExactlyOnce(good+4, good+4)
}

// --filter leaves records out, and --map writes others: with a new key and value, two for one, and some to another
// topic, all in one transaction. Every output is what the program says, in both topics.
func TestCopyFilterMap(t *testing.T) {
	p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{4}, To: []int32{6, 2}}, "--lanes", "2", "--max-records", "500", "--until-end")
	p.Record = proc.JSONRecord
	p.Filter = `.value.amount >= 500`
	p.Mapping = fmt.Sprintf(`.key = .value.at | .headers = {} | del(.value.amount), (select(.value.n %% 5 == 0) | .topic = %q | .value = {late: .value.n})`, p.To[1])
	p.Expect = func(r *kgo.Record) (outs []*kgo.Record) {
		var v struct {
			N, Seq, Amount int64
			At             string
		}
		require.NoError(t, json.Unmarshal(r.Value, &v))
		if v.Amount < 500 {
			return nil
		}
		outs = append(outs, &kgo.Record{Topic: p.To[0], Key: []byte(v.At), Value: fmt.Appendf(nil, `{"at":%q,"n":%d,"seq":%d}`, v.At, v.N, v.Seq)})
		if v.N%5 == 0 {
			outs = append(outs, &kgo.Record{Topic: p.To[1], Key: []byte(v.At), Value: fmt.Appendf(nil, `{"late":%d}`, v.N)})
		}
		return outs
	}
	p.Fill(20_000)
	require.Zero(t, p.Start("a").Wait(time.Minute))
	p.RequireExactlyOnce(20_000, 10_000+2_000)
}

// The group goes on where it stood: what a second start copies is only what is new, also in partitions that were added
// to the topic meanwhile.
func TestCopyGoesOn(t *testing.T) {
	p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{2}, To: []int32{6}}, "--until-end")
	p.Fill(5_000)
	require.Zero(t, p.Start("a").Wait(time.Minute))
	p.RequireExactlyOnce(5_000, 5_000)
	_, err := p.Adm.CreatePartitions(t.Context(), 2, p.From[0])
	require.NoError(t, err)
	p.Await("the new partitions are there", 10*time.Second, func(context.Context) (bool, error) { return p.Partitions() == 4, nil })
	p.Feeding.Client = nil // the next one knows them
	p.Fill(5_000)
	a := p.Start("a")
	require.Zero(t, a.Wait(time.Minute))
	require.EqualValues(t, 5_000, a.Result().In)
	p.RequireExactlyOnce(10_000, 10_000)
}
