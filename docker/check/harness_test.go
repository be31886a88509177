package check

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

// binary builds eos-pipe, once, beside the test binary, whose folder the go command removes.
var binary = sync.OnceValues(func() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), "eos-pipe-under-test")
	build := exec.Command("go", "build", "-o", path, "./cmd/eos-pipe")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build eos-pipe: %w\n%s", err, out)
	}
	return path, nil
})

// settings are what `eos-pipe config check` makes of an instance's arguments and environment.
type settings struct {
	From            []string `json:"from"`
	To              string   `json:"to"`
	Group           string   `json:"group"`
	TransactionalID string   `json:"transactional-id"`
	InstanceID      string   `json:"instance-id"`
	Servers         []string `json:"bootstrap-server"`
	DeadLetterTopic string   `json:"dead-letter-topic"`
	HTTP            string   `json:"http"`
	Mechanism       string   `json:"sasl-mechanism"`
	Password        string   `json:"sasl-password"`
	CA              string   `json:"tls-ca"`
	Protocol        string   `json:"security-protocol"`
}

// checked asks the real command what it would do with the arguments of a container, which are those of run.
func checked(t *testing.T, args []string, env map[string]string) (s settings) {
	t.Helper()
	require.Equal(t, "run", args[0])
	path, err := binary()
	require.NoError(t, err)
	cmd := exec.Command(path, append([]string{"config", "check", "--json"}, args[1:]...)...)
	cmd.Env = []string{} // not nil, which would be this process's
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	require.NoError(t, err, said.String())
	require.NoError(t, json.Unmarshal(out, &s))
	return s
}

// requireIdentities requires that instances are of one group and each has its own transactional id, which follows from its name alone.
func requireIdentities(t *testing.T, instances map[string]settings) {
	t.Helper()
	require.Greater(t, len(instances), 1)
	seen := map[string]string{}
	for name, s := range instances {
		require.Equal(t, name, s.InstanceID)
		require.Equal(t, s.Group+"-"+name, s.TransactionalID)
		require.NotContains(t, seen, s.TransactionalID, name)
		seen[s.TransactionalID] = name
		s.InstanceID, s.TransactionalID = "", ""
		for _, other := range instances {
			other.InstanceID, other.TransactionalID = "", ""
			require.Equal(t, s, other, "instances differ in nothing but their ids")
		}
	}
}

// drainTimeout is how long a drain may take before what is open is aborted: processor.DefaultDrainTimeout.
func drainTimeout(t *testing.T) time.Duration {
	t.Helper()
	code, err := os.ReadFile("../../processor/config.go")
	require.NoError(t, err)
	m := regexp.MustCompile(`const DefaultDrainTimeout = (\d+) \* time\.Second`).FindSubmatch(code)
	require.NotNil(t, m)
	seconds, err := strconv.Atoi(string(m[1]))
	require.NoError(t, err)
	return time.Duration(seconds) * time.Second
}

// requireGrace requires that nobody kills a process that drains: beside the drain it leaves its groups and closes its connections.
func requireGrace(t *testing.T, grace time.Duration) {
	t.Helper()
	require.GreaterOrEqual(t, grace, drainTimeout(t)+15*time.Second)
}

// requireMemory requires that the collector begins to hurry well before the limit at which the process is killed.
func requireMemory(t *testing.T, limit int64, goMemLimit string) {
	t.Helper()
	require.EqualValues(t, 256<<20, limit)
	soft, err := resource.ParseQuantity(strings.TrimSuffix(goMemLimit, "B")) // Go's MiB is Kubernetes' Mi
	require.NoError(t, err)
	require.Greater(t, soft.Value(), limit/2)
	require.LessOrEqual(t, soft.Value(), limit*8/10)
}

// read reads a YAML file that may have no other keys than into.
func read(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, yaml.UnmarshalStrict(text, into), path)
}
