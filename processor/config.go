package processor

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/warnings"
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
	// ApplicationID names the application; all its instances share it. Required, unless Group and TransactionalID are
	// given.
	ApplicationID string
	// InstanceID names this instance among them. It must be stable over restarts: only then does an instance that
	// comes back end its dead predecessor's transaction at once. Default: $EOS_PIPE_INSTANCE_ID, then the host name, which
	// two processes of one host must not share: the newer one fences the older.
	InstanceID string
	// Group is the consumer group. Default: ApplicationID.
	Group string
	// TransactionalID is the prefix of the lanes' transactional ids, to which "-<lane>" is added.
	// Default: "<application id>-<instance id>".
	TransactionalID string
	// Lanes is how many sessions this process runs side by side, each with its own share of the partitions, and of the memory:
	// where Session does not bound the batches they are smaller if there are more than two. Default: 1.
	Lanes int
	// InputBufferMaxBytes bounds the memory of the input that is fetched and processed, in all lanes together (input.buffer.max.bytes).
	// It is waited for. Default: eos.DefaultInputBufferMaxBytes.
	InputBufferMaxBytes int
	// BufferMemory bounds the memory of the outputs that are made and produced, in all lanes together, each of which has its share
	// (buffer.memory). A batch whose outputs are more is divided; a single record whose outputs are more has failed.
	// What a handler itself takes until it returns, nothing bounds. Default: DefaultBufferMemory.
	BufferMemory int
	// DeadLetterTopic takes the records that are given up as dead letters. Default: none.
	DeadLetterTopic string
	// DeadLetterHeaders says whose headers dead letters have beside those of eos-pipe. Default: OwnHeaders.
	DeadLetterHeaders DeadLetterHeaders
	// Errors says what is done about records that cannot be processed. Default: the processor stops at the first one.
	Errors Errors
	// Parallel is how many records of a lane's batch are handled at once; those of one key, and those of a partition that have no key,
	// one after the other. Default: 1.
	Parallel int
	// Provenance adds a header to every output that says which input record it was made of; `eos-pipe verify` reads it.
	Provenance bool
	// UntilEnd stops Run when the group has committed all that the input held when Run began. Records of transactions
	// that were open at that time are not waited for.
	UntilEnd bool
	// DrainTimeout is how long Run goes on after its context ends, to finish the batches under way. What is not
	// committed by then is aborted and processed at the next start. Default: DefaultDrainTimeout.
	DrainTimeout time.Duration
	// Progress is called now and then with what the group has committed of the input that was there when Run began,
	// in offsets. It is called only with UntilEnd, from one goroutine. Optional.
	Progress func(done, total int64)
	// Observe is told when a lane starts and when it ends for good. It is called from several goroutines, and holds its lane up.
	// What happens in between, Session.Observer is told. Optional.
	Observe func(LaneEvent)
	// Logger takes the log. Default: warnings and errors go to slog.Default().
	Logger *slog.Logger
	// Session tunes the lanes' sessions: bounds of a batch, timeouts, franz-go options. What is set above
	// (servers, group, ids, topics, buffers, logger) must not be set in it.
	Session eos.Config
}

// LaneEvent says that a lane has started or ended. All lanes are said to start before the first of them does anything.
type LaneEvent struct {
	Lane            int    // counted from 0
	TransactionalID string // of its sessions
	Ended           bool   // for good: no other session is opened
	Err             error  // why it ended; nil: it has drained
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

// DefaultBatch returns the most records, and bytes, that a transaction of each of so many lanes takes where Config.Session does not say it:
// eos.DefaultMaxRecords and eos.DefaultMaxBytes with one or two lanes, and less with more, so that all lanes together stay within twice that.
func DefaultBatch(lanes int) (records, bytes int) {
	c := Config{Lanes: lanes}
	return min(eos.DefaultMaxRecords, c.share(2*eos.DefaultMaxRecords)), min(eos.DefaultMaxBytes, c.share(2*eos.DefaultMaxBytes))
}

// share is what of n each lane has.
func (c Config) share(n int) int { return max(n/max(c.Lanes, 1), 1) }

// validate reports every fault of c, whose defaults are filled in, for a pipe from topics, and those that match pattern, to outputs.
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
	s := c.Session
	if s.Group != "" || s.TransactionalID != "" || s.InstanceID != "" || len(s.Topics)+len(s.TopicPattern)+len(s.Outputs)+len(s.BootstrapServers) > 0 ||
		s.InputBuffer != nil || s.BufferMemory != 0 || s.Logger != nil {
		faults = append(faults, errors.New("the field Session sets what belongs into the fields beside it: servers, group, ids, topics, buffers, logger"))
		return errors.Join(faults...)
	}
	return errors.Join(append(faults, c.lane(0, topics, pattern, outputs).Validate())...)
}

// lane returns the configuration of the session of lane i.
func (c Config) lane(i int, topics []string, pattern string, outputs []string) eos.Config {
	s := c.Session
	s.BootstrapServers, s.Group, s.Logger = c.BootstrapServers, c.Group, c.Logger
	if c.TransactionalID != "" {
		s.TransactionalID = c.laneID(i)
	}
	s.Topics, s.TopicPattern = slices.Clone(topics), pattern
	s.Outputs = slices.Clone(outputs)
	s.BufferMemory = c.share(c.BufferMemory)
	s.PassOver = c.Errors.Policy != StopOnError
	if c.DeadLetterTopic != "" {
		s.Outputs = append(s.Outputs, c.DeadLetterTopic)
		s.Unordered = append(slices.Clone(s.Unordered), c.DeadLetterTopic)
	}
	return s
}
