// Package pipe holds the tests of eos-pipe as a process on real Kafka: it copies, is killed and stopped, is refused, and is verified.
package pipe

import (
	"testing"

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

func TestMain(m *testing.M) { kafkatest.Main(m) }
