package validator

import (
	"fmt"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// Broker is a cluster of one broker as a value: its partitions, its transaction coordinator and its groups. It has no network
// and no clock, and belongs to one goroutine. Kafka's own code is what it mirrors: UnifiedLog, ProducerStateManager,
// TransactionCoordinator and GroupCoordinatorService (KIP-98, KIP-360, KIP-447, KIP-588, KIP-890, KIP-1228, KIP-1319).
type Broker struct {
	model            *model.Broker
	coordinatorEpoch int32
}

// NewBroker returns a broker without topics, at time 0. Only c.Kafka counts. It fails only if that version is not known.
func NewBroker(c Config) (*Broker, error) {
	rules, err := c.rules()
	if err != nil {
		return nil, err
	}
	return &Broker{model: model.NewBroker(rules)}, nil
}

// CreateTopic adds the partitions 0 to partitions-1 of a topic. Partitions that exist keep what is in them.
func (b *Broker) CreateTopic(topic string, partitions int32) { b.model.CreateTopic(topic, partitions) }

// OffsetsPartition returns the partition of __consumer_offsets that holds the group's offsets.
func (b *Broker) OffsetsPartition(group string) trace.Partition {
	return b.model.OffsetsPartition(group)
}

// Answer carries out the request in e and returns e with Kafka's answer in its reply fields; what they held before does not
// count. The code [trace.NoReply] means that the broker closes the connection, because it does not offer that version, or that
// acks is 0. The clock, restarts of leaders and moves of the coordinator are events too: [trace.Time], [trace.Restart] and
// [trace.Reload] are carried out and returned as they are. An error means that e is no request, and that nothing has changed.
//
// Each request is one step. What a broker does afterwards by itself, such as writing a transaction's markers, waits for
// [Broker.Settle]. Groups have no members here: a commit of offsets needs the generation -1.
func (b *Broker) Answer(e trace.Event) (trace.Event, error) {
	switch e := e.(type) {
	case trace.InitProducerID:
		return b.initProducerID(e), nil
	case trace.Produce:
		return b.produce(e), nil
	case trace.AddPartitions:
		e.Codes = codes(b.model.AddPartitions(model.AddPartitionsRequest{Version: e.Version, TxnID: e.TxnID, Producer: e.Producer, Partitions: e.Partitions}))
		return e, nil
	case trace.AddOffsets:
		e.Code = b.model.AddOffsets(model.AddOffsetsRequest{Version: e.Version, TxnID: e.TxnID, Producer: e.Producer, Group: e.Group}).Code
		return e, nil
	case trace.OffsetCommit:
		return b.offsetCommit(e), nil
	case trace.OffsetFetch:
		a := b.model.OffsetFetch(model.OffsetFetchRequest{Group: e.Group, Partition: e.Partition, IsStable: e.IsStable})
		e.Code, e.Offset = a.Code, a.Offset
		return e, nil
	case trace.EndTxn:
		return b.endTxn(e), nil
	case trace.Fetch:
		return b.fetch(e), nil
	}
	return e, b.carryOut(e)
}

// carryOut is for events that are no requests.
func (b *Broker) carryOut(e trace.Event) error {
	switch e := e.(type) {
	case trace.Time:
		b.model.SetTime(e.NowMs)
	case trace.Restart:
		p := b.model.Partition(e.Partition)
		if p == nil {
			return fmt.Errorf("%s does not exist, so it has no leader to restart: create its topic first", e.Partition)
		}
		rules := b.model.Rules()
		p.RestartLeader(b.model.NowMs(), &rules)
	case trace.Reload:
		b.model.ReloadCoordinator()
		b.coordinatorEpoch++
	default:
		return fmt.Errorf("%s is not a request, and nothing was done: brokers write such events by themselves, see Broker.Settle", e.Kind())
	}
	return nil
}

func (b *Broker) initProducerID(e trace.InitProducerID) trace.Event {
	a := b.model.InitProducerID(model.InitProducerIDRequest{Version: e.Version, TxnID: e.TxnID, TimeoutMs: e.TimeoutMs, Expected: e.Expected})
	e.Code, e.Producer = a.Code, unlessClosed(a.Code, a.Producer)
	return e
}

func (b *Broker) produce(e trace.Produce) trace.Event {
	batch := model.Batch{
		ProducerID: e.Producer.ID, Epoch: e.Producer.Epoch, BaseSequence: e.BaseSequence, Count: max(e.Count, 1), IsTransactional: e.Transactional,
		TimeMs: e.TimeMs, Digest: e.Digest,
	}
	q := model.ProduceRequest{Version: e.Version, TxnID: e.TxnID, Acks: e.Acks, Batches: []model.ProduceBatch{{Partition: e.Partition, Batch: batch}}}
	a := b.model.Produce(&q, nil)[0]
	e.Code, e.BaseOffset = a.Code, unlessClosed(a.Code, a.BaseOffset)
	return e
}

func (b *Broker) offsetCommit(e trace.OffsetCommit) trace.Event {
	metadata := model.GroupMetadata{Generation: e.Generation, Member: e.Member, Instance: e.Instance}
	offsets := make([]model.OffsetToCommit, len(e.Offsets))
	for i, o := range e.Offsets {
		offsets[i] = model.OffsetToCommit{Partition: o.Partition, Offset: o.Offset}
	}
	if !e.TxnID.Valid {
		e.Codes = codes(b.model.OffsetCommit(model.OffsetCommitRequest{Group: e.Group, Metadata: metadata, Offsets: offsets}))
		return e
	}
	e.Codes = codes(b.model.TxnOffsetCommit(model.TxnOffsetCommitRequest{
		Version: e.Version, TxnID: e.TxnID.Value, Producer: e.Producer, Group: e.Group, Metadata: metadata, Offsets: offsets,
	}))
	return e
}

func (b *Broker) endTxn(e trace.EndTxn) trace.Event {
	a := b.model.EndTxn(model.EndTxnRequest{Version: e.Version, TxnID: e.TxnID, Producer: e.Producer, IsCommit: e.Commit})
	e.Code, e.Next = a.Code, unlessClosed(a.Code, a.Next)
	return e
}

// fetch answers with all that a reader can get from the offset on.
func (b *Broker) fetch(e trace.Fetch) trace.Event {
	a := b.model.Fetch(model.FetchRequest{Partition: e.Partition, Offset: e.Offset, IsReadCommitted: e.ReadCommitted})
	e.Code, e.HighWatermark, e.LastStableOffset, e.Next = a.Code, a.HighWatermark, a.LastStableOffset, e.Offset
	e.Aborted, e.Delivered = nil, nil
	for _, t := range a.Aborted {
		e.Aborted = append(e.Aborted, trace.Aborted{ProducerID: t.ProducerID, FirstOffset: t.FirstOffset})
	}
	for _, batch := range model.Delivered(a.Batches, a.Aborted) {
		e.Delivered = append(e.Delivered, batch.BaseOffset)
	}
	if n := len(a.Batches); n > 0 {
		e.Next = a.Batches[n-1].LastOffset + 1
	}
	return e
}

// unlessClosed is the answer, or the zero value where the connection was closed.
func unlessClosed[T any](code trace.Code, answer T) T {
	if code == trace.NoReply {
		var none T
		return none
	}
	return answer
}

// codes takes the codes out of answers; nil if the connection was closed.
func codes(answers []model.PartitionAnswer) []trace.Code {
	var list []trace.Code
	for _, a := range answers {
		list = append(list, a.Code)
	}
	return list
}

// Settle lets the broker do by itself all that is due, until nothing is left: it aborts transactions whose timeout has passed,
// writes the markers of ending transactions, completes them, and forgets producers and transactional ids that have expired.
// It returns the markers and completions in their order, as a [Validator] with Config.HasSteps wants to see them.
func (b *Broker) Settle() []trace.Event {
	var done []trace.Event
	for {
		steps := b.model.Steps(nil)
		if len(steps) == 0 {
			return done
		}
		for _, s := range steps {
			if e := b.take(s); e != nil {
				done = append(done, e)
			}
		}
	}
}

// take does one step, and returns the event that tells it; nil if none does.
func (b *Broker) take(s model.Step) trace.Event {
	var marker trace.Marker
	if t := b.model.Txn(s.TxnID); t != nil {
		marker = trace.Marker{
			Partition: s.Partition, Producer: trace.Producer{ID: t.ProducerID, Epoch: t.Epoch}, Commit: t.State == model.PrepareCommit,
			CoordinatorEpoch: b.coordinatorEpoch, Protocol: t.Protocol,
		}
	}
	a, ok := b.model.Take(s)
	switch {
	case !ok:
		return nil
	case s.Kind == model.StepComplete:
		return trace.Complete{TxnID: s.TxnID}
	case s.Kind == model.StepMarker && a.Reason == model.NoLeader:
		return trace.Drop{TxnID: s.TxnID, Partition: s.Partition}
	case s.Kind == model.StepMarker:
		marker.Code, marker.Offset = a.Code, a.BaseOffset
		return marker
	}
	return nil
}
