package pipe

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// A pipe with a pattern reads all topics that match until their end, but not its output, which matches too; verify, given the same pattern, finds
// every record once.
func TestPipePattern(t *testing.T) {
	t.Parallel()
	p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{3, 1}, To: []int32{2}})
	p.Pattern = bench.Matching(p.From[0], p.From[1], p.To[0])
	p.Fill(600)
	for range 2 { // what it has written is no input the second time either
		require.Zero(t, p.Start("a", "--until-end").Wait(time.Minute))
	}
	p.RequireExactlyOnce(600, 600)
	p.Pattern = bench.Matching("no-" + p.From[0])
	hint := p.Start("b").RequireFails(20*time.Second, 1, "topic does not exist: none that this client may see matches the pattern")
	require.Contains(t, hint, "check its name")
}
