package processor

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/warnings"
	"github.com/eos-pipe/eos-pipe/security"
)

// InstanceIDEnv is the environment variable that names this instance where Config.InstanceID does not.
const InstanceIDEnv = "EOS_PIPE_INSTANCE_ID"

// DefaultDrainTimeout is how long a drain may take where Config.DrainTimeout is zero.
const DefaultDrainTimeout = 6 * time.Second

// Config is what a Processor needs to know. The zero value of a field is its documented default; New reports every
// fault at once.
type Config struct {
	// BootstrapServers are the host:port pairs to connect to first. Required.
	BootstrapServers []string
	// Security says how to connect: TLS and SASL. Default: neither. With TLS, Session.Client must hold no kgo.Dialer.
	Security security.Config
	// ApplicationID names the application; all its instances share it. Required, unless Group and TransactionalID are
	// given.
	ApplicationID string
	// InstanceID names this instance among them. It must be stable over restarts: only then does an instance that comes
	// back end its dead predecessor's transaction at once. Default: $EOS_PIPE_INSTANCE_ID, then the host name, which
	// two processes of one host must not share: the newer one fences the older.
	InstanceID string
	// Group is the consumer group. Default: ApplicationID.
	Group string
	// TransactionalID is the prefix of the lanes' transactional ids, to which "-<lane>" is added.
	// Default: "<application id>-<instance id>".
	TransactionalID string
	// Lanes is how many sessions this process runs side by side, each with its own share of the partitions and of the
	// memory. With more than two lanes the default bounds of a batch are smaller (DefaultBatch). Default: 1.
	Lanes int
	// Start says where a partition without a committed offset begins. Default: eos.StartEarliest.
	Start eos.Start
	// Unordered are output topics for which per-key order does not matter, as in eos.Config. Default: none.
	Unordered []string
	// Placed are topics for which Record.Partition names the partition of a record, as in eos.Config. Default: none.
	Placed []string
	// InputBufferMaxBytes bounds the memory of the input that is fetched and processed, in all lanes together
	// (input.buffer.max.bytes). If it is used up, lanes wait. Default: eos.DefaultInputBufferMaxBytes.
	InputBufferMaxBytes int
	// BufferMemory bounds the memory of the outputs that are made and produced, in all lanes together (buffer.memory).
	// Each lane has an equal share. A batch whose outputs exceed it is split; a single record whose outputs exceed it
	// fails. Memory used inside a handler is not bounded. Default: DefaultBufferMemory.
	BufferMemory int
	// DeadLetterTopic takes the records that are given up as dead letters. Default: none.
	DeadLetterTopic string
	// DeadLetterHeaders adds another program's headers to dead letters, beside those of eos-pipe. Default: OwnHeaders.
	DeadLetterHeaders DeadLetterHeaders
	// Errors says what happens to records that cannot be processed. Default: the processor stops at the first one.
	Errors Errors
	// Parallel is how many records of a lane's batch are handled at once. Records of one key are handled one after the
	// other, and so are records of a partition that have no key. Default: 1.
	Parallel int
	// Provenance adds a header to every output that names the input record it was made of; `eos-pipe verify` reads it.
	Provenance bool
	// UntilEnd stops Run when the group has committed all that the input held when Run began. Run does not wait for
	// records of transactions that were open at that time.
	UntilEnd bool
	// DrainTimeout is how long Run continues after its context ends, to finish the batches under way. A batch that is
	// not committed by then is aborted and processed at the next start. Default: DefaultDrainTimeout.
	DrainTimeout time.Duration
	// Observer is told what the lanes do. Optional.
	Observer Observer
	// Logger takes the log. Default: warnings and errors go to slog.Default().
	Logger *slog.Logger
	// Session tunes the lanes' sessions: bounds of a batch, timeouts, the group protocol, franz-go options.
	Session eos.Tuning
}

// withDefaults returns c with its defaults filled in.
func (c Config) withDefaults() (Config, error) {
	c, err := c.withIDs()
	if err != nil {
		return c, err
	}
	if c.Lanes == 0 {
		c.Lanes = 1
	}
	if c.Parallel == 0 {
		c.Parallel = 1
	}
	c.Errors = c.Errors.withDefaults()
	if c.InputBufferMaxBytes == 0 {
		c.InputBufferMaxBytes = eos.DefaultInputBufferMaxBytes
	}
	if c.BufferMemory == 0 {
		c.BufferMemory = DefaultBufferMemory
	}
	records, size := DefaultBatch(c.Lanes)
	c.Session.MaxRecords, c.Session.MaxBytes = cmp.Or(c.Session.MaxRecords, records), cmp.Or(c.Session.MaxBytes, size)
	if c.DrainTimeout == 0 {
		c.DrainTimeout = DefaultDrainTimeout
	}
	c.Logger = warnings.Logger(c.Logger)
	return c, nil
}

