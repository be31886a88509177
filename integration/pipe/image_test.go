//go:build image

package pipe

import (
	"archive/tar"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/integration/internal/guard"
	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/certtest"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// The container image, as `make test-image` has built it: what is in it, and that eos-pipe works in it under the confinement that
// docker/compose.yaml and docker/kubernetes give it. Containers are on the host's network: a test's brokers are at 127.0.0.1.

// confined are the options of `docker run` of each container.
var confined = []string{
	"--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--memory", "256m", "-e", "GOMEMLIMIT=200MiB",
}

// image is the name of the image under test.
func image(t *testing.T) string {
	t.Helper()
	name := os.Getenv("EOS_TEST_IMAGE")
	require.NotEmpty(t, name, "EOS_TEST_IMAGE names the image to test; make test-image sets it")
	return name
}

// docker runs the docker command and returns what it prints.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).Output()
	require.NoError(t, err, "docker %v", args)
	return strings.TrimSpace(string(out))
}

// contain starts eos-pipe in a container, with more options of `docker run`. The container is removed when the test ends.
func contain(t *testing.T, name string, options []string, args ...string) (pr *proc.Process, container string) {
	t.Helper()
	container = strings.ToLower(kafkatest.Name(t, name))
	all := slices.Concat([]string{"run", "--rm", "--name", container, "--label", "eos-pipe.test-process=" + strconv.Itoa(os.Getpid())},
		confined, options, []string{image(t)}, args)
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "-f", container).Run() }) // most have ended, and are gone
	return proc.Launch(t, name, exec.Command("docker", all...)), container
}

// containPipe starts an instance of `eos-pipe run` in a container, with its settings in a file that is mounted.
func containPipe(p *proc.Pipe, instance string, more ...string) (pr *proc.Process, container string) {
	p.T.Helper()
	dir := p.T.TempDir()
	settings := fmt.Sprintf("bootstrap-server: [%s]\nfrom: [%s]\nto: %s\ngroup: %s\nprovenance: true\njson: true\nlog-level: debug\n",
		strings.Join(p.Cluster.Bootstrap(), ", "), strings.Join(p.From, ", "), p.To[0], p.Group)
	certtest.File(p.T, dir, "pipe.yaml", []byte(settings))
	require.NoError(p.T, os.Chown(filepath.Join(dir, "pipe.yaml"), imageUser, imageUser))
	options := []string{"--network", "host", "-e", "EOS_PIPE_INSTANCE_ID=" + instance, "-v", dir + ":/etc/eos-pipe:ro"}
	pr, container = contain(p.T, fmt.Sprintf("%02d-%s", len(p.Processes), instance), options,
		slices.Concat([]string{"run", "--config", "/etc/eos-pipe/pipe.yaml"}, p.Flags, more)...)
	p.Processes = append(p.Processes, pr)
	return pr, container
}

// imageUser is the user and the group of the process.
const imageUser = 65532

// The image holds the binary and the roots of TLS, and nothing else: no shell, no other program, no user's home.
func TestImageHoldsNothingElse(t *testing.T) {
	container := docker(t, "create", image(t), "version")
	t.Cleanup(func() { docker(t, "rm", container) })
	export := exec.Command("docker", "export", container)
	out, err := export.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, export.Start())
	var files []string
	for r := tar.NewReader(out); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		if h.Typeflag == tar.TypeDir || h.Size == 0 { // docker lays folders and empty files where it will mount
			continue
		}
		files = append(files, h.Name)
		if strings.HasSuffix(h.Name, ".crt") {
			roots, err := io.ReadAll(r)
			require.NoError(t, err)
			require.True(t, x509.NewCertPool().AppendCertsFromPEM(roots), "%s holds certificates", h.Name)
		}
	}
	require.NoError(t, export.Wait())
	require.ElementsMatch(t, []string{"eos-pipe", "etc/ssl/certs/ca-certificates.crt"}, files)

	_, err = exec.Command("docker", "run", "--rm", "--entrypoint", "/bin/sh", image(t), "-c", "true").Output()
	require.ErrorContains(t, err, "exit status 127", "there is no shell")
}

// The image says who runs in it, what it is and where it serves.
func TestImageConfig(t *testing.T) {
	var config struct {
		User         string
		Entrypoint   []string
		Cmd          []string
		ExposedPorts map[string]any
		Labels       map[string]string
	}
	require.NoError(t, json.Unmarshal([]byte(docker(t, "image", "inspect", "-f", "{{json .Config}}", image(t))), &config))
	require.Equal(t, "65532:65532", config.User)
	require.Equal(t, []string{"/eos-pipe"}, config.Entrypoint)
	require.Empty(t, config.Cmd)
	require.Contains(t, config.ExposedPorts, "9404/tcp")

	pr, _ := contain(t, "version", []string{"--network", "none"}, "version", "--json")
	require.Zero(t, pr.Wait(time.Minute), "%q", pr.Said())
	var version struct{ Version, Platform string }
	require.NoError(t, json.Unmarshal(pr.Stdout.Bytes(), &version))
	require.True(t, strings.HasPrefix(version.Platform, "linux/"), version.Platform)
	for label, value := range map[string]string{"title": "eos-pipe", "licenses": "Apache-2.0", "version": version.Version} {
		require.Equal(t, value, config.Labels["org.opencontainers.image."+label], label)
	}
}

