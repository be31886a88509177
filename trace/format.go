package trace

// Each kind of event tells its text once: its method line names the fields in their order, and the same method writes
// them or reads them, depending on the line it is given. So the two directions cannot drift apart.

func (e *InitProducerID) line(l *line) {
	l.client(&e.Client)
	integer(l, "v", &e.Version)
	l.null("txn", &e.TxnID)
	integer(l, "timeout_ms", &e.TimeoutMs)
	value(l, "expected", &e.Expected, Producer.String, ParseProducer)
	l.reply(&e.Code)
	value(l, "producer", &e.Producer, Producer.String, ParseProducer)
}

func (e *Produce) line(l *line) {
	l.client(&e.Client)
	integer(l, "v", &e.Version)
	l.null("txn", &e.TxnID)
	value(l, "to", &e.Partition, Partition.String, ParsePartition)
	value(l, "producer", &e.Producer, Producer.String, ParseProducer)
	l.boolean("transactional", &e.Transactional)
	integer(l, "seq", &e.BaseSequence)
	integer(l, "count", &e.Count)
	integer(l, "time_ms", &e.TimeMs)
	l.digest("digest", &e.Digest)
	integer(l, "acks", &e.Acks)
	l.reply(&e.Code)
	integer(l, "offset", &e.BaseOffset)
}

func (e *AddPartitions) line(l *line) {
	l.client(&e.Client)
	integer(l, "v", &e.Version)
	l.text("txn", &e.TxnID)
	value(l, "producer", &e.Producer, Producer.String, ParseProducer)
	list(l, "partitions", &e.Partitions, Partition.String, ParsePartition)
	l.replies(&e.Codes)
}

func (e *AddOffsets) line(l *line) {
	l.client(&e.Client)
	integer(l, "v", &e.Version)
	l.text("txn", &e.TxnID)
	value(l, "producer", &e.Producer, Producer.String, ParseProducer)
	l.text("group", &e.Group)
	l.reply(&e.Code)
}

func (e *OffsetCommit) line(l *line) {
	l.client(&e.Client)
	integer(l, "v", &e.Version)
	l.null("txn", &e.TxnID)
	value(l, "producer", &e.Producer, Producer.String, ParseProducer)
	l.text("group", &e.Group)
	integer(l, "generation", &e.Generation)
	l.text("member", &e.Member)
	l.null("instance", &e.Instance)
	list(l, "offsets", &e.Offsets, PartitionOffset.text, parsePartitionOffset)
	l.replies(&e.Codes)
}

func (e *OffsetFetch) line(l *line) {
	l.client(&e.Client)
	integer(l, "v", &e.Version)
	l.text("group", &e.Group)
	value(l, "of", &e.Partition, Partition.String, ParsePartition)
	l.boolean("stable", &e.IsStable)
	l.reply(&e.Code)
	integer(l, "offset", &e.Offset)
}

func (e *EndTxn) line(l *line) {
	l.client(&e.Client)
	integer(l, "v", &e.Version)
	l.text("txn", &e.TxnID)
	value(l, "producer", &e.Producer, Producer.String, ParseProducer)
	l.boolean("commit", &e.Commit)
	l.reply(&e.Code)
	value(l, "next", &e.Next, Producer.String, ParseProducer)
}

func (e *Marker) line(l *line) {
	value(l, "to", &e.Partition, Partition.String, ParsePartition)
	value(l, "producer", &e.Producer, Producer.String, ParseProducer)
	l.boolean("commit", &e.Commit)
	integer(l, "coordinator", &e.CoordinatorEpoch)
	integer(l, "protocol", &e.Protocol)
	l.reply(&e.Code)
	integer(l, "offset", &e.Offset)
}

func (e *Complete) line(l *line) { l.text("txn", &e.TxnID) }

func (e *Drop) line(l *line) {
	l.text("txn", &e.TxnID)
	value(l, "from", &e.Partition, Partition.String, ParsePartition)
}

func (e *Fetch) line(l *line) {
	l.client(&e.Client)
	value(l, "of", &e.Partition, Partition.String, ParsePartition)
	integer(l, "from", &e.Offset)
	l.boolean("committed", &e.ReadCommitted)
	l.reply(&e.Code)
	integer(l, "hw", &e.HighWatermark)
	integer(l, "lso", &e.LastStableOffset)
	list(l, "aborted", &e.Aborted, Aborted.text, parseAborted)
	list(l, "delivered", &e.Delivered, offsetText, parseOffset)
	integer(l, "next", &e.Next)
}

func (e *Log) line(l *line) {
	value(l, "of", &e.Partition, Partition.String, ParsePartition)
	integer(l, "start", &e.StartOffset)
	l.boolean("compacted", &e.IsCompacted)
}

func (e *Time) line(l *line) { integer(l, "now_ms", &e.NowMs) }

func (e *Restart) line(l *line) { value(l, "of", &e.Partition, Partition.String, ParsePartition) }

func (*Reload) line(*line) {}

// String gives the event as one line.
func (e InitProducerID) String() string { return format(&e, e.Kind()) }

// String gives the event as one line.
func (e Produce) String() string { return format(&e, e.Kind()) }

// String gives the event as one line.
func (e AddPartitions) String() string { return format(&e, e.Kind()) }

// String gives the event as one line.
func (e AddOffsets) String() string { return format(&e, e.Kind()) }

// String gives the event as one line.
func (e OffsetCommit) String() string { return format(&e, e.Kind()) }

// String gives the event as one line.
func (e OffsetFetch) String() string { return format(&e, e.Kind()) }

// String gives the event as one line.
func (e EndTxn) String() string { return format(&e, e.Kind()) }

// String gives the event as one line.
func (e Marker) String() string { return format(&e, e.Kind()) }

// String gives the event as one line.
func (e Complete) String() string { return format(&e, e.Kind()) }

// String gives the event as one line.
func (e Drop) String() string { return format(&e, e.Kind()) }

// String gives the event as one line.
func (e Fetch) String() string { return format(&e, e.Kind()) }

// String gives the event as one line.
func (e Log) String() string { return format(&e, e.Kind()) }

// String gives the event as one line.
func (e Time) String() string { return format(&e, e.Kind()) }

// String gives the event as one line.
func (e Restart) String() string { return format(&e, e.Kind()) }

// String gives the event as one line.
func (e Reload) String() string { return format(&e, e.Kind()) }
