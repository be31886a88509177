package sim

import (
	"slices"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// The versions of requests that clients send: those of transaction protocol 2, but for AddPartitionsToTxn, which only
// brokers send in a newer version.
const (
	versionInit          = 5
	versionProduce       = 12
	versionTxnOffsets    = 5
	versionOffsets       = 9
	versionOffsetFetch   = 9
	versionEndTxn        = 5
	versionAddPartitions = 3
	versionAddOffsets    = 4
)

// answer carries a request out at its broker and fills in the reply.
func (r *run) answer(m *message) {
	q := &m.request
	if code := r.refusal(m); code != trace.None {
		m.reply = refuse(code)
		if q.api == apiOffsetCommit {
			r.noteOffsets(m, slices.Repeat([]trace.Code{code}, len(q.offsets)))
			return
		}
		r.noteAnswer(m)
		return
	}
	m.reply = refuse(trace.None)
	switch q.api {
	case apiInit:
		a := r.broker.InitProducerID(r.initRequest(q))
		m.reply.code, m.reply.producer = a.Code, a.Producer
	case apiProduce:
		r.requests.TxnID = trace.NullString{Value: q.txnID, Valid: q.txnID != ""}
		r.requests.Batches[0] = model.ProduceBatch{Partition: r.names[q.partition], Batch: q.batch}
		r.answers = r.broker.Produce(&r.requests, r.answers[:0])
		m.reply.code, m.reply.offset = r.answers[0].Code, r.answers[0].BaseOffset
	case apiOffsetCommit:
		r.answerOffsetCommit(m)
		return
	case apiOffsetFetch:
		a := r.broker.OffsetFetch(model.OffsetFetchRequest{Group: groupID, Partition: r.names[q.partition], IsStable: q.isStable})
		m.reply.code, m.reply.offset, m.reply.mark = a.Code, a.Offset, r.marks[q.partition]
	case apiEndTxn:
		a := r.broker.EndTxn(model.EndTxnRequest{Version: versionEndTxn, TxnID: q.txnID, Producer: q.producer, IsCommit: q.isCommit})
		m.reply.code, m.reply.producer = a.Code, a.Next
	case apiAddPartitions:
		r.answerAddPartitions(m)
		return
	case apiAddOffsets:
		a := r.broker.AddOffsets(model.AddOffsetsRequest{Version: versionAddOffsets, TxnID: q.txnID, Producer: q.producer, Group: groupID})
		m.reply.code = a.Code
	case apiFetch:
		r.answerFetch(m)
		return
	case apiListOffsets:
		m.reply.offset, m.reply.code = r.broker.ListOffsets(model.ListOffsetsRequest{Partition: r.names[q.partition], IsReadCommitted: q.isRead})
	case apiDescribeTxn:
		t, code := r.broker.DescribeTransaction(q.txnID)
		m.reply.code, m.reply.producer, m.reply.state = code, trace.Producer{ID: t.ProducerID, Epoch: t.Epoch}, t.State
	case apiDescribeProducers:
		r.answerDescribeProducers(m)
	case apiHeartbeat:
		m.reply = r.group.heartbeat(r, q)
	case apiDescribeGroup:
		m.reply.member = r.group.memberOf(q.instance)
	}
	r.noteAnswer(m)
	if q.api == apiEndTxn || q.api == apiInit && q.txnID != "" {
		r.endTransaction(q.txnID)
	}
}

// refusal is the answer of a broker that is not the one to ask.
func (r *run) refusal(m *message) trace.Code {
	q := &m.request
	switch q.destination() {
	case toTxnCoordinator:
		switch {
		case m.node != r.txnNode:
			return trace.NotCoordinator
		case r.nowUs < r.txnLoadUs:
			return trace.CoordinatorLoadInProgress
		}
	case toGroupCoordinator:
		if m.node != r.groupNode {
			return trace.NotCoordinator
		}
	case toLeader:
		if m.node != r.leaders[q.partition] {
			return trace.NotLeaderOrFollower
		}
		// A leader adds its partition to the transaction before it appends, and for that needs the coordinator.
		if q.api == apiProduce && q.txnID != "" && !r.isTxnCoordinatorUp() {
			return trace.CoordinatorNotAvailable
		}
	}
	if q.api == apiOffsetCommit && q.txnID != "" && !r.isTxnCoordinatorUp() {
		return trace.CoordinatorNotAvailable
	}
	return trace.None
}

func (r *run) initRequest(q *request) model.InitProducerIDRequest {
	return model.InitProducerIDRequest{
		Version: versionInit, TxnID: trace.NullString{Value: q.txnID, Valid: q.txnID != ""}, TimeoutMs: txnTimeoutMs, Expected: trace.NoProducer,
	}
}

func (r *run) answerOffsetCommit(m *message) {
	q := &m.request
	metadata := model.GroupMetadata{Generation: q.generated, Member: q.member}
	var answers []model.PartitionAnswer
	if q.txnID != "" {
		answers = r.broker.TxnOffsetCommit(model.TxnOffsetCommitRequest{
			Version: versionTxnOffsets, TxnID: q.txnID, Producer: q.producer, Group: groupID, Metadata: metadata, Offsets: q.offsets,
		})
	} else {
		answers = r.broker.OffsetCommit(model.OffsetCommitRequest{Group: groupID, Metadata: metadata, Offsets: q.offsets})
	}
	m.reply.code = trace.None
	for _, a := range answers {
		if a.Code != trace.None {
			m.reply.code = a.Code
		}
	}
	if m.reply.code == trace.None {
		r.noteMarks(q)
	}
	if r.history == nil {
		return
	}
	codes := make([]trace.Code, len(answers))
	for i, a := range answers {
		codes[i] = a.Code
	}
	r.noteOffsets(m, codes)
}

// noteMarks keeps the metadata of offsets.
func (r *run) noteMarks(q *request) {
	if q.txnID == "" {
		for _, o := range q.offsets {
			r.marks[o.Partition.Number] = q.mark
		}
		return
	}
	marks := r.marksTxn[q.producer.ID]
	for _, o := range q.offsets {
		marks[o.Partition.Number] = q.mark
	}
	r.marksTxn[q.producer.ID] = marks
}

func (r *run) answerAddPartitions(m *message) {
	q := &m.request
	answers := r.broker.AddPartitions(model.AddPartitionsRequest{Version: versionAddPartitions, TxnID: q.txnID, Producer: q.producer, Partitions: q.adds})
	m.reply = refuse(trace.None)
	codes := make([]trace.Code, len(answers))
	for i, a := range answers {
		codes[i] = a.Code
		if a.Code != trace.None {
			m.reply.code = a.Code
		}
	}
	if r.history != nil {
		r.noteRequest(m, trace.AddPartitions{
			Client: r.clients[m.client].name, Version: versionAddPartitions, TxnID: q.txnID, Producer: q.producer, Partitions: q.adds, Codes: codes,
		})
	}
}

func (r *run) answerFetch(m *message) {
	q := &m.request
	a := r.broker.Fetch(model.FetchRequest{Partition: r.names[q.partition], Offset: q.offset, IsReadCommitted: q.isRead, MaxBatches: q.max})
	m.reply = refuse(a.Code)
	m.reply.next = q.offset
	if a.Code == trace.None {
		if n := len(a.Batches); n > 0 {
			m.reply.next = a.Batches[n-1].LastOffset + 1
		}
		if q.isRead {
			m.reply.batches = model.Delivered(a.Batches, a.Aborted)
		} else {
			m.reply.batches = slices.DeleteFunc(a.Batches, func(b model.LogBatch) bool { return b.Control != model.Data })
		}
	}
	if r.history == nil {
		return
	}
	e := trace.Fetch{
		Client: r.clients[m.client].name, Partition: r.names[q.partition], Offset: q.offset, ReadCommitted: q.isRead,
		Code: a.Code, HighWatermark: a.HighWatermark, LastStableOffset: a.LastStableOffset, Next: m.reply.next,
	}
	for _, t := range a.Aborted {
		e.Aborted = append(e.Aborted, trace.Aborted{ProducerID: t.ProducerID, FirstOffset: t.FirstOffset})
	}
	for _, b := range m.reply.batches {
		e.Delivered = append(e.Delivered, b.BaseOffset)
	}
	r.noteRequest(m, e)
}

// answerDescribeProducers tells whether an earlier epoch of the producer asked for has a transaction open.
func (r *run) answerDescribeProducers(m *message) {
	entries, code := r.broker.DescribeProducers(r.names[m.request.partition])
	m.reply.code = code
	for i := range entries {
		if entries[i].ID == m.request.producer.ID && entries[i].TxnFirstOffset >= 0 {
			m.reply.isOpen = true
		}
	}
}

// noteAnswer writes down requests that have one code.
func (r *run) noteAnswer(m *message) {
	if r.history == nil {
		return
	}
	if e := r.eventOf(m); e != nil {
		r.noteRequest(m, e)
	}
}

func (r *run) noteOffsets(m *message, codes []trace.Code) {
	if r.history != nil {
		e := r.offsetsEvent(m)
		e.Codes = codes
		r.noteRequest(m, e)
	}
}

func (r *run) offsetsEvent(m *message) trace.OffsetCommit {
	q := &m.request
	e := trace.OffsetCommit{
		Client: r.clients[m.client].name, Version: versionOffsets, Producer: trace.NoProducer, Group: groupID, Generation: q.generated, Member: q.member,
	}
	if q.txnID != "" {
		e.Version, e.TxnID, e.Producer = versionTxnOffsets, trace.Some(q.txnID), q.producer
	}
	for _, o := range q.offsets {
		e.Offsets = append(e.Offsets, trace.PartitionOffset{Partition: o.Partition, Offset: o.Offset})
	}
	return e
}

// eventOf is a message as a protocol event; nil for kinds that change nothing and are not in traces.
func (r *run) eventOf(m *message) trace.Event {
	q, a, name := &m.request, &m.reply, r.clients[m.client].name
	txnID := trace.NullString{Value: q.txnID, Valid: q.txnID != ""}
	switch q.api {
	case apiInit:
		return trace.InitProducerID{
			Client: name, Version: versionInit, TxnID: txnID, TimeoutMs: txnTimeoutMs, Expected: trace.NoProducer, Code: a.code, Producer: a.producer,
		}
	case apiProduce:
		b := &q.batch
		return trace.Produce{
			Client: name, Version: versionProduce, TxnID: txnID, Partition: r.names[q.partition], Producer: trace.Producer{ID: b.ProducerID, Epoch: b.Epoch},
			Transactional: b.IsTransactional, BaseSequence: b.BaseSequence, Count: b.Count, TimeMs: b.TimeMs, Digest: b.Digest, Acks: -1,
			Code: a.code, BaseOffset: a.offset,
		}
	case apiOffsetFetch:
		return trace.OffsetFetch{
			Client: name, Version: versionOffsetFetch, Group: groupID, Partition: r.names[q.partition], IsStable: q.isStable, Code: a.code, Offset: a.offset,
		}
	case apiEndTxn:
		return trace.EndTxn{
			Client: name, Version: versionEndTxn, TxnID: q.txnID, Producer: q.producer, Commit: q.isCommit, Code: a.code, Next: a.producer,
		}
	case apiAddOffsets:
		return trace.AddOffsets{Client: name, Version: versionAddOffsets, TxnID: q.txnID, Producer: q.producer, Group: groupID, Code: a.code}
	case apiAddPartitions:
		return trace.AddPartitions{Client: name, Version: versionAddPartitions, TxnID: q.txnID, Producer: q.producer, Partitions: q.adds, Codes: []trace.Code{a.code}}
	case apiFetch:
		return trace.Fetch{Client: name, Partition: r.names[q.partition], Offset: q.offset, ReadCommitted: q.isRead, Code: a.code, HighWatermark: -1, LastStableOffset: -1}
	case apiOffsetCommit:
		return r.offsetsEvent(m)
	default:
		return nil
	}
}
