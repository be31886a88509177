// Package eostest watches the Kafka clients of a test, and fails the test if what the brokers answered is not what Kafka's brokers
// answer: a gap in a sequence that was taken, a producer that was fenced and got through, a commit that never was, an offset that was
// committed by an older generation.
//
//	watch := eostest.Watch(t)
//	client, err := kgo.NewClient(kgo.SeedBrokers(addr), watch.Client())
//	…
//
// It is for tests of programs that write to Kafka, whether with this module or without, and for tests of stand-ins for Kafka: it
// works with real brokers and with kfake. A watcher is a dialer. It passes all bytes as they are, reads along, and when the test ends it
// gives what it has seen to [validator.Validator], which knows what brokers do. A request whose answer was lost may have been carried out
// or not; the validator follows both ways until later answers tell.
//
// # What must be watched
//
// All clients that write, in a transaction or not, to the partitions, with the transactional ids, or for the groups that the watched
// clients use, have to be given the same watcher; but not those that only read. What was there before the first request does not
// matter.
//
// # What is not judged
//
// What readers get, which takes whole logs (for that: eos-pipe record and eos-pipe validate); groups' members, which are told by
// the brokers alone; and the order of requests that overlap on several connections: it is enough that one order explains the
// answers.
//
// Judging costs time and memory for each request: it is for tests of thousands of requests, not of millions.
package eostest
