package eos

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/names"
	"github.com/eos-pipe/eos-pipe/internal/warnings"
)

// Start says where an input partition begins for which the group has no committed offset yet.
type Start int

const (
	// StartEarliest begins at the first record that the partition still holds (auto.offset.reset=earliest).
	StartEarliest Start = iota
	// StartLatest begins at the partition's last stable offset (auto.offset.reset=latest). A partition that is added
	// to a topic later begins at its first record all the same: nothing that was written to it may be missed.
	StartLatest
	// StartNone refuses to begin (auto.offset.reset=none): Open fails with ErrNoOffset where the group has no offset for
	// a partition. It is for a group that has run before: if its offsets are deleted, or expire (offsets.retention.minutes,
	// a week without a member by default), nothing is processed a second time. A partition that is added while the
	// session runs begins at its first record.
	StartNone
)

// String returns the name as Kafka's auto.offset.reset spells it.
func (s Start) String() string {
	switch s {
	case StartEarliest:
		return "earliest"
	case StartLatest:
		return "latest"
	case StartNone:
		return "none"
	default:
		return fmt.Sprintf("Start(%d)", int(s))
	}
}

// Defaults of Config and Tuning. They hold where a field is zero.
const (
	DefaultMaxRecords         = 100_000
	DefaultMaxBytes           = 8 << 20
	DefaultBufferMemory       = 32 << 20
	DefaultMaxAge             = time.Duration(0)
	DefaultCommitInterval     = 10 * time.Millisecond
	DefaultSessionTimeout     = 45 * time.Second
	DefaultTransactionTimeout = 60 * time.Second
	DefaultConnectTimeout     = 5 * time.Second
)

// DefaultClientID is the client id where Config.ClientID is empty.
const DefaultClientID = "eos-pipe"

// Tuning is the part of a Config that has a good default in every field: how large and how old a batch may be, how long
// to wait, and options of the client. processor.Config has it too. The zero value of a field is its documented default.
type Tuning struct {
	// MaxRecords bounds a batch, and so a transaction, in records. Default: DefaultMaxRecords.
	MaxRecords int
	// MaxBytes bounds a batch, and so a transaction, in bytes of keys, values and headers; the last record may exceed it.
	// A header counts 40 bytes extra, its cost in memory. Default: DefaultMaxBytes.
	MaxBytes int
	// MaxAge is how long Poll gathers after the first record, unless another bound is reached sooner. Default: 0, which
	// takes what has already arrived: while a transaction commits, the next batch gathers by itself.
	MaxAge time.Duration
	// CommitInterval is how long a batch gathers after the previous transaction has ended, unless it is full sooner. It
	// paces the commits under little load. Brokers with transaction.version 2 make a transactional id wait some 20 ms if it
	// continues at once. Default: DefaultCommitInterval; negative: none.
	CommitInterval time.Duration
	// SessionTimeout is session.timeout.ms: how long after a crash the group waits before it gives the partitions to
	// another member. Default: DefaultSessionTimeout. With ConsumerProtocol the brokers' group.consumer.session.timeout.ms
	// applies instead.
	SessionTimeout time.Duration
	// TransactionTimeout is transaction.timeout.ms: how long a transaction may stay open before the broker aborts it.
	// At most the broker's transaction.max.timeout.ms. Default: DefaultTransactionTimeout.
	TransactionTimeout time.Duration
	// ConnectTimeout is how long Open tries to reach a broker before it gives up. Default: DefaultConnectTimeout.
	ConnectTimeout time.Duration
	// GroupProtocol is group.protocol. Default: ClassicProtocol.
	GroupProtocol GroupProtocol
	// ClientID is client.id, by which the brokers' quotas, metrics and request logs know the clients.
	// Default: DefaultClientID.
	ClientID string
	// Client are further options for the franz-go client: TLS, SASL, a dialer, buffer sizes. Open refuses options that
	// would break the guarantee, and overrides those that the session itself sets. With a custom RecordPartitioner,
	// per-key order is the caller's responsibility: the number of partitions that it is called with may change.
	Client []kgo.Opt
}

