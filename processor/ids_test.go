package processor_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/processor"
)

// Each lane has a transactional id of its own: the prefix that is given, or the application and the instance, and its
// number. An instance without a name is called as the environment says, or as the host.
func TestTransactionalIDs(t *testing.T) {
	host, err := os.Hostname()
	require.NoError(t, err)
	t.Setenv(processor.InstanceIDEnv, "")
	ids := func(c processor.Config) []string {
		ids, err := c.TransactionalIDs()
		require.NoError(t, err)
		return ids
	}
	require.Equal(t, []string{"p-0", "p-1"}, ids(processor.Config{TransactionalID: "p", ApplicationID: "app", Lanes: 2}))
	require.Equal(t, []string{"app-i-0"}, ids(processor.Config{ApplicationID: "app", InstanceID: "i"}))
	require.Equal(t, []string{"app-" + host + "-0"}, ids(processor.Config{ApplicationID: "app"}))
	t.Setenv(processor.InstanceIDEnv, "e")
	require.Equal(t, []string{"app-e-0"}, ids(processor.Config{ApplicationID: "app"}))
}