// DefaultBatch returns the default bounds of a batch, in records and bytes, in each of that many lanes: with one or two
// lanes eos.DefaultMaxRecords and eos.DefaultMaxBytes, and with more as much less that all lanes together stay within
// twice that.
func DefaultBatch(lanes int) (records, bytes int) {
	c := Config{Lanes: lanes}
	return min(eos.DefaultMaxRecords, c.share(2*eos.DefaultMaxRecords)), min(eos.DefaultMaxBytes, c.share(2*eos.DefaultMaxBytes))
}

// share returns the part of n that each lane has.
func (c Config) share(n int) int { return max(n/max(c.Lanes, 1), 1) }

// validate reports every fault of c, whose defaults are filled in, for a pipe from topics, and those that match
// pattern, to outputs.
func (c Config) validate(topics []string, pattern string, outputs []string) error {
	var faults []error
	if err := c.Errors.validate(c.DeadLetterTopic); err != nil {
		faults = append(faults, err)
	}
	if c.DeadLetterHeaders < OwnHeaders || c.DeadLetterHeaders > StreamsHeaders {
		faults = append(faults, fmt.Errorf("there are no dead-letter headers %v", c.DeadLetterHeaders))
	}
	if c.Parallel < 1 {
		faults = append(faults, fmt.Errorf("%d handlers at once are too few", c.Parallel))
	}
	if c.Lanes < 1 {
		faults = append(faults, fmt.Errorf("%d lanes are too few", c.Lanes))
	}
	if c.InputBufferMaxBytes < 0 || c.BufferMemory < 0 {
		faults = append(faults, errors.New("InputBufferMaxBytes and BufferMemory must not be negative"))
	}
	if c.DrainTimeout < 0 {
		faults = append(faults, errors.New("the drain timeout must not be negative"))
	}
	if err := c.Security.Validate(); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(append(faults, c.lane(0, topics, pattern, outputs).Validate())...)
}

// clientOptions returns the franz-go options of the sessions: the user's, and those that Security makes.
func (c Config) clientOptions() ([]kgo.Opt, error) {
	c.Security.Logger = cmp.Or(c.Security.Logger, c.Logger)
	secure, err := c.Security.Options()
	if err != nil || len(secure) == 0 {
		return c.Session.Client, err
	}
	if hasTLS := c.Security.Protocol == security.SSL || c.Security.Protocol == security.SASLSSL; hasTLS && hasDialer(c.Session.Client) {
		return nil, errors.New("TLS is asked for by Security, and Session.Client holds a kgo.Dialer, which would replace it: give one of them")
	}
	return slices.Concat(c.Session.Client, secure), nil
}

// hasDialer reports whether opts hold a kgo.Dialer. kgo says so only by refusing it beside a TLS configuration.
func hasDialer(opts []kgo.Opt) bool {
	return kgo.ValidateOpts(opts...) == nil && kgo.ValidateOpts(append(slices.Clone(opts), kgo.DialTLSConfig(&tls.Config{}))...) != nil
}

// lane returns the configuration of the session of lane i.
func (c Config) lane(i int, topics []string, pattern string, outputs []string) eos.Config {
	s := eos.Config{
		Tuning: c.Session, BootstrapServers: c.BootstrapServers, Group: c.Group, Start: c.Start,
		Topics: slices.Clone(topics), TopicPattern: pattern, Outputs: slices.Clone(outputs), Unordered: c.Unordered, Placed: c.Placed,
		PassOver: c.Errors.Policy != StopOnError, BufferMemory: c.share(c.BufferMemory), Observer: c.Observer.Session, Logger: c.Logger,
	}
	if c.TransactionalID != "" {
		s.TransactionalID = c.laneID(i)
	}
	if c.DeadLetterTopic != "" {
		s.Outputs = append(s.Outputs, c.DeadLetterTopic)
		s.Unordered = append(slices.Clone(c.Unordered), c.DeadLetterTopic)
	}
	return s
}
