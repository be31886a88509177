package model

// Reason says which rule decided an answer. Findings cite it.
type Reason uint8

// The rules. What each says, and where in Kafka it is kept, is in the table reasons.
const (
	NoReason Reason = iota

	// Requests.

	VersionNotOffered
	MalformedRequest
	TxnIDMissing
	SeveralProducers
	UnknownPartition
	NoLeader
	InternalTopic
	BadAcks
	BadBatch

	// Sequences and epochs in a partition.

	InSequence
	Duplicate
	SequenceGap
	NewEpochZero
	FirstSequenceZero
	LowestSequenceSeen
	EpochFenced
	MixedInTransaction
	NotVerified
	EndOfLog

	// Markers in a partition.

	MarkerTaken
	MarkerRepeated
	MarkerEpochOld
	MarkerCoordinatorOld
	MarkerMissing

	// The transaction coordinator.

	NewProducerID
	EpochBumped
	InitRetried
	InitFenced
	InitAborts
	EpochsExhausted
	BadTimeout
	EndPrepared
	EndRetried
	EndWrongState
	PartitionsAdded
	PartitionNotAdded
	CoordinatorFenced
	UnknownTxnID
	WrongProducerID
	TransactionEnding
	NoSuchStep

	// Offsets of groups.

	OffsetPending
	OffsetTaken
	OffsetRead
	OffsetUnstable
	GroupGeneration
	GroupMember
	GroupInstance
	GroupID
	MetadataTooLarge

	// Reads.

	StableOffset
	AbortedListed
	CommittedOnly

	// What the brokers cannot see, and what the validator cannot decide.

	SentTwice
	TooManyWorlds
	numReasons
)

// Class groups reasons by what a finding about them means for the data.
type Class uint8

// The classes of findings.
const (
	ClassRequest     Class = iota // the request itself is taken or refused against the protocol
	ClassSequence                 // a batch is taken or refused against its sequence: loss or duplicates
	ClassDuplicate                // a repeated batch is not answered as the first one was
	ClassEpoch                    // a fenced producer gets through, or a living one is fenced
	ClassOffset                   // a batch is not where the log ended
	ClassMarker                   // a marker is taken or refused against its epochs
	ClassTransaction              // the coordinator's state machine
	ClassProducerID               // a producer id is handed out twice, or not raised
	ClassOffsets                  // committed and pending offsets
	ClassGroup                    // the checks of KIP-447
	ClassStable                   // the last stable offset or the high watermark
	ClassAborted                  // the list of aborted transactions
	ClassDelivered                // a reader gets what it must not, or misses what it must get
	ClassSentTwice                // the same business record is committed twice; the brokers did as they should
	ClassUndecided                // the validator had to give up possibilities; findings after it may be wrong
	numClasses
)

// String gives the class in words of findings, such as "last stable offset".
func (c Class) String() string { return classNames[c] }

var classNames = [numClasses]string{
	"request", "sequence", "duplicate", "epoch", "offset", "marker", "transaction", "producer id", "committed offsets", "group",
	"last stable offset", "aborted list", "delivered records", "sent twice", "undecided",
}

// Class tells what a finding about the reason means.
func (r Reason) Class() Class { return reasons[r].class }

// String says the rule in one sentence.
func (r Reason) String() string { return reasons[r].says }

// Source names the class of Kafka that keeps the rule, and the KIPs that made it.
func (r Reason) Source() string { return reasons[r].source }

