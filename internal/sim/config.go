package sim

import (
	"fmt"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
)

// Mode is how the application writes, and so what it promises.
type Mode uint8

// The modes.
const (
	ExactlyOnce Mode = iota // outputs and offsets in one transaction, as package eos does it
	Idempotent              // an idempotent producer, offsets committed behind it
	AtLeastOnce             // a plain producer that repeats what was not answered, offsets committed behind it
	numModes
)

var modeNames = [numModes]string{"exactly-once", "idempotent", "at-least-once"}

// String gives "exactly-once", "idempotent" or "at-least-once".
func (m Mode) String() string { return modeNames[m] }

// Modes returns all modes, the weakest first.
func Modes() []Mode { return []Mode{AtLeastOnce, Idempotent, ExactlyOnce} }

// ParseMode returns the mode of that name.
func ParseMode(name string) (Mode, bool) {
	for i, n := range modeNames {
		if n == name {
			return Mode(i), true
		}
	}
	return 0, false
}

// promises reports whether the mode promises what a finding of the kind says is broken.
func (m Mode) promises(k FindingKind) bool {
	switch k {
	case Doubled, Reordered:
		return m == ExactlyOnce
	default:
		return true
	}
}

// Config says what is simulated. With the zero value nothing goes wrong.
type Config struct {
	Seed  uint64
	Steps int // events with faults, writers and all; then what is left is worked off in peace. Default: DefaultSteps
	Mode  Mode

	Faults Faults
	// Only, if it is not nil, lets just these faults happen, whatever Faults says: the same faults as in another run, or fewer.
	Only []Key

	// Rules are those of the brokers. Default: model.DefaultRules. A bug planted in them is one that Run should find.
	Rules model.Rules

	// HasHistory keeps what happened. It takes time and memory.
	HasHistory bool
	// IsValidated gives the history to a model.Validator as well, which knows the rules without planted bugs.
	IsValidated bool
}

// DefaultSteps is enough for some hundred transactions, and takes some 20 ms.
const DefaultSteps = 20_000

// Check reports what is wrong with the configuration; nil means that [Run] runs it.
func (c Config) Check() error {
	_, err := c.withDefaults()
	return err
}

func (c Config) withDefaults() (Config, error) {
	if c.Steps == 0 {
		c.Steps = DefaultSteps
	}
	if c.Steps < 0 {
		return c, fmt.Errorf("%d steps: there cannot be fewer than none", c.Steps)
	}
	if c.Mode >= numModes {
		return c, fmt.Errorf("there is no mode %d", c.Mode)
	}
	if c.Rules == (model.Rules{}) {
		c.Rules = model.DefaultRules()
	}
	return c, nil
}

// What is simulated: one input and one output topic, three brokers, two instances of the application.
const (
	inputPartitions  = 4
	outputPartitions = 3
	partitions       = inputPartitions + outputPartitions
	numNodes         = 3
	numInstances     = 2
	numWriters       = 3 // the last one is transactional
	maxInstances     = 8 // that keys can name

	inputTopic  = "in"
	outputTopic = "out"
	groupID     = "app"
)

// Times in microseconds of the virtual clock. They are shorter than those of real clusters, in about the same proportions.
const (
	msUs = 1000

	latencyMinUs = 100
	latencyMaxUs = 900
	timeoutUs    = 40 * msUs // of a request
	backoffUs    = 5 * msUs
	idleUs       = 4 * msUs // between two reads where the first found nothing

	overtakeMinUs = 1 * msUs // how long a message is held up that others overtake
	overtakeMaxUs = 6 * msUs
	delayMinUs    = 20 * msUs
	delayMaxUs    = 400 * msUs

	heartbeatUs     = 30 * msUs
	sessionUs       = 150 * msUs
	firstGroupUs    = 10 * msUs // until the group hands out partitions for the first time
	pauseMinUs      = 100 * msUs
	pauseMaxUs      = 1500 * msUs
	restartMinUs    = 5 * msUs
	restartMaxUs    = 300 * msUs
	downMinUs       = 50 * msUs
	downMaxUs       = 400 * msUs
	detectUs        = 10 * msUs // until the controller notices that a broker is gone
	loadUs          = 3 * msUs  // until a coordinator that has moved answers
	markerMinUs     = 100
	markerMaxUs     = 1500
	txnTimeoutMs    = 600
	txnAgeUs        = 540 * msUs // after which an instance gives a transaction up, before the coordinator does
	txnScanUs       = 50 * msUs
	markersPatience = 60 * msUs // of an instance, for the markers of its last transaction
	takeoverUs      = 50 * msUs // how long a fenced instance looks for another one that has taken its place
	supervisorUs    = 100 * msUs
	quietLimitUs    = 20_000 * msUs // of peace, after which work that is left is stuck
)
