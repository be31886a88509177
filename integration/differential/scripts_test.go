package differential

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/broker/wire"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// modelCluster is a cluster with the settings that some scripts need. Scripts share one: the settings of a cluster do not
// meet, so each script finds what it asks for, and otherwise Kafka's defaults.
type modelCluster struct {
	name         string
	settings     []string // as scripts need them, name=value
	featureLevel int16    // transaction.version; 0: as a new cluster has it, 2
	hasRaisedIDs bool
	hasHistories bool
	canRestart   bool // it is for one script at a time
}

var modelClusters = []modelCluster{
	{name: "default", hasRaisedIDs: true, hasHistories: true},
	{name: "feature-level-1", featureLevel: 1, hasRaisedIDs: true, hasHistories: true},
	{name: "short-expiry", settings: []string{
		"producer.id.expiration.ms=3000", "producer.id.expiration.check.interval.ms=1000",
		"transactional.id.expiration.ms=3000", "transaction.remove.expired.transaction.cleanup.interval.ms=1000",
		"unstable.api.versions.enable=true",
	}},
	{name: "unchecked", settings: []string{
		"transaction.partition.verification.enable=false",
		"unstable.api.versions.enable=true", "transaction.two.phase.commit.enable=true",
	}},
	{name: "restarted", canRestart: true},
}

// scanMs is how often the clusters of kafkatest look for transactions that timed out.
const scanMs = 1000

// raisedIDs is how many transactional ids with nearly used up epochs a cluster is given; a full run of histories takes fewer.
const raisedIDs = 4000

// provides lists all that the cluster provides, in the words of scripts.
func (c modelCluster) provides(t *testing.T) []string {
	major, rest, _ := strings.Cut(bench.KafkaVersion(t), ".")
	minor, _, _ := strings.Cut(rest, ".")
	list := append(slices.Clone(c.settings), "broker.release="+major+"."+minor)
	if c.featureLevel != 0 {
		list = append(list, fmt.Sprintf("transaction.version=%d", c.featureLevel))
	}
	if c.canRestart {
		list = append(list, "restart")
	}
	return list
}

// modelBench is such a cluster, running.
type modelBench struct {
	modelCluster
	address string
	raised  *wire.RaisedIDs
	verify  sync.Mutex
	restart func() error // nil if the cluster may not be restarted
}

func (c modelCluster) start(t *testing.T) *modelBench {
	t.Helper()
	var options []kafkatest.Option
	for _, s := range c.settings {
		name, value, _ := strings.Cut(s, "=")
		options = append(options, kafkatest.Set(name, value))
	}
	cluster := kafkatest.Start(t, options...)
	b := &modelBench{modelCluster: c, address: cluster.Bootstrap()[0]}
	if c.canRestart {
		b.restart = func() error {
			cluster.Stop(t, 1)
			cluster.Restart(t, 1)
			return nil
		}
	}
	if c.featureLevel != 0 {
		bench.SetFeatureLevel(t, cluster, c.featureLevel)
	}
	if c.hasRaisedIDs {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var err error
		b.raised, err = wire.WriteRaisedIDs(ctx, b.address, "r", raisedIDs)
		require.NoError(t, err)
		cluster.Kill(t, 1)
		cluster.Restart(t, 1)
	}
	return b
}

// The scripts beside the model are what Kafka answers, 4.3.1 and 4.4.0: each line of them that a client can send is asked of a real
// broker, and the answer is the one in the file, to the letter. What cannot be asked is counted and logged with its reason.
func TestModelOnKafka(t *testing.T) {
	scripts := modelScripts(t)
	for _, c := range modelClusters {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // a cluster takes seconds to start
			own := c.choose(t, scripts)
			bench := c.start(t)
			t.Run("scripts", func(t *testing.T) { bench.runScripts(t, own) })
			if c.hasHistories {
				t.Run("histories", bench.runHistories)
			}
		})
	}
}

func modelScripts(t *testing.T) []wire.Script {
	t.Helper()
	var all []wire.Script
	for _, folder := range []string{"traces", "tables"} {
		scripts, err := wire.ReadScripts("../../internal/broker/model/testdata/" + folder + "/*.txt")
		require.NoError(t, err)
		all = append(all, scripts...)
	}
	return all
}

// choose returns the scripts that belong on this cluster: the first one that provides what they need, else the first of all,
// where they are left out.
func (c modelCluster) choose(t *testing.T, scripts []wire.Script) []wire.Script {
	var own []wire.Script
	for _, s := range scripts {
		i := slices.IndexFunc(modelClusters, func(c modelCluster) bool {
			return !slices.ContainsFunc(s.Needs(), func(need string) bool { return !slices.Contains(c.provides(t), need) })
		})
		if modelClusters[max(i, 0)].name == c.name {
			own = append(own, s)
		}
	}
	return own
}

func (b *modelBench) config(t *testing.T) wire.Config {
	return wire.Config{
		Address: b.address, Name: kafkatest.Name(t, "s"), Provides: b.provides(t), ScanMs: scanMs, Raised: b.raised, Verifying: &b.verify,
		Restart: b.restart,
	}
}

// tally counts what scripts have asked and left out.
type tally struct {
	sync.Mutex
	asked int
	out   []string
}

func (b *modelBench) runScripts(t *testing.T, scripts []wire.Script) {
	var total tally
	t.Cleanup(func() { t.Logf("%d requests asked; left out:\n%s", total.asked, strings.Join(total.out, "\n")) })
	for _, s := range scripts {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			c := b.config(t)
			c.RaisesIDs = s.Raises()
			broker, err := wire.Open(ctx, c)
			require.NoError(t, err)
			defer broker.Close()
			answers, out, err := s.Run(broker, c.Name)
			for _, a := range answers {
				if a.Got != a.Want {
					t.Errorf("%s\n  the file says %s\n  Kafka answers %s", a.Text, a.Want, a.Got)
				}
			}
			require.NoError(t, err)
			total.Lock()
			defer total.Unlock()
			total.asked += len(answers)
			for _, o := range out {
				total.out = append(total.out, fmt.Sprintf("%s: %d requests: %s", s.Name, o.Count, o.Why))
			}
		})
	}
}
