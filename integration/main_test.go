// Package integration holds the tests on real Kafka: sessions, pipes and the command, under faults.
package integration

import (
	"testing"

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

func TestMain(m *testing.M) { kafkatest.Main(m) }
