// Package offsets holds the places in Kafka logs that an exactly-once copy depends on, and the arithmetic on them.
//
//   - A [Partition] names a log; a [Position] says which record of it is read next.
//   - A [Set] is one position for each of several partitions: what a consumer group has committed, where logs end.
//   - [Diff] tells what changed between two sets.
//   - A [Tracker] answers, while work finishes in any order, up to where everything taken has been processed.
//
// All of it is plain values: no client, no clock, no goroutine, no randomness. Names follow Kafka's: a position
// is what Kafka calls OffsetAndMetadata (without the metadata), a partition its TopicPartition.
//
// Nothing here locks. A Partition and a Position may be copied freely; a Set and a Tracker belong to one goroutine
// at a time (a Set that nobody changes may be read by many).
//
// Start reading at partition.go and position.go; tracker.go holds the only algorithm.
package offsets
