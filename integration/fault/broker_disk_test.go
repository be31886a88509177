package fault

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// The broker's disk gets full while records are fed and two instances work: the broker ends itself. The instances wait; when
// there is room again and the broker is started, they go on, and every record comes over once.
func TestFaultDiskFull(t *testing.T) {
	t.Parallel()
	disk := kafkatest.NewDisk(t, 256)
	cluster := kafkatest.Start(t, kafkatest.On(disk))
	p, a, b, stop := workingPipe(t, cluster, 2_000, threeFlags...)
	disk.Fill(t)
	cluster.AwaitEnd(t, 1)
	disk.Free(t)
	require.True(t, a.Alive() && b.Alive(), "a process has not waited")
	cluster.Restart(t, 1)
	p.AwaitOwners(time.Minute, "a", "b")
	p.AwaitMore(4_000)
	finish(p, stop, a, b)
}
