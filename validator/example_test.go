package validator_test

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/eos-pipe/eos-pipe/trace"
	"github.com/eos-pipe/eos-pipe/validator"
)

// A producer was told that batches 0, 1 and 3 were appended. A broker of Kafka 4.3 that keeps the rules refuses the last one.
func ExampleNew() {
	const events = `
produce v=12 to=orders-0 producer=7/0 transactional=false seq=0 count=1 time_ms=1000 acks=-1 -> NONE offset=0
produce v=12 to=orders-0 producer=7/0 transactional=false seq=1 count=1 time_ms=1000 acks=-1 -> NONE offset=1
produce v=12 to=orders-0 producer=7/0 transactional=false seq=3 count=1 time_ms=1000 acks=-1 -> NONE offset=2
`
	v, err := validator.New(validator.Config{Kafka: "4.3"})
	if err != nil {
		panic(err)
	}
	for event, err := range trace.Read(strings.NewReader(events)) {
		if err != nil {
			panic(err)
		}
		for _, finding := range v.Observe(event) {
			fmt.Printf("%s: expected %s\nrule: %s\n", finding.Class, finding.Expected, finding.Rule)
		}
	}

	// Output:
	// sequence: expected OUT_OF_ORDER_SEQUENCE_NUMBER
	// rule: a batch starts exactly behind the last sequence of its producer
}

// A transactional producer writes, repeats a batch whose answer was lost, and is fenced by a second one with its id. The broker
// then writes the ABORT marker, and a read_committed reader gets nothing.
func ExampleNewBroker() {
	broker, err := validator.NewBroker(validator.Config{Kafka: "4.4"})
	if err != nil {
		panic(err)
	}
	broker.CreateTopic("orders", 1)
	orders := trace.Partition{Topic: "orders"}
	answer := func(e trace.Event) trace.Event {
		answered, err := broker.Answer(e)
		if err != nil {
			panic(err)
		}
		return answered
	}

	begin := trace.InitProducerID{Version: 5, TxnID: trace.Some("billing"), TimeoutMs: 60_000, Expected: trace.NoProducer}
	first := answer(begin).(trace.InitProducerID).Producer
	batch := trace.Produce{
		Version: 12, TxnID: trace.Some("billing"), Partition: orders, Producer: first, Transactional: true, Count: 3, TimeMs: 1000, Acks: -1,
	}
	for range 2 { // the second one is a duplicate: it is answered with the old offset, and not written
		a := answer(batch).(trace.Produce)
		fmt.Println("batch at sequence 0:", a.Code, a.BaseOffset)
	}
	batch.BaseSequence = 4
	fmt.Println("batch after a gap:  ", answer(batch).(trace.Produce).Code)

	fmt.Println("second producer:    ", answer(begin).(trace.InitProducerID).Code)
	for _, e := range broker.Settle() {
		fmt.Println("by itself:          ", e)
	}
	second := answer(begin).(trace.InitProducerID).Producer
	fmt.Println("producers:          ", first, second)
	batch.BaseSequence = 3
	fmt.Println("fenced producer:    ", answer(batch).(trace.Produce).Code)
	read := answer(trace.Fetch{Partition: orders, ReadCommitted: true}).(trace.Fetch)
	fmt.Println("delivered:          ", read.Delivered, "up to", read.LastStableOffset)

	// Output:
	// batch at sequence 0: NONE 0
	// batch at sequence 0: NONE 0
	// batch after a gap:   OUT_OF_ORDER_SEQUENCE_NUMBER
	// second producer:     CONCURRENT_TRANSACTIONS
	// by itself:           marker to=orders-0 producer=0/1 commit=false coordinator=0 protocol=2 -> NONE offset=3
	// by itself:           complete txn=billing
	// producers:           0/0 0/2
	// fenced producer:     INVALID_PRODUCER_EPOCH
	// delivered:           [] up to 4
}

// The same seed and faults in three modes. Exactly-once loses and doubles nothing.
func ExampleSimulate() {
	for _, mode := range validator.Modes() {
		r, err := validator.Simulate(validator.SimConfig{Seed: 7, Faults: "default", Mode: mode})
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s: %d in, %d lost, %d doubled, %d torn, %d reordered, %d findings\n", mode, r.In, r.Lost, r.Doubled, r.Torn, r.Reordered, len(r.Findings))
	}

	// Output:
	// at-least-once: 2800 in, 0 lost, 308 doubled, 0 torn, 21 reordered, 0 findings
	// idempotent: 2730 in, 0 lost, 281 doubled, 0 torn, 0 reordered, 0 findings
	// exactly-once: 2566 in, 0 lost, 0 doubled, 0 torn, 0 reordered, 0 findings
}

// A rule of the brokers is switched off: they append a repeated batch again. The simulation finds the broken promise, shrinks
// the run to the one fault that it needs, and the validator finds the wrong answer in its history.
func ExampleSimResult_Shrink() {
	r, err := validator.Simulate(validator.SimConfig{Steps: 2000, Faults: "default", Plant: "duplicate-appended"})
	if err != nil {
		panic(err)
	}
	short, err := r.Shrink()
	if err != nil {
		panic(err)
	}
	fmt.Println(short.Findings[0].Kind, "by", short.Injected)

	var history bytes.Buffer
	if err := short.WriteTrace(&history); err != nil {
		panic(err)
	}
	v, err := validator.New(validator.Config{HasSteps: true})
	if err != nil {
		panic(err)
	}
	for event, err := range trace.Read(&history) {
		if err != nil {
			panic(err)
		}
		if findings := v.Observe(event); findings != nil {
			fmt.Println("rule:", findings[0].Rule)
			break
		}
	}

	// Output:
	// doubled by [delay@writer-2#6]
	// rule: a repeat of one of the last five batches is answered with its old offset and not written
}
