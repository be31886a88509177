// Package cluster asks brokers everything that is no part of a group's or a transaction's own requests: what a group has
// committed, where logs begin and end, which topics and members there are, who holds a transactional id, which
// transactions stay open, and what a read_committed reader gets from a topic.
//
// A Client asks once. Retry and Await ask again: a broker that has just started, or a topic that has just been created,
// causes errors that pass.
package cluster
