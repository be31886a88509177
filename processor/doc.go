// Package processor is a framework for stream processing with exactly-once results: consume, transform, produce, with
// the input's offsets in the same Kafka transaction as the output.
//
// A [Pipe] is read from left to right: a [Source], a handler ([Step]), a [Sink]. [New] checks it together with a
// [Config], and [Processor.Run] runs it until its context ends:
//
//	p, err := processor.New(
//		processor.Config{BootstrapServers: []string{"localhost:9092"}, ApplicationID: "billing"},
//		processor.Pipe[Order, Invoice]{
//			Source: processor.From(processor.JSON[Order](), "orders"),
//			Handle: processor.Map(bill),
//			Sink:   processor.To(processor.JSON[Invoice](), "invoices"),
//		})
//
// # The path of a record
//
//	source topic → Poll → decode → handle → encode → Commit → sink topic
//
// decode.go, handle.go and encode.go are the three stages, process.go takes a batch through them, and lane.go is the
// loop around that: one batch is one transaction. Run has as many lanes as configured. Each is an [eos.Session] of its
// own, a member of the group that owns whole partitions, so that the order of a partition is kept.
//
// # Handlers
//
// [Pipe.Handle] is one of:
//
//   - a [Handler], called record by record. [Map], [MapRecord], [MapKey], [Filter] and [FlatMap] return one, [Then] puts two
//     in a row, [Wrap] puts middleware around one, and [Each] makes one of any function;
//   - a [BatchHandler], called with many records at once. [Batches] makes one of a function;
//   - nil: records are copied.
//
// [Many] and [Put] are for handlers that write to several topics. With [Config.Parallel] a lane handles several records
// at once, those of one key in their order.
//
// # When a record cannot be processed
//
// [Config.Errors] says how often a handler is retried, how long a call may take, and what happens to a record that has
// failed for good. Either the processor stops before anything of its batch is committed ([StopOnError], the default),
// or the record goes to [Config.DeadLetterTopic] as it came ([DeadLetterOnError]), or it is left out ([SkipOnError]),
// in the same transaction as its offset. A handler may decide that itself, by [DeadLetter] and [Skip]. It returns
// [Transient] for a failure that is not the record's fault: then the batch waits for as long as it takes.
//
// # What to rely on
//
// Whatever happens to the process, the brokers or the network, a read_committed reader of the output sees the result of
// every input record exactly once. A handler may be called more than once for a record, so what it does outside Kafka
// may happen more than once.
//
// Package processortest runs a handler or a pipe on records in a test, without a broker, or on an embedded one while
// records come again.
package processor
