package sim

import (
	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// api is a kind of request.
type api uint8

const (
	apiInit api = iota
	apiProduce
	apiOffsetCommit // plain, or TxnOffsetCommit if there is a transactional id
	apiOffsetFetch
	apiEndTxn
	apiAddPartitions
	apiAddOffsets
	apiFetch
	apiListOffsets
	apiDescribeTxn
	apiDescribeProducers
	apiHeartbeat // joins the group as well: KIP-848's ConsumerGroupHeartbeat
	apiDescribeGroup
)

// request is a request of any kind, with the union of what they carry.
type request struct {
	api       api
	partition int8 // number of the partition in run.names; for kinds that have one
	txnID     string
	producer  trace.Producer

	batch     model.Batch            // apiProduce
	item      int32                  // apiProduce: its place in its lane
	isCommit  bool                   // apiEndTxn
	isStable  bool                   // apiOffsetFetch
	isRead    bool                   // apiFetch, apiListOffsets: read_committed
	offset    int64                  // apiFetch
	max       int                    // apiFetch: batches
	offsets   []model.OffsetToCommit // apiOffsetCommit
	adds      []trace.Partition      // apiAddPartitions
	mark      uint64                 // apiOffsetCommit: metadata of the offsets, by which its writer knows them again
	member    string                 // apiHeartbeat, apiOffsetCommit
	instance  string
	generated int32 // the generation, or -1

	tries   int  // how often it is sent, at most; 0: until it is answered
	isOnce  bool // an answer that asks to come again is an answer
	isCheck bool // passes while the client's other requests are held back
}

// reply is the answer to any request.
type reply struct {
	code     trace.Code
	producer trace.Producer
	offset   int64 // base offset, committed offset, last stable offset or end
	mark     uint64
	batches  []model.LogBatch // apiFetch: delivered
	next     int64            // apiFetch
	isOpen   bool             // apiDescribeProducers: a transaction of the producer asked for is open
	state    model.TxnState
	group    assignment // apiHeartbeat
	member   string     // apiDescribeGroup: who is there under the instance asked for; "": nobody
}

// destination is whom a request is for.
type destination uint8

const (
	toLeader destination = iota
	toTxnCoordinator
	toGroupCoordinator
)

func (q *request) destination() destination {
	switch q.api {
	case apiInit, apiEndTxn, apiAddPartitions, apiAddOffsets, apiDescribeTxn:
		return toTxnCoordinator
	case apiOffsetCommit, apiOffsetFetch, apiHeartbeat, apiDescribeGroup:
		return toGroupCoordinator
	default:
		return toLeader
	}
}
