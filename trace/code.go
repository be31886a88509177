package trace

import (
	"fmt"
	"math"
	"strconv"
)

// Code is a Kafka error code, as org.apache.kafka.common.protocol.Errors numbers them.
type Code int16

// NoReply is not one of Kafka's codes: it stands in an event whose answer nobody got. Its text is "?".
const NoReply Code = math.MinInt16

// The codes that producers, transactions, offsets and fetches can meet.
const (
	UnknownServerError                 Code = -1
	None                               Code = 0
	OffsetOutOfRange                   Code = 1
	CorruptMessage                     Code = 2
	UnknownTopicOrPartition            Code = 3
	NotLeaderOrFollower                Code = 6
	RequestTimedOut                    Code = 7
	MessageTooLarge                    Code = 10
	OffsetMetadataTooLarge             Code = 12
	NetworkException                   Code = 13
	CoordinatorLoadInProgress          Code = 14
	CoordinatorNotAvailable            Code = 15
	NotCoordinator                     Code = 16
	InvalidTopicException              Code = 17
	RecordListTooLarge                 Code = 18
	NotEnoughReplicas                  Code = 19
	NotEnoughReplicasAfterAppend       Code = 20
	InvalidRequiredAcks                Code = 21
	IllegalGeneration                  Code = 22
	InvalidGroupID                     Code = 24
	UnknownMemberID                    Code = 25
	RebalanceInProgress                Code = 27
	TopicAuthorizationFailed           Code = 29
	GroupAuthorizationFailed           Code = 30
	ClusterAuthorizationFailed         Code = 31
	InvalidTimestamp                   Code = 32
	UnsupportedVersion                 Code = 35
	InvalidRequest                     Code = 42
	UnsupportedForMessageFormat        Code = 43
	OutOfOrderSequenceNumber           Code = 45
	DuplicateSequenceNumber            Code = 46 // no broker of today sends it
	InvalidProducerEpoch               Code = 47
	InvalidTxnState                    Code = 48
	InvalidProducerIDMapping           Code = 49
	InvalidTransactionTimeout          Code = 50
	ConcurrentTransactions             Code = 51
	TransactionCoordinatorFenced       Code = 52
	TransactionalIDAuthorizationFailed Code = 53
	OperationNotAttempted              Code = 55
	KafkaStorageError                  Code = 56
	UnknownProducerID                  Code = 59 // no broker of today sends it
	GroupIDNotFound                    Code = 69
	UnsupportedCompressionType         Code = 76
	FencedInstanceID                   Code = 82
	InvalidRecord                      Code = 87
	UnstableOffsetCommit               Code = 88
	ProducerFenced                     Code = 90
	UnknownTopicID                     Code = 100
	TransactionalIDNotFound            Code = 105
	StaleMemberEpoch                   Code = 113
	TransactionAbortable               Code = 120
)

