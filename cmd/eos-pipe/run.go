package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/jq"
	"github.com/eos-pipe/eos-pipe/processor"
)

// runOptions is what `eos-pipe run` was asked to do, checked.
type runOptions struct {
	connection
	formats

	From               []string // never holds To
	FromPattern        string   // of further topics; "": none
	To                 string
	Group              string
	TransactionalID    string // prefix; see processor.Config.TransactionalIDs
	InstanceID         string
	ByHost             bool        // the transactional id is made of the host's name, for want of another; see hold
	Lanes              int         // at least 1
	Filter, Map        *jq.Program // nil: every record, as it is
	Start              string      // earliest, latest or none
	GroupProtocol      string      // classic or consumer
	SessionTimeout     time.Duration
	TransactionTimeout time.Duration
	CommitInterval     time.Duration
	MaxRecords         int // of one transaction; 0: the library's default
	MaxBytes           int // of one transaction; 0: the library's default
	MaxDecompressed    int // of one batch of the input; 0: the library's default
	InputBuffer        int // bytes, of all lanes
	BufferMemory       int // bytes, of all lanes
	UntilEnd           bool
	Provenance         bool
	OnError            string // stop, dead-letter or skip
	DeadLetterTopic    string // "": none
	DeadLetterHeaders  string // own, share or streams
	HandlerTimeout     time.Duration
	Parallel           int    // at least 1
	HTTP               string // where to serve metrics and health; "": nowhere
}

const runLong = `Read the records of one or more topics, filter and change them, and write them to another
topic, exactly once. Output records and the group's offsets are committed in one
transaction: whatever happens, a read_committed reader sees every input record once.

It runs until a signal stops it. The first SIGTERM or SIGINT drains: it commits what it has
begun and leaves the group. A second signal, a second later or more, aborts the open
transaction and leaves; the next start repeats it.

Expressions are jq programs over the record
  {key, value, headers, topic, partition, offset, timestamp}
with value as parsed JSON, key and headers as strings, timestamp in milliseconds (-1 if
the record has none). --filter keeps a record if its first output is neither null nor
false. Every output of --map is an output record: value, key and headers as set or
unchanged, topic to write to a topic other than --to.
With --value-format and --key-format the bytes are text, base64, or Avro, Protobuf or JSON
with a schema registry. What a program sets is written in the same form, with the schema
of the input record. What it does not change keeps its bytes.

A record for which an expression fails, that names a topic it cannot go to, or whose
output the broker refuses, stops the pipe (exit code 4) before anything of its batch is
committed. With --on-error skip the pipe skips and logs it; with --on-error dead-letter the
pipe writes it unchanged to --dead-letter-topic, in the same transaction, with headers that
say where it was and why: eos-pipe-dlq-topic, -partition, -offset, -timestamp, -error,
-message and -attempt.
The same holds for a batch that grows beyond --max-decompressed: one dead letter without key
and value represents all of it, from -first-offset to -offset.

With --from-pattern it reads all topics whose whole name matches, and new ones within 30
seconds, from their first record. It never reads --to, --dead-letter-topic and topics internal
to Kafka, and refuses a record that --map sends to any other topic that matches.

Processes with the same --group share the partitions. Each needs its own transactional id,
which stays the same over restarts; by default it is GROUP-INSTANCE, with the
instance id from --instance-id, $EOS_PIPE_INSTANCE_ID or the host name. A second process
with the host's name does not start while the first one runs (exit code 3).`

const runExample = `  # copy the large orders, keyed by customer and without the card number
  eos-pipe run -b localhost:9092 --from orders --to large-orders --group large-orders \
      --filter '.value.amount > 1000' --map '.key = .value.customer | del(.value.card)'

  # from two topics, with settings in a file and the group in the environment
  EOS_PIPE_GROUP=merge eos-pipe run --config pipe.yaml --from a,b --to c`

func newRunCommand(a *app) *cobra.Command {
	var o runOptions
	var show bool
	cmd := &cobra.Command{Use: "run", Short: "Pipe records from topics to a topic, exactly once", Long: runLong, Example: runExample}
	check := o.define(cmd.Flags())
	groupFlags(cmd, runGroups)
	cmd.Flags().BoolVar(&show, "print-config", false, "print the effective settings as a --config file, and exit; secrets are references and are never printed")
	return a.command(cmd, action{check: check, do: func(ctx context.Context, s streams) error {
		if show {
			return s.print(effectiveConfig(cmd.Flags(), o))
		}
		return runPipe(ctx, s, o)
	}})
}

