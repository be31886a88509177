// Package interop holds the tests beside other programs, each the real one in a pinned version: clients of other languages that write the
// pipe's input and read its output, and a schema registry with the serializers of another language. docker/neighbours gets them.
package interop

import (
	"testing"

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

func TestMain(m *testing.M) { kafkatest.Main(m) }
