// Package security holds the tests of TLS, SASL and ACLs: sessions and pipes at a broker that asks who its clients are.
package security

import (
	"testing"

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

func TestMain(m *testing.M) { kafkatest.Main(m) }
