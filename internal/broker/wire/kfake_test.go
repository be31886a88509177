package wire_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/eos-pipe/eos-pipe/internal/broker/wire"
)

// kfake is not Kafka: where it answers a script differently is kept in testdata/kfake_divergences.txt, request by request, for whoever
// tests on it; docs/kfake.md sums it up. `go test ./internal/broker/wire -run TestKfakeDivergences -rewrite` writes the file anew
// for another kfake.
func TestKfakeDivergences(t *testing.T) {
	t.Parallel()
	scripts := readScripts(t)
	reports := make([]string, len(scripts))
	errs := make([]error, len(scripts))
	var asked sync.WaitGroup
	for i, s := range scripts {
		asked.Go(func() { reports[i], errs[i] = askKfake(t.Context(), s) })
	}
	asked.Wait()
	byName := map[string]string{}
	for i, s := range scripts {
		require.NoError(t, errs[i])
		byName[s.Name] = reports[i]
	}
	datadriven.RunTest(t, "testdata/kfake_divergences.txt", func(t *testing.T, d *datadriven.TestData) string {
		name := d.CmdArgs[0].Key
		report, ok := byName[name]
		require.True(t, ok, "no script is called %s, or it is there twice", name)
		delete(byName, name)
		return report
	})
	require.Empty(t, byName, "each script has a place in testdata/kfake_divergences.txt")
}

func readScripts(t *testing.T) []wire.Script {
	t.Helper()
	var all []wire.Script
	for _, folder := range []string{"traces", "tables"} {
		scripts, err := wire.ReadScripts("../model/testdata/" + folder + "/*.txt")
		require.NoError(t, err)
		all = append(all, scripts...)
	}
	return all
}

// askKfake runs a script on a kfake of its own. A name that kfake never gave ends a script, as everything does that cannot be asked.
func askKfake(ctx context.Context, s wire.Script) (string, error) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		return "", err
	}
	defer cluster.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	const topic = "topic"
	b, err := wire.Open(ctx, wire.Config{Address: cluster.ListenAddrs()[0], Name: topic, RenamesIDs: true, Provides: []string{"broker.release=4.4"}})
	if err != nil {
		return "", err
	}
	defer b.Close()
	answers, out, err := s.Run(b, topic)
	var report strings.Builder
	for _, a := range answers {
		if a.Got != a.Want {
			fmt.Fprintf(&report, "%s\n  Kafka: %s\n  kfake: %s\n", a.Text, a.Want, a.Got)
		}
	}
	for _, o := range out {
		fmt.Fprintf(&report, "%d requests left out: %s\n", o.Count, o.Why)
	}
	if err != nil {
		fmt.Fprintf(&report, "the rest left out: %v\n", err)
	}
	if report.Len() == 0 {
		return "no divergence", nil
	}
	return report.String(), nil
}