// A pipe in a container copies a backlog exactly once, within the memory that docs/deploy.md gives it, and ends at the end of its input.
func TestImageCopies(t *testing.T) {
	const total = 100_000
	p := proc.New(t, kafkatest.Shared(t), proc.SixToSix)
	p.Fill(total)
	pr, _ := containPipe(p, "a", "--until-end")
	require.Zero(t, pr.Wait(2*time.Minute), "%q", pr.Said())
	require.EqualValues(t, total, pr.Result().Out)
	p.RequireExactlyOnce(total, total)
}

// A container that may take 256 MiB, and is killed if it takes more, copies records with thousands of headers that take next to no bytes on their way.
func TestImageCopiesHeaders(t *testing.T) {
	for _, l := range proc.Loads {
		if l.Headers == 0 {
			continue
		}
		t.Run(l.Name, func(t *testing.T) {
			p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{1}, To: []int32{6}}, l.Flags...)
			l.Fill(p)
			pr, _ := containPipe(p, "a", "--until-end")
			require.Zero(t, pr.Wait(2*time.Minute), "137: it was killed for its memory; %q", pr.Said())
			l.RequireCopied(p)
		})
	}
}

// SIGTERM in the middle of the work drains one of two containers, which exits with 0; SIGKILL of the other is as harmless. New containers
// with the same instance ids, as Kubernetes starts them, go on where the brokers stand. Neither gets more from the machine than it was given.
func TestImageStops(t *testing.T) {
	p := proc.New(t, kafkatest.Shared(t), proc.SixToSix, "--max-records", "1000")
	stop := p.Feed(20_000)
	a, nameA := containPipe(p, "a")
	b, nameB := containPipe(p, "b")
	p.AwaitOwners(time.Minute, "a", "b")
	p.AwaitMore(20_000)
	requireConfined(t, nameA)
	a.Drain(syscall.SIGTERM)
	p.AwaitOwners(20*time.Second, "b")
	p.AwaitMore(10_000)
	b.Doomed = true
	docker(t, "kill", "-s", "KILL", nameB)
	require.Equal(t, 137, b.Wait(20*time.Second))
	total := stop()
	for _, instance := range []string{"b", "a"} {
		pr, _ := containPipe(p, instance, "--until-end")
		require.Zero(t, pr.Wait(2*time.Minute), "%q", pr.Said())
	}
	p.RequireExactlyOnce(total, total)
}

// requireConfined requires that the process of a container is the image's user, with no capability and no way to one.
func requireConfined(t *testing.T, container string) {
	t.Helper()
	text, err := os.ReadFile("/proc/" + docker(t, "inspect", "-f", "{{.State.Pid}}", container) + "/status")
	require.NoError(t, err)
	status := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		status[name] = strings.Join(strings.Fields(value), " ")
	}
	for name, value := range map[string]string{
		"Uid": "65532 65532 65532 65532", "Gid": "65532 65532 65532 65532", "CapEff": "0000000000000000", "CapBnd": "0000000000000000",
		"NoNewPrivs": "1", "Seccomp": "2",
	} {
		require.Equal(t, value, status[name], name)
	}
}

// Where the brokers ask who it is, the password comes from a file that only the image's user may read, and the authority from where the
// image's own roots are.
func TestImageSecrets(t *testing.T) {
	g := guard.NewScram(t, 0)
	g.Grant(g.ACLs()...)
	g.Write(300)
	require.NoError(t, os.Chown(g.Dir+"/password", imageUser, imageUser))
	require.NoError(t, os.Chmod(g.Dir+"/password", 0o400))
	require.NoError(t, os.Chmod(g.Dir+"/ca.pem", 0o444))
	pr, _ := contain(t, "secrets", []string{
		"--network", "host", "-v", g.Dir + "/password:/run/secrets/kafka:ro", "-v", g.Dir + "/ca.pem:/etc/ssl/certs/ca-certificates.crt:ro",
	}, "run", "-b", g.Cluster.Secure()[0], "--from", g.In, "--to", g.Out, "--group", g.Group, "--instance-id", "a", "--until-end",
		"--security-protocol", "SASL_SSL", "--sasl-mechanism", "SCRAM-SHA-512", "--sasl-username", guard.User, "--sasl-password", "file:/run/secrets/kafka")
	require.Zero(t, pr.Wait(time.Minute), "%q", pr.Said())
	g.RequireOnce()
}

// On a network of its own a container serves those outside when it is told to serve all addresses.
func TestImageServes(t *testing.T) {
	_, container := contain(t, "serves", []string{"-p", "127.0.0.1::9404"}, "run", "-b", "127.0.0.1:1", "--from", "a", "--to", "b", "--group", "c", "--instance-id", "d",
		"--http", "0.0.0.0:9404")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var err error
	if !bench.Until(ctx, func() bool {
		at, _ := exec.Command("docker", "port", container, "9404").Output()
		var resp *http.Response
		resp, err = http.Get("http://" + strings.TrimSpace(string(at)) + "/healthz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode)
		return true
	}) {
		require.FailNow(t, "nobody serves", "%v", err)
	}
}
