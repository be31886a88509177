package audit

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/millis"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// letter says of which input records a record is a dead letter: of one, or of all those of a batch that was not read.
// Invariant: 0 <= first <= last.
type letter struct {
	partition   offsets.Partition
	first, last int64
	ms          int64 // the timestamp of the record; means nothing for a batch
}

// isBatch reports whether the letter is for a batch that was not read.
func (l letter) isBatch() bool { return l.first < l.last }

// letterOf reads the headers of a dead letter. ok is false if r is none, or if it is another pipe's.
func (j *judge) letterOf(r *kgo.Record) (l letter, ok bool) {
	info, ok := processor.DeadLetterOf(r.Headers)
	if r.Topic != j.DeadLetterTopic || !ok || !slices.Contains(j.From, info.Partition.Topic) || info.First > info.Offset {
		return letter{}, false
	}
	return letter{info.Partition, info.First, info.Offset, millis.Of(info.Timestamp)}, true
}

// deadOutput tells of a dead letter. The timestamp of its record is in its headers.
//
// Anyone who may write to the topic can write any offsets into a letter. So it is told of those only that the group has
// committed, and of the last one if that is beyond: the time it takes is bounded by what was read of the input.
func (j *judge) deadOutput(ctx context.Context, r *kgo.Record, out offsets.Partition, l letter) error {
	if j.ID != nil {
		return j.outputID(ctx, r, out, l.ms, true)
	}
	p := l.partition
	tell := func(offset int64) {
		j.check.Output(out, r.Offset, p, offset, 0, 1)
		if !l.isBatch() && !j.AnyTimestamp {
			j.check.OutputTime(out, r.Offset, p, offset, l.ms)
		}
	}
	for offset := l.first; offset <= l.last && offset < j.until[p].Offset; offset++ {
		tell(offset)
	}
	if l.last >= max(j.until[p].Offset, j.later[p].Offset) {
		tell(l.last)
	}
	return nil
}

// letters is a set of input records. It takes room for each letter that was added, not for each record.
type letters struct {
	single  map[offsets.Partition]map[int64]bool
	batches map[offsets.Partition][]letter
}

func newLetters() letters {
	return letters{single: map[offsets.Partition]map[int64]bool{}, batches: map[offsets.Partition][]letter{}}
}

// add adds the records that l is a dead letter of.
func (s *letters) add(l letter) {
	if l.isBatch() {
		s.batches[l.partition] = append(s.batches[l.partition], l)
		return
	}
	if s.single[l.partition] == nil {
		s.single[l.partition] = map[int64]bool{}
	}
	s.single[l.partition][l.first] = true
}

// has reports whether the record is in the set.
func (s *letters) has(p offsets.Partition, offset int64) bool {
	return s.single[p][offset] ||
		slices.ContainsFunc(s.batches[p], func(l letter) bool { return l.first <= offset && offset <= l.last })
}