var reasons = [numReasons]struct {
	class  Class
	says   string
	source string
}{
	NoReason:          {ClassRequest, "no rule", ""},
	VersionNotOffered: {ClassRequest, "a version that the broker does not offer closes the connection", "ApiVersions, KIP-896"},
	MalformedRequest:  {ClassRequest, "a producer id needs an epoch, a transactional id is not empty", "KafkaApis, KIP-360"},
	TxnIDMissing:      {ClassRequest, "a transactional batch needs the transactional id in its request", "KafkaApis, KIP-98"},
	SeveralProducers:  {ClassRequest, "the transactional batches of one request have one producer id and epoch", "ReplicaManager, KIP-890"},
	UnknownPartition:  {ClassRequest, "the partition does not exist", "KafkaApis"},
	NoLeader:          {ClassRequest, "the partition has no leader here", "ReplicaManager"},
	InternalTopic:     {ClassRequest, "clients do not write to internal topics", "ReplicaManager"},
	BadAcks:           {ClassRequest, "acks is -1, 0 or 1", "ReplicaManager"},
	BadBatch:          {ClassRequest, "a client's request has one batch of data per partition, whole, from offset 0 and with a sequence", "ProduceRequest, LogValidator"},

	InSequence:         {ClassSequence, "a batch that starts behind the last sequence is appended; an unknown producer may start anywhere", "ProducerAppendInfo, KIP-98"},
	Duplicate:          {ClassDuplicate, "a repeat of one of the last five batches is answered with its old offset and not written", "ProducerStateEntry, KIP-98"},
	SequenceGap:        {ClassSequence, "a batch starts exactly behind the last sequence of its producer", "ProducerAppendInfo, KIP-98"},
	NewEpochZero:       {ClassSequence, "a new epoch of a known producer starts at sequence 0", "ProducerAppendInfo, KIP-360"},
	FirstSequenceZero:  {ClassSequence, "in a TV2 transaction a producer without batches starts at sequence 0", "ProducerAppendInfo, KIP-890"},
	LowestSequenceSeen: {ClassSequence, "no batch passes the lowest sequence that waits for its verification", "VerificationStateEntry, KIP-890"},
	EpochFenced:        {ClassEpoch, "a batch of a lower epoch is refused", "ProducerAppendInfo, KIP-98, KIP-588"},
	MixedInTransaction: {ClassTransaction, "while its transaction is open a producer sends only transactional batches", "ProducerAppendInfo, KIP-98"},
	NotVerified:        {ClassTransaction, "a transactional batch needs an open transaction or the guard of its verification", "UnifiedLog, KIP-890"},
	EndOfLog:           {ClassOffset, "a batch and a marker are appended at the end of the log", "UnifiedLog"},

	MarkerTaken:          {ClassMarker, "a marker ends the open transaction and raises the epoch", "ProducerAppendInfo, KIP-98, KIP-890"},
	MarkerRepeated:       {ClassMarker, "a repeated TV2 marker is taken if no transaction is open", "ProducerAppendInfo, KIP-1228"},
	MarkerEpochOld:       {ClassMarker, "a marker's epoch is not lower than the producer's, and higher in TV2", "ProducerAppendInfo, KIP-98, KIP-1228"},
	MarkerCoordinatorOld: {ClassMarker, "a marker of an older coordinator is refused", "ProducerAppendInfo, KIP-98"},
	MarkerMissing:        {ClassMarker, "a transaction has one epoch, and its marker comes before the producer's next one begins", "TransactionMarkerChannelManager, KIP-98, KIP-890"},

	NewProducerID:     {ClassProducerID, "a producer id is handed out once", "RPCProducerIdManager, KIP-730"},
	EpochBumped:       {ClassProducerID, "InitProducerId raises the epoch", "TransactionCoordinator, KIP-98, KIP-360"},
	InitRetried:       {ClassProducerID, "a repeated InitProducerId with the epoch before gets the current one", "TransactionMetadata, KIP-360"},
	InitFenced:        {ClassEpoch, "an expected producer id and epoch that are neither current nor the last ones are fenced", "TransactionCoordinator, KIP-360, KIP-588"},
	InitAborts:        {ClassTransaction, "InitProducerId aborts the open transaction and asks to be repeated", "TransactionCoordinator, KIP-98"},
	EpochsExhausted:   {ClassProducerID, "behind epoch 32766 comes a new producer id", "TransactionMetadata, KIP-360, KIP-890"},
	BadTimeout:        {ClassRequest, "the transaction timeout is above 0 and not above transaction.max.timeout.ms", "TransactionCoordinator, KIP-98"},
	EndPrepared:       {ClassTransaction, "EndTxn ends an open transaction, and in TV2 raises the epoch", "TransactionCoordinator, KIP-98, KIP-890"},
	EndRetried:        {ClassTransaction, "a repeated EndTxn is answered as the first one was", "TransactionCoordinator, KIP-98, KIP-890"},
	EndWrongState:     {ClassTransaction, "EndTxn needs an open transaction, or a TV2 abort", "TransactionCoordinator, KIP-98, KIP-890"},
	PartitionsAdded:   {ClassTransaction, "partitions join the transaction, and the first one opens it", "TransactionCoordinator, KIP-98, KIP-890"},
	PartitionNotAdded: {ClassTransaction, "an old client adds a partition before it writes there", "TransactionCoordinator, KIP-890"},
	CoordinatorFenced: {ClassEpoch, "the coordinator takes only the current epoch of a transactional id", "TransactionCoordinator, KIP-98, KIP-588"},
	UnknownTxnID:      {ClassTransaction, "the transactional id is not known, or has expired", "TransactionCoordinator, KIP-98"},
	WrongProducerID:   {ClassEpoch, "the producer id is the one of the transactional id", "TransactionCoordinator, KIP-98"},
	TransactionEnding: {ClassTransaction, "while a transaction ends, requests are asked to come again", "TransactionCoordinator, KIP-98"},
	NoSuchStep:        {ClassTransaction, "the coordinator does on its own only what is due: markers and completion of an ending transaction", "TransactionMarkerChannelManager, KIP-98"},

	OffsetPending:    {ClassOffsets, "an offset in a transaction becomes visible with its COMMIT marker", "OffsetMetadataManager, KIP-98"},
	OffsetTaken:      {ClassOffsets, "a plain commit is visible at once", "OffsetMetadataManager"},
	OffsetRead:       {ClassOffsets, "the committed offset is the newest of plain and committed transactional ones", "OffsetMetadataManager, KIP-98"},
	OffsetUnstable:   {ClassOffsets, "a stable fetch is refused while an offset is pending", "OffsetMetadataManager, KIP-447"},
	GroupGeneration:  {ClassGroup, "the generation is that of the group", "ClassicGroup, ConsumerGroup, KIP-447, KIP-848"},
	GroupMember:      {ClassGroup, "the member belongs to the group", "ClassicGroup, ConsumerGroup, KIP-447"},
	GroupInstance:    {ClassGroup, "the instance id belongs to the member", "ClassicGroup, KIP-345, KIP-447"},
	GroupID:          {ClassGroup, "the group id is not empty", "GroupCoordinatorService"},
	MetadataTooLarge: {ClassGroup, "an offset's metadata is not above offset.metadata.max.bytes", "OffsetMetadataManager"},

	StableOffset:  {ClassStable, "the last stable offset is the first offset of the oldest open transaction, else the high watermark", "UnifiedLog, KIP-98"},
	AbortedListed: {ClassAborted, "a read_committed fetch lists the aborted transactions that reach into it", "TransactionIndex, KIP-98"},
	CommittedOnly: {ClassDelivered, "a read_committed reader gets every batch that was not aborted, below the last stable offset", "CompletedFetch, KIP-98"},

	SentTwice:     {ClassSentTwice, "idempotence sees sequences, not contents: a record sent again under a new sequence is a new record", "KIP-98"},
	TooManyWorlds: {ClassUndecided, "more missing replies than the validator keeps possibilities for", ""},
}

// Classes returns all classes.
func Classes() []Class {
	classes := make([]Class, numClasses)
	for i := range classes {
		classes[i] = Class(i)
	}
	return classes
}