// define defines the flags of a pipe, and returns what checks and completes the options when they are parsed.
func (o *runOptions) define(f *pflag.FlagSet) (check func(*faults)) {
	var filter, mapping string
	addConnection(f, &o.connection)
	f.StringSliceVar(&o.From, "from", nil, "`topic` to read; repeat it or use commas for more (required, or --from-pattern)")
	f.StringVar(&o.FromPattern, "from-pattern", "", "regular `expression` for the whole name of topics to read, including new ones; the pipe never reads topics that it writes to")
	f.StringVar(&o.To, "to", "", "`topic` to write (required)")
	f.StringVar(&o.Group, "group", "", "consumer `group` that keeps the offsets (required)")
	f.StringVar(&o.TransactionalID, "transactional-id", "", "`prefix` of the transactional ids, one per process; the lane number is appended (default GROUP-INSTANCE)")
	f.StringVar(&o.InstanceID, "instance-id", "", "`name` of this process that stays the same over restarts (default the host name)")
	f.IntVar(&o.Lanes, "lanes", 1, "transactions at the same time, each on its own partitions")
	f.StringVar(&filter, "filter", "", "jq `expression`: keep the records for which it is true")
	f.StringVar(&mapping, "map", "", "jq `expression`: what to write for a record")
	f.StringVar(&o.Start, "start", "earliest", "`earliest|latest|none`: where a partition without a committed offset begins; none refuses to start")
	f.StringVar(&o.GroupProtocol, "group-protocol", "classic", "`classic|consumer`: who assigns the partitions, a member or the brokers (KIP-848, Kafka 4.0)")
	f.DurationVar(&o.SessionTimeout, "session-timeout", 45*time.Second, "after this time without a heartbeat the group takes the partitions away; with --group-protocol consumer the brokers' setting applies")
	f.DurationVar(&o.TransactionTimeout, "transaction-timeout", time.Minute, "after this time the broker aborts an open transaction")
	f.DurationVar(&o.CommitInterval, "commit-interval", 10*time.Millisecond, "how long a transaction gathers records after the previous one, unless it reaches --max-records or --max-bytes sooner")
	f.IntVar(&o.MaxRecords, "max-records", 0, "most input records in one transaction (0: 100000; with three lanes or more 200000 in all of them)")
	f.Var((*sizeValue)(&o.MaxBytes), "max-bytes", "most input `bytes` in one transaction, as 16MiB (0: 8MiB; with three lanes or more 16MiB in all of them)")
	o.MaxDecompressed = 64 << 20 // as the session has it
	f.Var((*sizeValue)(&o.MaxDecompressed), "max-decompressed", "most `bytes` that an input batch may have when decompressed; --on-error decides about a larger one")
	o.InputBuffer, o.BufferMemory = eos.DefaultInputBufferMaxBytes, processor.DefaultBufferMemory
	f.Var((*sizeValue)(&o.InputBuffer), "input-buffer-max-bytes", "memory for input that is fetched and not committed yet, all lanes together, as 64MiB")
	f.Var((*sizeValue)(&o.BufferMemory), "buffer-memory", "memory for output that is not committed yet, all lanes together, as 32MiB; a record whose output exceeds it fails")
	f.StringVar(&o.OnError, "on-error", "stop", "`stop|dead-letter|skip`: what to do with a record for which --filter or --map fails, or whose output the broker refuses")
	f.StringVar(&o.DeadLetterTopic, "dead-letter-topic", "", "`topic` for such records, with --on-error dead-letter; eos-pipe dlq replay puts them back")
	f.StringVar(&o.DeadLetterHeaders, "dead-letter-headers", "own", "`own|share|streams`: in addition to the headers of eos-pipe, those of Kafka's share groups (__dlq.errors., KIP-1191) or of Kafka Streams (__streams.errors., KIP-1034)")
	f.DurationVar(&o.HandlerTimeout, "handler-timeout", 30*time.Second, "after this time --filter and --map fail for a record (0: never)")
	f.IntVar(&o.Parallel, "parallel", 1, "records of a lane to filter and map at the same time; records of one key keep their order")
	f.BoolVar(&o.UntilEnd, "until-end", false, "stop when everything that was in the topics at the start is committed")
	f.StringVar(&o.HTTP, "http", "", "serve metrics, health and a live page at `host:port`, as 127.0.0.1:9404 (default: no server; without a host 127.0.0.1)")
	f.BoolVar(&o.Provenance, "provenance", false, "add the header eos-pipe-from, which names the input record of an output")
	addFormats(f, &o.formats)
	addSecurity(f, &o.connection)

	return func(all *faults) {
		o.Filter, o.Map = compileJQ(all, "filter", filter), compileJQ(all, "map", mapping)
		o.complete(all)
		o.check(all)
	}
}

// complete fills in the defaults that follow from other settings.
func (o *runOptions) complete(all *faults) {
	if o.InstanceID == "" {
		o.InstanceID = hostName(all)
		o.ByHost = o.TransactionalID == ""
	}
	o.TransactionalID = cmp.Or(o.TransactionalID, o.Group+"-"+o.InstanceID)
}

func (o *runOptions) check(all *faults) {
	o.checkConnection(all)
	o.formats.check(all)
	checkTopics(all, o.From, o.FromPattern, o.To)
	checkPresent(all, "group", o.Group != "", "NAME")
	checkOneOf(all, "start", o.Start, startNames()...)
	checkOneOf(all, "group-protocol", o.GroupProtocol, protocolNames()...)
	checkListen(all, "http", o.HTTP)
	atLeast(all, "lanes", o.Lanes, 1)
	atLeast(all, "session-timeout", o.SessionTimeout, time.Second)
	atLeast(all, "transaction-timeout", o.TransactionTimeout, time.Second)
	atLeast(all, "commit-interval", o.CommitInterval, 0)
	checkPolicy(all, o.OnError, o.DeadLetterTopic, o.From, o.To)
	checkOneOf(all, "dead-letter-headers", o.DeadLetterHeaders, processor.DeadLetterHeadersNames()...)
	atLeast(all, "handler-timeout", o.HandlerTimeout, 0)
	atLeast(all, "parallel", o.Parallel, 1)
	atLeast(all, "max-records", o.MaxRecords, 0)
	atLeast(all, "max-bytes", o.MaxBytes, 0)
	atLeast(all, "max-decompressed", o.MaxDecompressed, 0)
	atLeast(all, "input-buffer-max-bytes", o.InputBuffer, 1<<20)
	atLeast(all, "buffer-memory", o.BufferMemory, 1<<20)
	if o.CommitInterval > 0 && o.CommitInterval >= o.TransactionTimeout {
		all.add(fmt.Sprintf("--commit-interval %v is not below --transaction-timeout %v", o.CommitInterval, o.TransactionTimeout),
			"the broker aborts a transaction that is open for longer than its timeout; commit well before it")
	}
}
