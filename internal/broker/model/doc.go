// Package model is what Kafka brokers do with producers, transactions and offsets, as pure values: state and request in, state and
// answer out. It has no client, clock, goroutine, I/O or randomness, and answers with Kafka's own error codes.
//
//	b := model.NewBroker(model.DefaultRules())
//	b.CreateTopic("orders", 1)
//	p := b.InitProducerID(model.InitProducerIDRequest{Version: 5, TxnID: trace.Some("billing"), TimeoutMs: 60000, Expected: trace.NoProducer}).Producer
//	...
//	b.EndTxn(model.EndTxnRequest{Version: 5, TxnID: "billing", Producer: p, IsCommit: true})
//	for _, s := range b.Steps(nil) { // what the broker would now do by itself: write a marker, for example
//		b.Take(s)
//	}
//
// A [Broker] is changed by its methods, in place, because a simulator takes millions of steps; [Broker.Clone] is cheap and gives
// an independent one, so a state can be kept, compared ([Broker.Hash]) and forked. Each request is one step. What Kafka does later
// and elsewhere is a step of its own, which the caller takes when it likes: the marker in each partition, the completion, a
// time-out, an expiry, a reloaded coordinator, a restarted leader.
//
// A [Validator] judges a trace of events (trace) by this model. Where an answer is missing it keeps all the states that the
// brokers may be in, until a later answer tells them apart. Its [Finding] says what was expected, and cites the rule.
//
// # Where things are
//
//   - rules.go: what differs between releases and settings, in one place; bugs.go: rules that tests can switch off
//   - partition.go, producer.go, verify.go, markers.go, lso.go: one partition: batches, sequences, epochs, markers, the last stable offset
//   - coordinator.go, init.go, addpartitions.go, endtxn.go, ids.go: the transaction coordinator
//   - groups.go, txnoffsets.go: groups and their offsets
//   - produce.go, fetch.go: requests to partitions; steps.go: what happens unasked; broker.go: all of it together
//   - validator.go, worlds.go, judge.go, checks.go, senttwice.go, findings.go, reasons.go: judging traces
//
// Each file names the classes of Kafka that it mirrors, the KIPs, and in what it is simpler. What Kafka was seen (4.3.1 and 4.4.0) to answer is in
// testdata/traces; where this package and a broker differ, the broker is right.
//
// # Words
//
// TV1 and TV2 are the old and the new transaction protocol (KIP-890). A marker is the control batch that ends a transaction in a
// partition. To settle is to write all markers and complete. A world is a state that the brokers may be in.
//
// Start reading at broker.go, then partition.go and coordinator.go.
package model
