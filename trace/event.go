package trace

// Event is one thing that happened. Its dynamic type is one of the structs of this file, by value.
//
// In every event Client says who asked, for people only, and Version is the API version of the request. The fields
// behind the comment "reply" are what was answered; with [NoReply] as the code (or no codes) the others are zero.
type Event interface {
	// String gives the event as one line without line break, which [Parse] reads back.
	String() string
	// Kind is the first word of that line.
	Kind() string
}

// InitProducerID asks for a producer id, or for the next epoch of a transactional id.
type InitProducerID struct {
	Client    string
	Version   int16
	TxnID     NullString
	TimeoutMs int32
	Expected  Producer // what the producer thinks it is (KIP-360), or NoProducer
	// reply
	Code     Code
	Producer Producer // NoProducer on an error
}

// Produce sends one batch to one partition. A request with several batches is several events.
type Produce struct {
	Client        string
	Version       int16
	TxnID         NullString
	Partition     Partition
	Producer      Producer
	Transactional bool
	BaseSequence  int32
	Count         int32  // records in the batch
	TimeMs        int64  // largest timestamp of its records
	Digest        uint64 // of what the records mean; equal batches of any producer have equal digests; 0 is not known
	Acks          int16
	// reply
	Code       Code
	BaseOffset int64 // -1 on an error
}

// AddPartitions adds partitions to a transaction before they are written to.
type AddPartitions struct {
	Client     string
	Version    int16
	TxnID      string
	Producer   Producer
	Partitions []Partition
	// reply
	Codes []Code // one for each partition; nil: no reply
}

// AddOffsets adds a group's partition of __consumer_offsets to a transaction.
type AddOffsets struct {
	Client   string
	Version  int16
	TxnID    string
	Producer Producer
	Group    string
	// reply
	Code Code
}

// OffsetCommit commits offsets of a group: in a transaction (TxnOffsetCommit) if TxnID is there, else at once.
type OffsetCommit struct {
	Client     string
	Version    int16
	TxnID      NullString
	Producer   Producer // NoProducer outside of a transaction
	Group      string
	Generation int32 // or member epoch; -1: no group metadata
	Member     string
	Instance   NullString
	Offsets    []PartitionOffset
	// reply
	Codes []Code // one for each offset; nil: no reply
}

// OffsetFetch reads the committed offset of one partition.
type OffsetFetch struct {
	Client    string
	Version   int16
	Group     string
	Partition Partition
	IsStable  bool // require_stable: no answer while a transaction holds a pending offset
	// reply
	Code   Code
	Offset int64 // -1: none, or an error
}

// EndTxn commits or aborts a transaction.
type EndTxn struct {
	Client   string
	Version  int16
	TxnID    string
	Producer Producer
	Commit   bool
	// reply
	Code Code
	Next Producer // the producer id and epoch to use next; NoProducer on an error and below v5
}

// Marker is the end of a transaction as a control batch in one partition, written by the coordinator.
type Marker struct {
	Partition        Partition
	Producer         Producer
	Commit           bool
	CoordinatorEpoch int32
	Protocol         int8 // transaction version of the transaction: 2 demands a raised epoch
	// reply
	Code   Code
	Offset int64 // of the marker; -1 on an error
}

// Complete is the coordinator's record that all markers of a transaction are written.
type Complete struct {
	TxnID string
}

// Drop is a partition that the coordinator takes out of an ending transaction without a marker, because it knows no
// leader for it.
type Drop struct {
	TxnID     string
	Partition Partition
}

// Fetch reads a partition from an offset on.
type Fetch struct {
	Client        string
	Partition     Partition
	Offset        int64
	ReadCommitted bool
	// reply
	Code             Code
	HighWatermark    int64
	LastStableOffset int64
	Aborted          []Aborted
	Delivered        []int64 // base offsets of the batches handed to the application: no markers, and no aborted ones if ReadCommitted
	Next             int64   // where the reader goes on
}

// Log says where the log of a partition begins, before anything in it is told. What follows may then be what stands in the log, as it
// was read from there, and not what was asked of the brokers.
type Log struct {
	Partition   Partition
	StartOffset int64
	IsCompacted bool // batches, and records in them, may be missing
}

// Time sets the clock of all that follows. It never goes back.
type Time struct {
	NowMs int64
}

// Restart is the restart of a partition's leader: of the remembered batches only the newest is left.
type Restart struct {
	Partition Partition
}

// Reload is a change of the transaction coordinator: its state is read from its log by a new one with a higher epoch.
type Reload struct{}

// Kind is "init".
func (InitProducerID) Kind() string { return "init" }

// Kind is "produce".
func (Produce) Kind() string { return "produce" }

// Kind is "add-partitions".
func (AddPartitions) Kind() string { return "add-partitions" }

// Kind is "add-offsets".
func (AddOffsets) Kind() string { return "add-offsets" }

// Kind is "offset-commit".
func (OffsetCommit) Kind() string { return "offset-commit" }

// Kind is "offset-fetch".
func (OffsetFetch) Kind() string { return "offset-fetch" }

// Kind is "end".
func (EndTxn) Kind() string { return "end" }

// Kind is "marker".
func (Marker) Kind() string { return "marker" }

// Kind is "complete".
func (Complete) Kind() string { return "complete" }

// Kind is "drop".
func (Drop) Kind() string { return "drop" }

// Kind is "fetch".
func (Fetch) Kind() string { return "fetch" }

// Kind is "log".
func (Log) Kind() string { return "log" }

// Kind is "time".
func (Time) Kind() string { return "time" }

// Kind is "restart".
func (Restart) Kind() string { return "restart" }

// Kind is "reload".
func (Reload) Kind() string { return "reload" }
