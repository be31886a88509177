package model

import (
	"fmt"
	"slices"

	"github.com/eos-pipe/eos-pipe/trace"
)

// verdict compares what was seen with what the model does.
type verdict struct {
	isRight bool
	isClose bool // at least the error code is the same
	reason  Reason
	want    string
}

// The producer ids that the model invents where the answer that would have told them is missing lie above all real ones.
const firstInventedID = int64(1) << 62

// judge carries out the event's request on the broker and compares the answers. An event without reply is right.
func judge(b *Broker, e trace.Event) verdict {
	switch e := e.(type) {
	case trace.InitProducerID:
		return judgeInit(b, e)
	case trace.Produce:
		return judgeProduce(b, e)
	case trace.EndTxn:
		return judgeEnd(b, e)
	case trace.AddPartitions:
		return judgeAddPartitions(b, e)
	case trace.AddOffsets:
		a := b.AddOffsets(AddOffsetsRequest{Version: e.Version, TxnID: e.TxnID, Producer: e.Producer, Group: e.Group})
		return judgeCode(a.Code, a.Reason, e.Code)
	case trace.OffsetCommit:
		return judgeOffsetCommit(b, e)
	case trace.OffsetFetch:
		return judgeOffsetFetch(b, e)
	case trace.Marker:
		return judgeMarker(b, e)
	case trace.Complete:
		return judgeStep(b, Step{Kind: StepComplete, TxnID: e.TxnID})
	case trace.Drop:
		return judgeDrop(b, e)
	case trace.Fetch:
		return judgeFetch(b, e)
	}
	return verdict{isRight: true}
}

// judgeCode compares codes. Where something was refused that should not be, the rule is told by what it was refused with.
func judgeCode(want trace.Code, why Reason, seen trace.Code) verdict {
	v := verdict{isRight: want == seen || seen == trace.NoReply, isClose: want == seen, reason: why, want: want.String()}
	if want == trace.None && !v.isRight {
		v.reason = ruleOfRefusal(seen, why)
	}
	return v
}

func ruleOfRefusal(seen trace.Code, why Reason) Reason {
	switch seen {
	case trace.InvalidProducerEpoch:
		return EpochFenced
	case trace.ProducerFenced:
		return CoordinatorFenced
	default:
		return why
	}
}

func judgeInit(b *Broker, e trace.InitProducerID) verdict {
	ids := b.txns.ids
	if e.Code == trace.None {
		b.txns.ids.startAt(e.Producer.ID)
	}
	a := b.InitProducerID(InitProducerIDRequest{Version: e.Version, TxnID: e.TxnID, TimeoutMs: e.TimeoutMs, Expected: e.Expected})
	if e.Code == trace.None {
		b.txns.ids = ids
	}
	v := judgeCode(a.Code, a.Reason, e.Code)
	if a.Code != trace.None || e.Code != trace.None {
		return v
	}
	return judgeNext(b, v, a.Producer, e.Producer)
}

// judgeNext compares the producer that a client is told to use. An id that was invented while an answer was missing is now
// known by its real name.
func judgeNext(b *Broker, v verdict, want, seen trace.Producer) verdict {
	if want.ID >= firstInventedID && seen.ID < firstInventedID {
		b.txns.rename(want.ID, seen.ID)
		want.ID = seen.ID
	}
	v.isRight = want == seen
	v.want = fmt.Sprintf("NONE %s", want)
	return v
}

func (c *coordinator) rename(from, to int64) {
	for _, t := range c.txns {
		for _, id := range []*int64{&t.ProducerID, &t.PrevProducerID, &t.NextProducerID} {
			if *id == from {
				*id = to
			}
		}
	}
}

func judgeProduce(b *Broker, e trace.Produce) verdict {
	q := ProduceRequest{Version: e.Version, TxnID: e.TxnID, Acks: e.Acks, Batches: []ProduceBatch{{Partition: e.Partition, Batch: batchOf(e)}}}
	a := b.Produce(&q, nil)[0]
	v := judgeCode(a.Code, a.Reason, e.Code)
	if a.Code != trace.None || e.Code != trace.None {
		return v
	}
	v.want = fmt.Sprintf("NONE offset=%d", a.BaseOffset)
	v.isRight = e.BaseOffset < 0 || a.BaseOffset == e.BaseOffset // clients do not always learn the offset
	if !v.isRight && a.Reason == InSequence {
		v.reason = EndOfLog
	}
	return v
}

