// Package validator knows what Kafka's brokers do with producer ids, epochs, sequences, duplicates, transactions and offsets,
// in Kafka 3.5 to 4.4. It is an idempotent-producer validator with a simulation mode. It has three parts:
//
//   - [New] makes a [Validator], which judges what brokers answered, or what a topic's log holds: each [Finding] is something
//     that no broker that keeps Kafka's rules would have done, with the rule and where Kafka keeps it.
//   - [NewBroker] makes a [Broker], which answers idempotent and transactional requests as Kafka does, without a broker,
//     a network or a clock.
//   - [Simulate] plays a whole history from a seed: brokers, writers, readers and an application, with faults. It returns what
//     was lost, doubled, torn and reordered, and which promises were broken.
//
// All three speak in events of package trace, which have a text form of one line each. To judge the requests of a Go test,
// use eos/eostest; to judge a topic of a cluster, use the commands eos-pipe record and eos-pipe validate.
//
// Everything here is a plain value: no client, goroutine, clock, I/O or randomness. Each value belongs to one goroutine at
// a time; different values are independent. The error codes are Kafka's own, and what each rule mirrors is in [Finding].
package validator
