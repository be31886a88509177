// Package differential holds the tests that compare the model of the broker with real brokers, script by script and in random histories.
package differential

import (
	"testing"

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

func TestMain(m *testing.M) { kafkatest.Main(m) }
