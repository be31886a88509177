package model_test

import (
	"fmt"
	"math"
	"slices"

	"pgregory.net/rapid"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// history draws requests and steps for a broker, carries them out, and writes them down as events.
type history struct {
	broker       *model.Broker
	losesReplies bool
	timeoutMs    int32 // of transactions
	done         []operation
	events       []trace.Event
	sequences    map[string]int32          // next one by producer and partition, as the last answer had it
	accepted     []trace.Produce           // batches that were taken, newest last
	told         map[string]trace.Producer // by transactional id: what the last answer told to use
}

// operation does one thing to a broker, and returns the event it makes with the broker's answer.
type operation func(*model.Broker) trace.Event

func newHistory(r model.Rules) *history {
	b := model.NewBroker(r)
	b.CreateTopic(topic, 2)
	b.SetTime(1000)
	return &history{broker: b, timeoutMs: 1000, sequences: map[string]int32{}, told: map[string]trace.Producer{}}
}

// next draws an operation and does it. If replies are lost, a request may not even arrive.
func (h *history) next(t *rapid.T) trace.Event {
	op := h.draw(t)
	var e trace.Event
	isLost := h.losesReplies && rapid.IntRange(0, 9).Draw(t, "loss") == 0
	isArriving := !isLost || rapid.Bool().Draw(t, "arrives")
	if isArriving {
		e = op(h.broker)
	} else if e = op(h.broker.Clone()); lose(e) == nil { // no request: it is not on its way anywhere
		e = op(h.broker)
	}
	if lost := lose(e); isLost && lost != nil {
		e = lost
	}
	h.done, h.events = append(h.done, op), append(h.events, e)
	h.learn(e)
	return e
}

// learn keeps what a client learns from an answer.
func (h *history) learn(e trace.Event) {
	switch e := e.(type) {
	case trace.Produce:
		if e.Code == trace.None {
			if !slices.Contains(h.accepted, e) {
				h.accepted = append(h.accepted, e)
			}
			h.sequences[sequenceKey(e.Producer, e.Partition)] = int32((int64(e.BaseSequence) + int64(e.Count)) & math.MaxInt32)
		}
	case trace.InitProducerID:
		if e.Code == trace.None {
			h.told[e.TxnID.Value] = e.Producer
		}
	case trace.EndTxn:
		if e.Code == trace.None && e.Next.ID >= 0 {
			h.told[e.TxnID] = e.Next
		}
	}
}

func sequenceKey(p trace.Producer, at trace.Partition) string { return fmt.Sprint(p, at) }

// lose is the event without its answer; nil for what is no request.
func lose(e trace.Event) trace.Event {
	switch e := e.(type) {
	case trace.InitProducerID:
		e.Code, e.Producer = trace.NoReply, trace.Producer{}
		return e
	case trace.Produce:
		e.Code, e.BaseOffset = trace.NoReply, 0
		return e
	case trace.AddPartitions:
		e.Codes = nil
		return e
	case trace.OffsetCommit:
		e.Codes = nil
		return e
	case trace.EndTxn:
		e.Code, e.Next = trace.NoReply, trace.Producer{}
		return e
	}
	return nil
}

func (h *history) draw(t *rapid.T) operation {
	id := rapid.SampledFrom([]string{"A", "B"}).Draw(t, "transactional id")
	producer, ok := h.told[id]
	if !ok {
		producer = trace.Producer{ID: 99}
	}
	producer.Epoch += rapid.SampledFrom([]int16{0, 0, 0, 0, 0, 0, -1, 1}).Draw(t, "epoch off by")
	producer.ID += rapid.SampledFrom([]int64{0, 0, 0, 0, 0, 0, 0, 0, 0, 1}).Draw(t, "id off by")
	switch rapid.IntRange(0, 13).Draw(t, "operation") {
	case 0:
		return opInit(trace.InitProducerID{
			Version: 5, TxnID: trace.Some(id), TimeoutMs: h.timeoutMs, Expected: rapid.SampledFrom([]trace.Producer{trace.NoProducer, producer}).Draw(t, "expected"),
		})
	case 1:
		if n := len(h.accepted); n > 0 {
			return opProduce(h.accepted[n-1-rapid.IntRange(0, min(n, 20)-1).Draw(t, "repeat the newest but")])
		}
		fallthrough
	case 2, 3, 4:
		return h.drawProduce(t, id, producer)
	case 5:
		return opAddPartitions(trace.AddPartitions{Version: 3, TxnID: id, Producer: producer, Partitions: []trace.Partition{h.partition(t)}})
	case 6:
		e := trace.OffsetCommit{
			Version: rapid.Int16Range(3, 5).Draw(t, "version"), TxnID: trace.Some(id), Producer: producer, Group: "g", Generation: -1,
			Offsets: []trace.PartitionOffset{{Partition: h.partition(t), Offset: rapid.Int64Range(1, 9).Draw(t, "offset")}},
		}
		if rapid.IntRange(0, 3).Draw(t, "plain") == 0 {
			e.TxnID, e.Producer = trace.NullString{}, trace.NoProducer
		}
		return opOffsets(e)
	case 7, 8:
		return opEnd(trace.EndTxn{
			Version: rapid.SampledFrom([]int16{4, 5, 5}).Draw(t, "version"), TxnID: id, Producer: producer, Commit: rapid.Bool().Draw(t, "commit"),
		})
	case 9, 10, 11:
		if steps := h.broker.Steps(nil); len(steps) > 0 {
			return opStep(rapid.SampledFrom(steps).Draw(t, "step"))
		}
		return opFetch(trace.Fetch{Partition: h.partition(t), ReadCommitted: rapid.Bool().Draw(t, "committed")})
	default:
		return h.drawFault(t)
	}
}

func (h *history) drawFault(t *rapid.T) operation {
	switch rapid.IntRange(0, 6).Draw(t, "fault") {
	case 0:
		return opReload()
	case 1:
		return opRestart(h.partition(t))
	case 2:
		return opTime(h.broker.NowMs() + rapid.Int64Range(1, 900).Draw(t, "ms"))
	case 3, 4:
		return opOffsetFetch(trace.OffsetFetch{Version: 7, Group: "g", Partition: h.partition(t), IsStable: rapid.Bool().Draw(t, "stable")})
	default:
		return opFetch(trace.Fetch{Partition: h.partition(t), ReadCommitted: rapid.Bool().Draw(t, "committed")})
	}
}

// drawProduce draws a batch whose sequence is mostly right, or near what is right.
func (h *history) drawProduce(t *rapid.T, id string, producer trace.Producer) operation {
	p := h.partition(t)
	e := trace.Produce{
		Version: rapid.Int16Range(10, 12).Draw(t, "version"), TxnID: trace.Some(id), Partition: p, Producer: producer, Acks: -1, TimeMs: 1000,
		Count: rapid.Int32Range(1, 3).Draw(t, "count"), Transactional: rapid.IntRange(0, 4).Draw(t, "plain") > 0, Digest: rapid.Uint64Range(0, 50).Draw(t, "digest"),
	}
	next, isKnown := h.sequences[sequenceKey(producer, p)]
	if !isKnown {
		next = rapid.SampledFrom([]int32{0, 0, 0, math.MaxInt32 - 1}).Draw(t, "first sequence")
	}
	e.BaseSequence = max(next+rapid.SampledFrom([]int32{0, 0, 0, 0, 0, 1, -1, -3}).Draw(t, "sequence off by"), 0)
	return opProduce(e)
}

func (h *history) partition(t *rapid.T) trace.Partition {
	return trace.Partition{Topic: topic, Number: rapid.Int32Range(0, 1).Draw(t, "partition")}
}

// moveOffsets replicates, or deletes records, up to some offset.
func (h *history) moveOffsets(t *rapid.T) {
	p := h.broker.Partition(h.partition(t))
	offset := rapid.Int64Range(0, p.LogEndOffset()).Draw(t, "offset")
	if rapid.Bool().Draw(t, "replicates") {
		p.ReplicateTo(offset)
	} else {
		p.DeleteRecords(offset)
	}
}

// watermarks lists all high watermarks and last stable offsets of the topic.
func (h *history) watermarks() []int64 {
	rules := h.broker.Rules()
	var list []int64
	for n := range int32(2) {
		p := h.broker.Partition(trace.Partition{Topic: topic, Number: n})
		list = append(list, p.HighWatermark(), p.LastStableOffset(&rules))
	}
	return list
}

// logs describes logs and producers, without what is being verified.
func (h *history) logs() string {
	var text string
	for n := range int32(2) {
		p := h.broker.Partition(trace.Partition{Topic: topic, Number: n})
		text += fmt.Sprint(p.LogEndOffset(), p.Producers(), p.OpenTransactions(), "\n")
	}
	return text
}
