package model_test

import (
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/internal/broker/script"
)

// The files in testdata/traces are worked traces: what brokers of Kafka 4.3.1 and 4.4.0 were seen to answer, request by request. Those in
// testdata/tables are the rules cell by cell. The language is that of internal/broker/script, which other brokers speak too.
//
// `go test ./internal/broker/model -run TestScripts -rewrite` writes the answers anew. For the traces that is no way to make them pass:
// their answers are Kafka's.
func TestScripts(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/traces", runScript)
	datadriven.Walk(t, "testdata/tables", runScript)
}

const topic = "topic"

func runScript(t *testing.T, path string) {
	r := script.NewRunner(script.NewModel(model.DefaultRules(), topic), topic)
	datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
		out, ok, err := r.Run(d.Cmd, d.Input)
		require.NoError(t, err, d.Pos)
		require.True(t, ok, "the model runs every block")
		return out
	})
}
