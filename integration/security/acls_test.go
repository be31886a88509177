package security

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/integration/internal/guard"
	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
)

// The ACLs that `eos-pipe acls` prints are enough for a pipe, and each of them is needed: without it the pipe stops with exit code 4,
// a line that names what was refused, and a hint that names the ACL. Nothing is lost or doubled meanwhile. The same where it is taken
// away while the pipe runs; when it is given back, the next start goes on.
func TestSecurityACLs(t *testing.T) {
	g := guard.NewScram(t, 0)
	acls := g.ACLs()
	require.Len(t, acls, 4)
	g.Grant(acls...)
	g.Write(300)
	copyToEnd(g, "enough")
	consumer := []string{"--group-protocol", "consumer"} // where a predecessor that was killed is taken out of the group as well
	killed := g.Run("killed", consumer...)
	stop := g.Feed()
	g.Eventually("it works", func() bool { return strings.Count(killed.Stderr(), "committed") > 3 })
	killed.Kill()
	stop()
	copyToEnd(g, "enough-in-the-consumer-protocol", consumer...)

	refused := map[string]struct{ kind, names, hint string }{
		"Write on transactional-id": {"TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "", "WRITE on the transactional id"},
		"Read on group":             {"GROUP_AUTHORIZATION_FAILED", "", "READ on the group"},
		"Read on topic":             {"TOPIC_AUTHORIZATION_FAILED", g.In, "READ on an input topic"},
		"Write on topic":            {"TOPIC_AUTHORIZATION_FAILED", g.Out, "WRITE on an output topic"},
	}
	require.Len(t, refused, 4)
	requireRefused := func(pr *proc.Process, want struct{ kind, names, hint string }) {
		t.Helper()
		pr.Doomed = true
		pr.Wait(40 * time.Second)
		t.Logf("%s: %q", pr.Name, pr.Said())
		pr.RequireSaid(4, want.kind, want.names)
		require.Contains(t, pr.Said()[1], want.hint)
	}
	for _, a := range acls {
		name := strings.ReplaceAll(a.String(), " ", "-")
		g.Revoke(a)
		g.Write(300)
		requireRefused(g.Run(name+"-missing"), refused[a.String()])
		g.Grant(a)
		copyToEnd(g, name+"-given")

		pr := g.Run(name + "-in-a-run")
		stop := g.Feed()
		g.Eventually("it works", func() bool { return strings.Count(pr.Stderr(), "committed") > 3 })
		g.Revoke(a)
		requireRefused(pr, refused[a.String()])
		g.Grant(a)
		stop()
		copyToEnd(g, name+"-given-back")
	}
}

// copyToEnd runs the pipe until all of the input is committed, and judges the output.
func copyToEnd(g *guard.Broker, name string, flags ...string) {
	g.T.Helper()
	pr := g.Run(name, append(flags, "--until-end")...)
	require.Zero(g.T, pr.Wait(40*time.Second), "%s: %q", name, pr.Said())
	g.RequireOnce()
}
