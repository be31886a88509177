// Package wire lets the scripts of internal/broker/script ask a broker over the network: real Kafka, or kfake. It writes the
// requests itself, with the version that the script names and with batches made by hand, so that nothing is repaired, chosen or
// repeated on the way.
//
// Outside of what scripts compare, three things are repeated: a request that the coordinator answers with
// COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE or NOT_COORDINATOR, which brokers do for a while after their start; a
// look at a transactional id until its markers are written (settle); and, for a random history, a request that met the end of
// the transaction before ([Config].IsHistory).
//
// It asks one broker, the first it is told of: the scripts are about a cluster of one.
package wire
