// Package storm holds the tests of many faults at once: processes and brokers die, stop and move under a pipe, for minutes or (torture) for hours.
package storm

import (
	"testing"

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

func TestMain(m *testing.M) { kafkatest.Main(m) }
