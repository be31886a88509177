package pipe

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// These tests judge the judges: `eos-pipe verify`, and the audit that all tests use. No pipe runs. A plain
// client writes the outputs that a pipe would have written, but for one fault.

// The input of these tests is one partition: committed records, some of an aborted transaction, committed ones again.
const (
	plantedHead    = 20
	plantedAborted = 5 // offsets 20 to 24
	plantedTail    = 20
	plantedRecords = plantedHead + plantedTail
	plantedLast    = plantedHead + plantedAborted + 1 + plantedTail - 1 // offset; the marker has one too
)

// newPlanted makes a pipe with that input, of which its group has committed all. Of each record must come copies outputs.
func newPlanted(t *testing.T, copies int) *proc.Pipe {
	p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{1}, To: []int32{1}})
	p.Record = proc.JSONRecord
	if copies == 2 {
		p.Mapping = "., ."
	}
	p.Expect = func(r *kgo.Record) (outs []*kgo.Record) {
		for range copies {
			outs = append(outs, &kgo.Record{Topic: p.To[0], Key: r.Key, Value: r.Value, Headers: r.Headers})
		}
		return outs
	}
	p.Fill(plantedHead)
	txns := p.Cluster.Client(t, kgo.TransactionalID(kafkatest.Name(t, "producer")), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, txns.BeginTransaction())
	for range plantedAborted {
		require.NoError(t, txns.ProduceSync(t.Context(), p.Next()).FirstErr())
	}
	require.NoError(t, txns.EndTransaction(t.Context(), kgo.TryAbort))
	p.Await("the marker is in the input", 10*time.Second, func(ctx context.Context) (bool, error) {
		ends, err := p.Listed(ctx, p.Adm.ListCommittedOffsets, p.From)
		return proc.Sum(ends) == plantedHead+plantedAborted+1, err
	})
	p.Fill(plantedTail)
	p.CommitAt(plantedLast + 1)
	return p
}

// outputs returns what a pipe writes of this input, in order.
func outputs(p *proc.Pipe) (outs []*kgo.Record) {
	p.T.Helper()
	at := offsets.Partition{Topic: p.From[0]}
	require.NoError(p.T, p.Read(p.T.Context(), offsets.Set{at: offsets.NewPosition(plantedLast + 1)}, func(r *kgo.Record) {
		made := p.Expect(r)
		for i, out := range made {
			out.Timestamp = r.Timestamp
			out.Headers = slices.Concat(out.Headers, []kgo.RecordHeader{proc.Provenance(at, r.Offset, i, len(made))})
			outs = append(outs, out)
		}
	}))
	require.Len(p.T, outs, plantedRecords*len(p.Expect(outs[0])))
	return outs
}