func batchOf(e trace.Produce) Batch {
	return Batch{
		ProducerID: e.Producer.ID, Epoch: e.Producer.Epoch, BaseSequence: e.BaseSequence, Count: max(e.Count, 1), IsTransactional: e.Transactional,
		TimeMs: e.TimeMs, Digest: e.Digest,
	}
}

func judgeEnd(b *Broker, e trace.EndTxn) verdict {
	ids := b.txns.ids
	if e.Code == trace.None && e.Version >= 5 {
		b.txns.ids.startAt(e.Next.ID)
	}
	a := b.EndTxn(EndTxnRequest{Version: e.Version, TxnID: e.TxnID, Producer: e.Producer, IsCommit: e.Commit})
	if e.Code == trace.None {
		b.txns.ids = ids
	}
	v := judgeCode(a.Code, a.Reason, e.Code)
	if a.Code != trace.None || e.Code != trace.None || e.Version < 5 {
		return v
	}
	return judgeNext(b, v, a.Next, e.Next)
}

func judgeAddPartitions(b *Broker, e trace.AddPartitions) verdict {
	return judgeCodes(b.AddPartitions(AddPartitionsRequest{Version: e.Version, TxnID: e.TxnID, Producer: e.Producer, Partitions: e.Partitions}), e.Codes)
}

// judgeCodes compares one code for each partition; the first that differs is told.
func judgeCodes(want []PartitionAnswer, seen []trace.Code) verdict {
	if seen == nil {
		return verdict{isRight: true}
	}
	for i, a := range want {
		if i < len(seen) && a.Code != seen[i] {
			return judgeCode(a.Code, a.Reason, seen[i])
		}
	}
	return verdict{isRight: len(want) == len(seen), isClose: true, reason: MalformedRequest, want: fmt.Sprintf("%d codes", len(want))}
}

// judgeOffsetCommit takes the group's own verdict as it is seen, since its members are not in a trace: where it was refused, the
// model is made to refuse as well, behind the checks of epoch and transaction.
func judgeOffsetCommit(b *Broker, e trace.OffsetCommit) verdict {
	metadata := GroupMetadata{Generation: -1}
	isRefused := isGroupError(firstCode(e.Codes))
	if isRefused {
		metadata = GroupMetadata{Generation: 0, Member: "nobody"}
	}
	offsets := make([]OffsetToCommit, len(e.Offsets))
	for i, o := range e.Offsets {
		offsets[i] = OffsetToCommit{Partition: o.Partition, Offset: o.Offset}
	}
	var answers []PartitionAnswer
	if e.TxnID.Valid {
		answers = b.TxnOffsetCommit(TxnOffsetCommitRequest{
			Version: e.Version, TxnID: e.TxnID.Value, Producer: e.Producer, Group: e.Group, Metadata: metadata, Offsets: offsets,
		})
	} else {
		answers = b.OffsetCommit(OffsetCommitRequest{Group: e.Group, Metadata: metadata, Offsets: offsets})
	}
	if isRefused && len(answers) > 0 && isGroupError(answers[0].Code) {
		return verdict{isRight: true}
	}
	return judgeCodes(answers, e.Codes)
}

func isGroupError(code trace.Code) bool {
	switch code {
	case trace.IllegalGeneration, trace.UnknownMemberID, trace.FencedInstanceID, trace.StaleMemberEpoch, trace.GroupIDNotFound:
		return true
	default:
		return false
	}
}

func judgeOffsetFetch(b *Broker, e trace.OffsetFetch) verdict {
	a := b.OffsetFetch(OffsetFetchRequest{Group: e.Group, Partition: e.Partition, IsStable: e.IsStable})
	v := judgeCode(a.Code, a.Reason, e.Code)
	if a.Code == trace.None && e.Code == trace.None {
		v.isRight, v.want = a.Offset == e.Offset, fmt.Sprintf("NONE offset=%d", a.Offset)
	}
	return v
}

