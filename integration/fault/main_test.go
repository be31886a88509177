// Package fault holds the tests of the fault map (docs/faults.md) on real Kafka: brokers, networks, records and topics that fail under a session or a pipe.
package fault

import (
	"testing"

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

func TestMain(m *testing.M) { kafkatest.Main(m) }
