package script

import (
	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// Broker answers the requests of scripts. An error means that the broker could not be asked, and ends the script; what a
// broker answers, errors of Kafka included, is an answer. A connection that the broker closes instead of answering is a code
// of [trace.NoReply], or a nil slice. The Reason in an answer may be left empty.
//
// A broker outside this process may put a prefix of its own before transactional ids and groups, to be apart from other
// scripts. It must create the topic of the script with [Partitions] partitions.
type Broker interface {
	// Provide reports whether the broker has, or can be given, what a script needs: a setting as name=value, "restart", "steps".
	// It is called before the first request.
	Provide(need string) (bool, error)
	// StartMs is the time that scripts call +0.
	StartMs() int64

	// InitProducerID answers the Kafka request of its name, as each method down to ListOffsets does.
	InitProducerID(q model.InitProducerIDRequest) (model.InitProducerIDAnswer, error)
	// Produce appends batches, and answers for each partition.
	Produce(q model.ProduceRequest) ([]model.ProduceAnswer, error)
	// AddPartitions is AddPartitionsToTxn, and answers for each partition.
	AddPartitions(q model.AddPartitionsRequest) ([]model.PartitionAnswer, error)
	// AddOffsets is AddOffsetsToTxn.
	AddOffsets(q model.AddOffsetsRequest) (model.PartitionAnswer, error)
	// TxnOffsetCommit answers for each partition.
	TxnOffsetCommit(q model.TxnOffsetCommitRequest) ([]model.PartitionAnswer, error)
	// OffsetCommit answers for each partition.
	OffsetCommit(q model.OffsetCommitRequest) ([]model.PartitionAnswer, error)
	// OffsetFetch answers for the group.
	OffsetFetch(q model.OffsetFetchRequest) (model.OffsetFetchAnswer, error)
	// EndTxn commits or aborts.
	EndTxn(q model.EndTxnRequest) (model.EndTxnAnswer, error)
	// WriteTxnMarkers answers for each partition.
	WriteTxnMarkers(q model.WriteTxnMarkersRequest) ([]trace.Code, error)
	// Fetch answers for one partition.
	Fetch(q model.FetchRequest) (model.FetchAnswer, error)
	// ListOffsets returns one offset of one partition.
	ListOffsets(q model.ListOffsetsRequest) (int64, trace.Code, error)

	// DescribeTransaction fills in State, ProducerID, Epoch and Partitions.
	DescribeTransaction(txnID string) (model.Txn, trace.Code, error)
	// DescribeProducers fills in ID, Epoch, the newest batch's sequence, and TxnFirstOffset.
	DescribeProducers(p trace.Partition) ([]Producer, trace.Code, error)
	// DeleteRecords moves the start of the partition's log up to offset.
	DeleteRecords(p trace.Partition, offset int64) (trace.Code, error)

	// SetGroup makes a group have these members, whose names stand for the ids that a real coordinator chooses; generation 1
	// stands for the first one that has them.
	SetGroup(g model.Group) error
	// OffsetsPartition is where the offsets of the group are kept.
	OffsetsPartition(group string) (trace.Partition, error)

	// Settle returns when the coordinator has written all markers of the transactional id, or will not write the rest.
	Settle(txnID string) error
	// Wait lets that much time pass, with the scans for time-outs and expiry that fall into it.
	Wait(ms int64) error
	// Restart is a clean restart of all brokers.
	Restart() error
}

// Steps is what the model can do and other brokers cannot.
type Steps interface {
	// Take does one step, or reports false if it is not possible now.
	Take(s model.Step) (model.Appended, bool)
	// Steps lists the possible ones.
	Steps() []model.Step
	// ReloadCoordinator makes the transaction coordinator read its log anew.
	ReloadCoordinator()
	// RestartLeader makes the partition's leader read its log anew.
	RestartLeader(p trace.Partition)
	// SetLeaderless takes the partition's leader away, or gives it one again.
	SetLeaderless(p trace.Partition, isLeaderless bool)
	// SetLagging makes the partition's high watermark stay where it is, until ReplicateTo moves it.
	SetLagging(p trace.Partition)
	// ReplicateTo moves the high watermark of a lagging partition up to offset.
	ReplicateTo(p trace.Partition, offset int64)
}

// Producer is what DescribeProducers tells of a producer id.
type Producer struct {
	ID             int64
	Epoch          int16
	LastSequence   int32 // -1: no batch
	TxnFirstOffset int64 // -1: no open transaction
}

// Partitions is how many partitions the topic of a script has: @0 to @9.
const Partitions = 10
