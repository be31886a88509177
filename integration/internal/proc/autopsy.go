package proc

import (
	"context"
	bigendian "encoding/binary"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// place is where an input record stands.
type place struct {
	partition offsets.Partition
	offset    int64
}

// Autopsy logs, when the output is not what it must be, how the records that a read_committed reader does not get stand
// in the log: not at all, or in which transaction, and the marker that ended it. So one can tell a record that was never
// written from one that was aborted.
func (p *Pipe) Autopsy() {
	p.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	seen := map[place]bool{}
	for _, r := range p.rawOutput(ctx, kgo.ReadCommitted()) {
		if from, ok := processor.ProvenanceOf(r); ok {
			seen[place{from.Partition, from.Offset}] = true
		}
	}
	said := 0
	waiting := map[writerAt]bool{} // whose marker is of interest
	for _, r := range p.rawOutput(ctx, kgo.ReadUncommitted()) {
		by := writerAt{r.ProducerID, r.Partition}
		from, ok := processor.ProvenanceOf(r)
		switch {
		case r.Attrs.IsControl() && waiting[by] && len(r.Key) >= 4:
			delete(waiting, by)
			p.T.Logf("raw %s-%d@%d: marker %d (0: abort, 1: commit) of producer %d epoch %d", r.Topic, r.Partition, r.Offset,
				bigendian.BigEndian.Uint16(r.Key[2:]), r.ProducerID, r.ProducerEpoch)
		case ok && !seen[place{from.Partition, from.Offset}] && said < 200:
			said++
			waiting[by] = true
			p.T.Logf("raw %s-%d@%d: not read_committed: %s of producer %d epoch %d", r.Topic, r.Partition, r.Offset, from, r.ProducerID, r.ProducerEpoch)
		}
	}
}

// rawOutput reads all that the output topics hold for a reader of the given isolation level, control records included.
func (p *Pipe) rawOutput(ctx context.Context, level kgo.IsolationLevel) (records []*kgo.Record) {
	cl, err := kgo.NewClient(p.Cluster.Options(kgo.ConsumeTopics(p.To...), kgo.FetchIsolationLevel(level),
		kgo.KeepControlRecords(), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		p.T.Logf("autopsy: %v", err)
		return nil
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, p.To...)
	if err != nil {
		p.T.Logf("autopsy: %v", err)
		return nil
	}
	left := map[offsets.Partition]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[offsets.Partition{Topic: o.Topic, Number: o.Partition}] = o.Offset
		}
	})
	for len(left) > 0 && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			records = append(records, r)
			if at := (offsets.Partition{Topic: r.Topic, Number: r.Partition}); r.Offset >= left[at]-1 {
				delete(left, at)
			}
		})
	}
	return records
}