// judgeMarker takes the step of the ending transaction that the marker belongs to.
func judgeMarker(b *Broker, e trace.Marker) verdict {
	for _, t := range b.txns.txns {
		if t.State.isPrepare() && t.ProducerID == e.Producer.ID && t.contains(e.Partition) {
			m := t.marker(b.txns.epoch)
			if m.Epoch != e.Producer.Epoch || m.IsCommit != e.Commit {
				return verdict{reason: EndPrepared, want: fmt.Sprintf("%s with epoch %d", controlOf(m.IsCommit), m.Epoch)}
			}
			return judgeMarkerAnswer(b.sendMarker(t, e.Partition), e)
		}
	}
	return verdict{reason: NoSuchStep, want: "no marker, since no transaction of this producer id is ending there"}
}

func judgeMarkerAnswer(a Appended, e trace.Marker) verdict {
	v := judgeCode(a.Code, a.Reason, e.Code)
	if a.Code == trace.None && e.Code == trace.None {
		v.isRight, v.reason, v.want = a.BaseOffset == e.Offset, EndOfLog, fmt.Sprintf("NONE offset=%d", a.BaseOffset)
	}
	return v
}

func judgeStep(b *Broker, s Step) verdict {
	if _, ok := b.Take(s); !ok {
		return verdict{reason: NoSuchStep, want: "nothing, since markers are still to be written, or no transaction is ending"}
	}
	return verdict{isRight: true}
}

func judgeDrop(b *Broker, e trace.Drop) verdict {
	p := b.create(e.Partition)
	before := p.IsLeaderless
	p.IsLeaderless = true
	v := judgeStep(b, Step{Kind: StepMarker, TxnID: e.TxnID, Partition: e.Partition})
	p.IsLeaderless = before
	return v
}

// judgeFetch compares offsets where they are known (not negative), the aborted transactions that reach into what was read, and
// what the application got of it.
func judgeFetch(b *Broker, e trace.Fetch) verdict {
	a := b.Fetch(FetchRequest{Partition: e.Partition, Offset: e.Offset, IsReadCommitted: e.ReadCommitted})
	v := judgeCode(a.Code, a.Reason, e.Code)
	if a.Code != trace.None || e.Code != trace.None {
		return v
	}
	switch {
	case e.HighWatermark >= 0 && e.HighWatermark != a.HighWatermark:
		v.isRight, v.want = false, fmt.Sprintf("hw=%d", a.HighWatermark)
	case e.LastStableOffset >= 0 && e.LastStableOffset != a.LastStableOffset:
		v.isRight, v.want = false, fmt.Sprintf("lso=%d", a.LastStableOffset)
	case !isAbortedRight(a.Aborted, e):
		v.isRight, v.reason, v.want = false, AbortedListed, fmt.Sprintf("aborted=%s", abortedText(a.Aborted))
	default:
		want := deliveredTo(a, e)
		v.isRight, v.reason, v.want = slices.Equal(want, e.Delivered), CommittedOnly, fmt.Sprintf("delivered=%v", want)
	}
	return v
}

// isAbortedRight asks for every aborted transaction that reaches into what was read, and for none that was not aborted; the list
// may go further than that.
func isAbortedRight(want []AbortedTxn, e trace.Fetch) bool {
	for _, t := range want {
		isNeeded := t.FirstOffset < e.Next && t.LastOffset >= e.Offset
		if isNeeded && !slices.Contains(e.Aborted, trace.Aborted{ProducerID: t.ProducerID, FirstOffset: t.FirstOffset}) {
			return false
		}
	}
	for _, seen := range e.Aborted {
		isKnown := slices.ContainsFunc(want, func(t AbortedTxn) bool { return t.ProducerID == seen.ProducerID && t.FirstOffset == seen.FirstOffset })
		if !isKnown {
			return false
		}
	}
	return true
}

func abortedText(list []AbortedTxn) string {
	var texts []string
	for _, t := range list {
		texts = append(texts, fmt.Sprintf("%d@%d", t.ProducerID, t.FirstOffset))
	}
	return fmt.Sprint(texts)
}

// deliveredTo lists the base offsets of what the application should have got up to where the reader goes on.
func deliveredTo(a FetchAnswer, e trace.Fetch) []int64 {
	var offsets []int64
	for _, batch := range Delivered(a.Batches, a.Aborted) {
		if batch.BaseOffset < e.Next {
			offsets = append(offsets, batch.BaseOffset)
		}
	}
	return offsets
}
