package bench

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// Seeded returns the test's source of random choices; what it chose can be had again by the command it logs.
func Seeded(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	if text := os.Getenv("EOS_TEST_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "EOS_TEST_SEED")
	}
	dir, err := os.Getwd() // the folder of the package under test
	require.NoError(t, err)
	t.Logf("random choices repeat with: EOS_TEST_SEED=%d go test -race -run '^%s$' ./integration/%s", seed, t.Name(), filepath.Base(dir))
	return rand.New(rand.NewPCG(seed, 0))
}

// SetFeatureLevel lowers transaction.version, which a new cluster has at 2, as kafka-features does.
func SetFeatureLevel(t *testing.T, cluster *kafkatest.Cluster, level int16) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	const safeDowngrade = 2
	updated, err := cluster.Admin(t).UpdateFeatures(ctx, false, kadm.FeatureUpdate{Feature: "transaction.version", MaxVersionLevel: level, UpgradeType: safeDowngrade})
	require.NoError(t, err)
	require.NoError(t, updated.Error())
}

// Matching returns a pattern for exactly these names.
func Matching(names ...string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = regexp.QuoteMeta(name)
	}
	return strings.Join(quoted, "|")
}

// Rules returns the rules of the broker that the tests run on.
func Rules(t *testing.T, transactionVersion int16) model.Rules {
	t.Helper()
	rules := model.DefaultRules()
	rules.TransactionVersion = int8(transactionVersion)
	version := KafkaVersion(t)
	var ok bool
	rules.Release, ok = model.ReleaseOf(version)
	require.True(t, ok, "internal/broker/model has no rules for Kafka %s: see internal/broker/model/rules.go", version)
	return rules
}

// KafkaVersion is the version of Kafka that the tests run on.
func KafkaVersion(t *testing.T) string {
	t.Helper()
	if version := os.Getenv("EOS_TEST_KAFKA_VERSION"); version != "" {
		return version
	}
	text, err := os.ReadFile("../../docker/kafka/version")
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}

// Tap returns a tap that ends with the test.
func Tap(t *testing.T, options ...wiretap.Option) *wiretap.Tap {
	tap := wiretap.New(options...)
	t.Cleanup(tap.Close)
	return tap
}
