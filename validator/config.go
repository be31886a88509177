package validator

import (
	"fmt"
	"strings"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
)

// Config says which brokers are meant and what the events are. The zero value judges the requests of clients by the newest
// rules, those of Kafka 4.4.
type Config struct {
	// Kafka is the version of the brokers, such as "4.3" or "4.3.1"; [Versions] lists those with known rules. "" is the newest one.
	// The brokers have the settings of a new cluster, so transaction.version is 2 from 4.0 on and 0 before. A cluster that was
	// upgraded may have another: "4.3 transaction.version=1". "kfake" is franz-go's fake broker: it has the rules of the newest
	// version, but aborts an open transaction before it answers InitProducerId, instead of asking the producer to try again.
	Kafka string

	// IsLog says that the events are what a topic's log holds, as eos-pipe record writes it: batches as produce events, and
	// markers. Otherwise they are requests of clients with their answers, and the cluster may have been in use before.
	IsLog bool

	// HasSteps says that the events hold everything since the cluster was made, also the markers and completions that brokers
	// write by themselves, as [Broker.Settle] and [SimResult.WriteTrace] tell them. IsLog overrides it.
	HasSteps bool

	// IgnoresContents switches off the class [SentTwice], for which a validator keeps a note of every batch.
	IgnoresContents bool
}

// kfake is the version that stands for franz-go's fake broker.
const kfake = "kfake"

// Versions returns the versions of Kafka whose rules are known, oldest first: "3.5" to "4.4".
func Versions() []string { return model.Versions() }

// rules are those of a cluster of the version, with the transaction.version that is named or that a new cluster has.
func (c Config) rules() (model.Rules, error) {
	rules := model.DefaultRules()
	if c.Kafka == kfake {
		rules.FencesAtOnce = true
		return rules, nil
	}
	version, feature, isNamed := strings.Cut(c.Kafka, " ")
	if version != "" {
		release, ok := model.ReleaseOf(version)
		if !ok {
			return rules, fmt.Errorf("the rules of Kafka %q are not known: name one of %s", version, strings.Join(Versions(), ", "))
		}
		rules.Release = release
	}
	if rules.Release < model.Release40 {
		rules.TransactionVersion = 0
	}
	if isNamed {
		level, ok := strings.CutPrefix(feature, "transaction.version=")
		if !ok || len(level) != 1 || level < "0" || level > "2" {
			return rules, fmt.Errorf("the version %q ends with %q: write nothing there, or transaction.version=0, 1 or 2", c.Kafka, feature)
		}
		rules.TransactionVersion = int8(level[0] - '0')
	}
	return rules, nil
}
