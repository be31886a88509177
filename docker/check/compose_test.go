package check

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

// load reads compose.yaml as docker compose does, changed by edit.
func load(t *testing.T, edit *strings.Replacer) (*types.Project, error) {
	t.Helper()
	text, err := os.ReadFile("../compose.yaml")
	require.NoError(t, err)
	dir, err := filepath.Abs("..")
	require.NoError(t, err)
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: dir, Environment: types.Mapping{},
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, "compose.yaml"), Content: []byte(edit.Replace(string(text)))}},
	})
}

func project(t *testing.T) *types.Project {
	t.Helper()
	p, err := load(t, strings.NewReplacer())
	require.NoError(t, err)
	return p
}

// pipes are the services that are eos-pipe.
func pipes(p *types.Project) map[string]types.ServiceConfig {
	found := map[string]types.ServiceConfig{}
	for name, s := range p.Services {
		if strings.HasPrefix(s.Image, "eos-pipe:") {
			found[name] = s
		}
	}
	return found
}

// env is a service's environment.
func env(s types.ServiceConfig) map[string]string {
	all := map[string]string{}
	for name, value := range s.Environment {
		if value != nil {
			all[name] = *value
		}
	}
	return all
}

// What these tests rest on: a key that compose does not know is refused.
func TestComposeIsStrict(t *testing.T) {
	_, err := load(t, strings.NewReplacer("read_only:", "readonly:"))
	require.ErrorContains(t, err, "readonly")
}

// The instances do what pipe.yaml says, under ids of their own that no restart changes, with topics that the job creates.
func TestComposeInstances(t *testing.T) {
	p := project(t)
	instances := map[string]settings{}
	for name, s := range pipes(p) {
		require.Len(t, s.Configs, 1)
		path := p.Configs[s.Configs[0].Source].File
		args := slices.Clone([]string(s.Command))
		at := slices.Index(args, s.Configs[0].Target)
		require.Positive(t, at, "the arguments name the file that is mounted")
		args[at] = path
		require.Empty(t, s.ContainerName+s.Hostname)
		instances[name] = checked(t, args, env(s))
	}
	requireIdentities(t, instances)

	one := instances["pipe-1"]
	topics := strings.Fields(env(p.Services["topics"])["TOPICS"])
	require.ElementsMatch(t, append([]string{one.To, one.DeadLetterTopic}, one.From...), topics)
	script := p.Services["topics"].Command[2]
	require.Contains(t, script, "--replication-factor 3 --config min.insync.replicas=2")
	require.Contains(t, script, "--if-not-exists")
}

// Each instance is confined, gets time to drain, and lies within its memory.
func TestComposeConfinement(t *testing.T) {
	for name, s := range pipes(project(t)) {
		require.True(t, s.ReadOnly, name)
		require.Equal(t, []string{"ALL"}, s.CapDrop, name)
		require.Empty(t, s.CapAdd, name)
		require.False(t, s.Privileged, name)
		require.Contains(t, s.SecurityOpt, "no-new-privileges:true", name)
		require.Empty(t, s.User, "%s: the image says who runs", name)
		require.Empty(t, s.Volumes, name)
		require.NotNil(t, s.StopGracePeriod, name)
		requireGrace(t, time.Duration(*s.StopGracePeriod))
		requireMemory(t, int64(s.MemLimit), env(s)["GOMEMLIMIT"])
		require.Equal(t, "docker/Dockerfile", s.Build.Dockerfile)
	}
}

// What is published is published on 127.0.0.1, each on a port of its own; the instances serve on the port that is.
func TestComposePorts(t *testing.T) {
	p := project(t)
	seen := map[string]string{}
	for name, s := range p.Services {
		for _, port := range s.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP, name)
			require.NotContains(t, seen, port.Published, name)
			seen[port.Published] = name
		}
	}
	for name, s := range pipes(p) {
		require.Len(t, s.Ports, 1, name)
		got := checked(t, []string{"run", "--config", "../pipe.yaml"}, env(s))
		require.Equal(t, net.JoinHostPort("0.0.0.0", strconv.Itoa(int(s.Ports[0].Target))), got.HTTP, name)
	}
}

// The brokers are three, of the version that is tested, and keep what is confirmed on two of them at least.
func TestComposeBrokers(t *testing.T) {
	p := project(t)
	version, err := os.ReadFile("../kafka/version")
	require.NoError(t, err)
	var servers []string
	for n := 1; n <= 3; n++ {
		name := "kafka-" + strconv.Itoa(n)
		s := p.Services[name]
		require.Equal(t, "apache/kafka:"+strings.TrimSpace(string(version)), s.Image)
		got := env(s)
		for setting, value := range map[string]string{
			"NODE_ID": strconv.Itoa(n), "PROCESS_ROLES": "broker,controller", "CONTROLLER_QUORUM_VOTERS": "1@kafka-1:9093,2@kafka-2:9093,3@kafka-3:9093",
			"DEFAULT_REPLICATION_FACTOR": "3", "MIN_INSYNC_REPLICAS": "2", "OFFSETS_TOPIC_REPLICATION_FACTOR": "3",
			"TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "3", "TRANSACTION_STATE_LOG_MIN_ISR": "2", "UNCLEAN_LEADER_ELECTION_ENABLE": "false",
			"ADVERTISED_LISTENERS": "HOST://localhost:" + s.Ports[0].Published + ",INTERNAL://" + name + ":19092",
		} {
			require.Equal(t, value, got["KAFKA_"+setting], "%s: %s", name, setting)
		}
		require.Equal(t, got["KAFKA_LOG_DIRS"], s.Volumes[0].Target, "data outlive the container")
		require.Contains(t, p.Services["topics"].DependsOn, name)
		servers = append(servers, name+":19092")
	}
	require.Equal(t, servers, checked(t, []string{"run", "--config", "../pipe.yaml"}, map[string]string{"EOS_PIPE_INSTANCE_ID": "a"}).Servers)
}

// Files that are mounted exist.
func TestComposeMounts(t *testing.T) {
	p := project(t)
	for name, s := range p.Services {
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				_, err := os.Stat(v.Source)
				require.NoError(t, err, name)
				require.True(t, v.ReadOnly, name)
			}
		}
	}
	for _, c := range p.Configs {
		_, err := os.Stat(c.File)
		require.NoError(t, err)
	}
}
