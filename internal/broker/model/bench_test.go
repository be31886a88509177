package model_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// ns/op is of one event: a TV2 transaction of ten batches over four partitions, its end, markers and completion, again and again.
// The simulator wants a million of them a second.
func BenchmarkTransaction(b *testing.B) {
	b.ReportAllocs()
	broker := model.NewBroker(model.DefaultRules())
	broker.CreateTopic(topic, 4)
	producer := broker.InitProducerID(model.InitProducerIDRequest{Version: 5, TxnID: trace.Some("A"), TimeoutMs: 1000, Expected: trace.NoProducer}).Producer
	var answers []model.ProduceAnswer
	var steps []model.Step
	q := model.ProduceRequest{Version: 12, TxnID: trace.Some("A"), Acks: -1, Batches: make([]model.ProduceBatch, 1)}
	for events := 0; events < b.N; {
		for i := range int32(10) {
			q.Batches[0] = model.ProduceBatch{
				Partition: trace.Partition{Topic: topic, Number: i % 4},
				Batch:     model.Batch{ProducerID: producer.ID, Epoch: producer.Epoch, BaseSequence: i / 4, Count: 1, IsTransactional: true},
			}
			answers = broker.Produce(&q, answers[:0])
			if answers[0].Code != trace.None {
				b.Fatal(answers[0])
			}
		}
		producer = broker.EndTxn(model.EndTxnRequest{Version: 5, TxnID: "A", Producer: producer, IsCommit: true}).Next
		events += 11
		for steps = broker.Steps(steps[:0]); len(steps) > 0; steps = broker.Steps(steps[:0]) {
			broker.Take(steps[0])
			events++
		}
	}
}

// A broker with a long log and some producers is cloned, as at every fork of worlds.
func BenchmarkClone(b *testing.B) {
	b.ReportAllocs()
	broker := fill(100_000)
	for b.Loop() {
		broker.Clone()
	}
}

// The same broker is appended to right after each clone, which copies no more than a chunk of the log.
func BenchmarkCloneAndAppend(b *testing.B) {
	b.ReportAllocs()
	broker := fill(100_000)
	for b.Loop() {
		appendPlain(broker.Clone(), 100_000)
	}
}

func fill(batches int32) *model.Broker {
	broker := model.NewBroker(model.DefaultRules())
	broker.CreateTopic(topic, 4)
	for sequence := range batches {
		appendPlain(broker, sequence)
	}
	return broker
}

func appendPlain(b *model.Broker, sequence int32) {
	q := model.ProduceRequest{Version: 12, Acks: -1, Batches: []model.ProduceBatch{{
		Partition: trace.Partition{Topic: topic, Number: sequence % 4}, Batch: model.Batch{ProducerID: 7, BaseSequence: sequence / 4, Count: 1},
	}}}
	b.Produce(&q, nil)
}

// Requests of a steady producer allocate next to nothing: the log and its chunks are all that grows.
func TestProduceDoesNotAllocate(t *testing.T) {
	broker := fill(10_000)
	q := model.ProduceRequest{Version: 12, Acks: -1, Batches: []model.ProduceBatch{{
		Partition: trace.Partition{Topic: topic}, Batch: model.Batch{ProducerID: 7, BaseSequence: 2500, Count: 1},
	}}}
	answers := make([]model.ProduceAnswer, 0, 1)
	perRun := testing.AllocsPerRun(1000, func() {
		answers = broker.Produce(&q, answers[:0])
		if answers[0].Code != trace.None {
			t.Fatal(answers[0])
		}
		q.Batches[0].Batch.BaseSequence++
	})
	require.Less(t, perRun, 0.1)
}

// ns/op is of one event judged: batches of a steady producer, all answered.
func BenchmarkValidator(b *testing.B) {
	b.ReportAllocs()
	v := model.NewValidator(model.ValidatorConfig{Rules: model.DefaultRules(), HasSteps: true})
	for i := range b.N {
		findings := v.Observe(trace.Produce{
			Version: 12, Partition: trace.Partition{Topic: topic, Number: int32(i % 4)}, Producer: trace.Producer{ID: 7}, BaseSequence: int32(i / 4), Count: 1,
			Acks: -1, BaseOffset: int64(i / 4),
		})
		if findings != nil {
			b.Fatal(findings)
		}
	}
}