// codeNames holds Kafka's names; a code that is not listed is written as its number.
var codeNames = map[Code]string{
	NoReply:                            "?",
	UnknownServerError:                 "UNKNOWN_SERVER_ERROR",
	None:                               "NONE",
	OffsetOutOfRange:                   "OFFSET_OUT_OF_RANGE",
	CorruptMessage:                     "CORRUPT_MESSAGE",
	UnknownTopicOrPartition:            "UNKNOWN_TOPIC_OR_PARTITION",
	NotLeaderOrFollower:                "NOT_LEADER_OR_FOLLOWER",
	RequestTimedOut:                    "REQUEST_TIMED_OUT",
	MessageTooLarge:                    "MESSAGE_TOO_LARGE",
	OffsetMetadataTooLarge:             "OFFSET_METADATA_TOO_LARGE",
	NetworkException:                   "NETWORK_EXCEPTION",
	CoordinatorLoadInProgress:          "COORDINATOR_LOAD_IN_PROGRESS",
	CoordinatorNotAvailable:            "COORDINATOR_NOT_AVAILABLE",
	NotCoordinator:                     "NOT_COORDINATOR",
	InvalidTopicException:              "INVALID_TOPIC_EXCEPTION",
	RecordListTooLarge:                 "RECORD_LIST_TOO_LARGE",
	NotEnoughReplicas:                  "NOT_ENOUGH_REPLICAS",
	NotEnoughReplicasAfterAppend:       "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
	InvalidRequiredAcks:                "INVALID_REQUIRED_ACKS",
	IllegalGeneration:                  "ILLEGAL_GENERATION",
	InvalidGroupID:                     "INVALID_GROUP_ID",
	UnknownMemberID:                    "UNKNOWN_MEMBER_ID",
	RebalanceInProgress:                "REBALANCE_IN_PROGRESS",
	TopicAuthorizationFailed:           "TOPIC_AUTHORIZATION_FAILED",
	GroupAuthorizationFailed:           "GROUP_AUTHORIZATION_FAILED",
	ClusterAuthorizationFailed:         "CLUSTER_AUTHORIZATION_FAILED",
	InvalidTimestamp:                   "INVALID_TIMESTAMP",
	UnsupportedVersion:                 "UNSUPPORTED_VERSION",
	InvalidRequest:                     "INVALID_REQUEST",
	UnsupportedForMessageFormat:        "UNSUPPORTED_FOR_MESSAGE_FORMAT",
	OutOfOrderSequenceNumber:           "OUT_OF_ORDER_SEQUENCE_NUMBER",
	DuplicateSequenceNumber:            "DUPLICATE_SEQUENCE_NUMBER",
	InvalidProducerEpoch:               "INVALID_PRODUCER_EPOCH",
	InvalidTxnState:                    "INVALID_TXN_STATE",
	InvalidProducerIDMapping:           "INVALID_PRODUCER_ID_MAPPING",
	InvalidTransactionTimeout:          "INVALID_TRANSACTION_TIMEOUT",
	ConcurrentTransactions:             "CONCURRENT_TRANSACTIONS",
	TransactionCoordinatorFenced:       "TRANSACTION_COORDINATOR_FENCED",
	TransactionalIDAuthorizationFailed: "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
	OperationNotAttempted:              "OPERATION_NOT_ATTEMPTED",
	KafkaStorageError:                  "KAFKA_STORAGE_ERROR",
	UnknownProducerID:                  "UNKNOWN_PRODUCER_ID",
	GroupIDNotFound:                    "GROUP_ID_NOT_FOUND",
	UnsupportedCompressionType:         "UNSUPPORTED_COMPRESSION_TYPE",
	FencedInstanceID:                   "FENCED_INSTANCE_ID",
	InvalidRecord:                      "INVALID_RECORD",
	UnstableOffsetCommit:               "UNSTABLE_OFFSET_COMMIT",
	ProducerFenced:                     "PRODUCER_FENCED",
	UnknownTopicID:                     "UNKNOWN_TOPIC_ID",
	TransactionalIDNotFound:            "TRANSACTIONAL_ID_NOT_FOUND",
	StaleMemberEpoch:                   "STALE_MEMBER_EPOCH",
	TransactionAbortable:               "TRANSACTION_ABORTABLE",
}

var codeByName = func() map[string]Code {
	byName := make(map[string]Code, len(codeNames))
	for code, name := range codeNames {
		byName[name] = code
	}
	return byName
}()

// String gives Kafka's name, "?" for [NoReply], and the number of a code that is not listed here.
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return strconv.Itoa(int(c))
}

// ParseCode reads what [Code.String] writes, and the number of any code.
func ParseCode(s string) (Code, error) {
	if code, ok := codeByName[s]; ok {
		return code, nil
	}
	n, err := strconv.ParseInt(s, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("error code %q: neither a name that Kafka uses nor a number", s)
	}
	return Code(n), nil
}