// plant writes the outputs as they are.
func plant(p *proc.Pipe, outs []*kgo.Record) {
	p.T.Helper()
	cl := p.Cluster.Client(p.T, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(p.T, cl.ProduceSync(p.T.Context(), outs...).FirstErr())
}

// Each class of fault is planted alone, and both judges find this class and no other, in the right number, and name
// where it stands. An output without a fault passes.
func TestPlanted(t *testing.T) {
	aborted := func(p *proc.Pipe, outs []*kgo.Record, offset int64) *kgo.Record {
		return &kgo.Record{Topic: p.To[0], Value: outs[0].Value, Headers: []kgo.RecordHeader{proc.Provenance(offsets.Partition{Topic: p.From[0]}, offset, 0, 1)}}
	}
	for _, c := range []struct {
		name   string
		copies int
		plant  func(p *proc.Pipe, outs []*kgo.Record) []*kgo.Record
		want   checker.Report // its Out is what is planted beyond the right number
		at     string         // the place in the examples
	}{
		{"nothing", 1, func(_ *proc.Pipe, outs []*kgo.Record) []*kgo.Record { return outs }, checker.Report{}, ""},
		{"nothing, fan-out", 2, func(_ *proc.Pipe, outs []*kgo.Record) []*kgo.Record { return outs }, checker.Report{}, ""},
		{"a lost record", 1, func(_ *proc.Pipe, outs []*kgo.Record) []*kgo.Record { return slices.Delete(outs, 7, 8) }, checker.Report{Out: -1, Lost: 1}, "%s-0@7"},
		{"the first record lost", 1, func(_ *proc.Pipe, outs []*kgo.Record) []*kgo.Record { return outs[1:] }, checker.Report{Out: -1, Lost: 1}, "%s-0@0"},
		{"the last record lost", 1, func(_ *proc.Pipe, outs []*kgo.Record) []*kgo.Record { return outs[:len(outs)-1] }, checker.Report{Out: -1, Lost: 1}, fmt.Sprintf("%%s-0@%d", plantedLast)},
		{"a doubled record", 1, func(_ *proc.Pipe, outs []*kgo.Record) []*kgo.Record { return slices.Insert(outs, 8, outs[7]) }, checker.Report{Out: 1, Doubled: 1}, "%s-0@7"},
		{"a batch doubled", 1, func(_ *proc.Pipe, outs []*kgo.Record) []*kgo.Record { return slices.Insert(outs, 10, outs[5:10]...) }, checker.Report{Out: 5, Doubled: 5}, "%s-0@5"},
		{"a swapped pair", 1, func(_ *proc.Pipe, outs []*kgo.Record) []*kgo.Record {
			outs[7], outs[8] = outs[8], outs[7]
			return outs
		}, checker.Report{Reordered: 1}, "%s-0@7"},
		{"of an aborted record", 1, func(p *proc.Pipe, outs []*kgo.Record) []*kgo.Record {
			return slices.Insert(outs, plantedHead, aborted(p, outs, plantedHead+1))
		}, checker.Report{Out: 1, Phantom: 1}, fmt.Sprintf("%%s-0@%d", plantedHead+1)},
		{"of a record beyond the committed offset", 1, func(p *proc.Pipe, outs []*kgo.Record) []*kgo.Record {
			return append(outs, aborted(p, outs, plantedLast+1))
		}, checker.Report{Out: 1, Phantom: 1}, fmt.Sprintf("%%s-0@%d", plantedLast+1)},
		{"a foreign record", 1, func(p *proc.Pipe, outs []*kgo.Record) []*kgo.Record {
			return append(outs, &kgo.Record{Topic: p.To[0], Value: outs[0].Value})
		}, checker.Report{Out: 1, Foreign: 1}, fmt.Sprintf("-0@%d", plantedRecords)},
		{"a torn fan-out", 2, func(_ *proc.Pipe, outs []*kgo.Record) []*kgo.Record { return slices.Delete(outs, 15, 16) }, checker.Report{Out: -1, Torn: 1}, "%s-0@7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlanted(t, c.copies)
			plant(p, c.plant(p, outputs(p)))
			c.want.In, c.want.Out = plantedRecords, int64(plantedRecords*c.copies)+c.want.Out
			if c.at == "" {
				p.RequireExactlyOnce(c.want.In, c.want.Out)
				return
			}
			at := c.at
			if c.want.Foreign == 0 {
				at = fmt.Sprintf(at, p.From[0])
			}
			audited, err := p.Audit(t.Context())
			require.ErrorContains(t, err, at)
			requireFound(t, c.want, at, audited)
			requireVerifyFinds(p, c.want, at)
		})
	}
}

// requireVerifyFinds requires that `eos-pipe verify` fails with these counts, and says where.
func requireVerifyFinds(p *proc.Pipe, want checker.Report, at string, more ...string) {
	p.T.Helper()
	code, v := p.Verify(more...)
	require.Equal(p.T, 1, code)
	p.Processes[len(p.Processes)-1].RequireSaid(1, "not an exactly-once copy")
	requireFound(p.T, want, at, v.Report)
	require.Zero(p.T, v.Open)
}

