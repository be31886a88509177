// Package session holds the tests of package eos on real Kafka: a session commits, is fenced, loses answers, rebalances, and recovers.
package session

import (
	"testing"

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

func TestMain(m *testing.M) { kafkatest.Main(m) }