// Config is what a Session needs to know. The zero value of a field is its documented default; Validate reports
// every fault at once.
type Config struct {
	// Tuning may be left out.
	Tuning
	// BootstrapServers are the host:port pairs the client first connects to. Required.
	BootstrapServers []string
	// Group is the consumer group (group.id) whose committed offsets say what has been processed. Required.
	Group string
	// TransactionalID is the transactional.id. Required, and stable: an instance must keep its id over restarts, because
	// only then it fences its dead predecessor and continues at once. No two running sessions may share one.
	TransactionalID string
	// InstanceID is the static group member's group.instance.id. Default: TransactionalID.
	InstanceID string
	// Topics are the input topics. Required, here or by TopicPattern; they must exist.
	Topics []string
	// TopicPattern is a regular expression (Go's) for the whole name of input topics, in addition to Topics. Topics that
	// are created later and match are found within 30 s, or kgo.MetadataMaxAge in Client if that is less, and read from
	// their first record. The session's Outputs and Kafka's internal topics never count as matches; a record for a
	// matching topic that is not in Outputs is refused. Open fails with ErrNoTopic if no topic matches.
	TopicPattern string
	// Outputs are the topics that the application writes to. Open checks that they exist and that none of them is an
	// input. Optional: a Commit may name others.
	Outputs []string
	// Unordered are output topics for which per-key order does not matter. The session continues when partitions are
	// added to them, and stops with a PartitionsChangedError when they are added to others. Default: none.
	Unordered []string
	// Placed are topics for which Record.Partition names the partition of a record, with a key or without. A partition
	// that does not exist is an error of the record (DestinationError). The session continues when partitions are added.
	// They need not be among Outputs. Default: none.
	Placed []string

	// PassOver replaces an input batch that exceeds the decompression limit by one placeholder record at its last offset,
	// without key and value, and committed like any other (see PassedOver). Without it, Poll stops with an
	// UnreadableError.
	PassOver bool

	// Start says where a partition without a committed offset begins. Default: StartEarliest.
	Start Start
	// InputBuffer bounds the memory of what is fetched, in this session and in others that are given the same one. A
	// transaction of the input that is larger than half of it is handed out before its end is seen.
	// Default: one of DefaultInputBufferMaxBytes for this session.
	InputBuffer *InputBuffer
	// BufferMemory is how many bytes of outputs the client holds before Commit waits for their answers (buffer.memory). A
	// larger record is produced all the same if its topic takes it. Default: DefaultBufferMemory.
	BufferMemory int

	// Observer is told of every state and every transaction. Optional.
	Observer Observer
	// Logger takes the log. Default: warnings and errors go to slog.Default().
	Logger *slog.Logger
}

// Validate returns nil if Open can work with c, or every fault joined into one error.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if len(c.BootstrapServers) == 0 {
		fault("no bootstrap server is given")
	}
	if c.Group == "" {
		fault("no consumer group is given")
	}
	if c.TransactionalID == "" {
		fault("no transactional id is given")
	}
	for _, id := range []struct{ what, name string }{{"group", c.Group}, {"transactional id", c.TransactionalID}, {"instance id", c.InstanceID}} {
		if err := names.Check(id.name); err != nil {
			fault("the %s %q %w", id.what, id.name, err)
		}
	}
	if len(c.Topics) == 0 && c.TopicPattern == "" {
		fault("no input topic is given")
	}
	if _, err := compilePattern(c.TopicPattern); err != nil {
		faults = append(faults, err)
	}
	for _, t := range c.Outputs {
		if slices.Contains(c.Topics, t) {
			fault("topic %s is both input and output: such a pipe reads what it writes, and never ends", t)
		}
	}
	if slices.Contains(c.Topics, "") || slices.Contains(c.Outputs, "") {
		fault("a topic name is empty")
	}
	for _, t := range slices.Concat(c.Topics, c.Outputs, c.Placed) {
		if why := topicFault(t); why != "" && t != "" {
			fault("topic %q: %s", t, why)
		}
	}
	if c.MaxRecords < 0 || c.MaxBytes < 0 || c.MaxAge < 0 || c.BufferMemory < 0 {
		fault("MaxRecords, MaxBytes, MaxAge and BufferMemory must not be negative")
	}
	if c.GroupProtocol != ClassicProtocol && c.GroupProtocol != ConsumerProtocol {
		fault("unknown group protocol %v", c.GroupProtocol)
	}
	d := c.withDefaults()
	if d.TransactionTimeout < time.Second {
		fault("transaction timeout %v is too short: give it at least 1s", d.TransactionTimeout)
	}
	if d.SessionTimeout < time.Second {
		fault("session timeout %v is too short: give it at least 1s", d.SessionTimeout)
	}
	if 2*d.MaxAge > d.TransactionTimeout {
		fault("MaxAge %v is more than half of the transaction timeout %v", d.MaxAge, d.TransactionTimeout)
	}
	return errors.Join(faults...)
}

// withDefaults returns c with every zero field set to its default.
func (c Config) withDefaults() Config {
	if c.InstanceID == "" {
		c.InstanceID = c.TransactionalID
	}
	c.Logger = warnings.Logger(c.Logger)
	setDefault(&c.ClientID, DefaultClientID)
	setDefault(&c.MaxRecords, DefaultMaxRecords)
	setDefault(&c.MaxBytes, DefaultMaxBytes)
	setDefault(&c.BufferMemory, DefaultBufferMemory)
	if c.InputBuffer == nil {
		c.InputBuffer = NewInputBuffer(0, 1)
	}
	setDefault(&c.CommitInterval, DefaultCommitInterval)
	setDefault(&c.SessionTimeout, DefaultSessionTimeout)
	setDefault(&c.TransactionTimeout, DefaultTransactionTimeout)
	setDefault(&c.ConnectTimeout, DefaultConnectTimeout)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