func requireFound(t *testing.T, want checker.Report, at string, got checker.Report) {
	t.Helper()
	require.Contains(t, fmt.Sprint(got.Examples), at)
	got.Examples = nil
	require.Equal(t, want, got)
}

// The audit also sees what the checker cannot, for it compares bytes: an output that is there once, but not as it must be.
func TestPlantedBytes(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*kgo.Record)
	}{
		{"value", func(r *kgo.Record) { r.Value = []byte(`{"n":8}`) }},
		{"null value", func(r *kgo.Record) { r.Value = nil }},
		{"empty key", func(r *kgo.Record) { r.Key = []byte{} }},
		{"header", func(r *kgo.Record) { r.Headers = append([]kgo.RecordHeader{{Key: "new"}}, r.Headers...) }},
		{"timestamp", func(r *kgo.Record) { r.Timestamp = r.Timestamp.Add(-1e6) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlanted(t, 1)
			outs := outputs(p)
			c.spoil(outs[9]) // n%3 == 0: without a key
			plant(p, outs)
			_, err := p.Audit(t.Context())
			require.ErrorContains(t, err, fmt.Sprintf("%s-0@9 is not what it must be", p.From[0]))
		})
	}
}

// By --id a record without provenance is compared: what is lost or doubled is found, and what is right passes.
func TestPlantedByID(t *testing.T) {
	for _, c := range []struct {
		name  string
		plant func(outs []*kgo.Record) []*kgo.Record
		want  checker.Report
	}{
		{"nothing", func(outs []*kgo.Record) []*kgo.Record { return outs }, checker.Report{}},
		{"lost", func(outs []*kgo.Record) []*kgo.Record { return slices.Delete(outs, 7, 8) }, checker.Report{Out: -1, Lost: 1}},
		{"doubled", func(outs []*kgo.Record) []*kgo.Record { return append(outs, outs[7]) }, checker.Report{Out: 1, Doubled: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlanted(t, 1)
			outs := outputs(p)
			for _, out := range outs {
				out.Headers = nil
			}
			plant(p, c.plant(outs))
			c.want.In, c.want.Out = plantedRecords, plantedRecords+c.want.Out
			if c.want.OK() {
				code, v := p.Verify("--id", ".value.n")
				require.Zero(t, code)
				require.Empty(t, v.Examples)
				require.Equal(t, c.want.String(), v.String())
				return
			}
			requireVerifyFinds(p, c.want, "the id of "+p.From[0]+"-0@7 ", "--id", ".value.n")
		})
	}
}

// A transaction that is open on the output shows as such, and neither its records nor those behind it count. When it is
// aborted, all is well; and had it been committed, its records would have been found.
func TestPlantedOpenTransaction(t *testing.T) {
	p := newPlanted(t, 1)
	outs := outputs(p)
	plant(p, outs[:30])
	p.CommitAt(30 + plantedAborted + 1)
	txns := p.Cluster.Client(t, kgo.TransactionalID(kafkatest.Name(t, "producer")), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	doubled := func() *kgo.Record { r := *outs[7]; return &r }
	require.NoError(t, txns.BeginTransaction())
	require.NoError(t, txns.ProduceSync(t.Context(), doubled()).FirstErr())
	code, v := p.Verify()
	require.Zero(t, code, "%+v", v)
	require.Equal(t, 1, v.Open)
	require.EqualValues(t, 30, v.Out)
	require.NoError(t, txns.EndTransaction(t.Context(), kgo.TryAbort))
	plant(p, outs[30:])
	p.CommitAt(plantedLast + 1)
	p.RequireExactlyOnce(plantedRecords, plantedRecords)

	require.NoError(t, txns.BeginTransaction())
	require.NoError(t, txns.ProduceSync(t.Context(), doubled()).FirstErr())
	require.NoError(t, txns.EndTransaction(t.Context(), kgo.TryCommit))
	p.AwaitNothingOpen(10 * time.Second)
	requireVerifyFinds(p, checker.Report{In: plantedRecords, Out: plantedRecords + 1, Doubled: 1}, p.From[0]+"-0@7")
}
