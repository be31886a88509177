package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The ACLs that `eos-pipe acls` prints are enough for a pipe, and each of them is needed: without it the pipe stops with exit code 4,
// a line that names what was refused, and a hint that names the ACL. Nothing is lost or doubled meanwhile. The same where it is taken
// away while the pipe runs; when it is given back, the next start goes on.
func TestSecurityACLs(t *testing.T) {
	g := newScram(t, 0)
	acls := g.acls()
	require.Len(t, acls, 4)
	g.grant(acls...)
	g.write(300)
	g.copyToEnd("enough")
	consumer := []string{"--group-protocol", "consumer"} // where a predecessor that was killed is taken out of the group as well
	killed := g.run("killed", consumer...)
	stop := g.feed()
	g.eventually("it works", func() bool { return strings.Count(killed.stderr(), "committed") > 3 })
	killed.kill()
	stop()
	g.copyToEnd("enough-in-the-consumer-protocol", consumer...)

	refused := map[string]struct{ kind, names, hint string }{
		"Write on transactional-id": {"TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "", "WRITE on the transactional id"},
		"Read on group":             {"GROUP_AUTHORIZATION_FAILED", "", "READ on the group"},
		"Read on topic":             {"TOPIC_AUTHORIZATION_FAILED", g.in, "READ on an input topic"},
		"Write on topic":            {"TOPIC_AUTHORIZATION_FAILED", g.out, "WRITE on an output topic"},
	}
	require.Len(t, refused, 4)
	requireRefused := func(pr *process, want struct{ kind, names, hint string }) {
		t.Helper()
		pr.doomed = true
		pr.wait(40 * time.Second)
		t.Logf("%s: %q", pr.name, pr.said())
		pr.requireSaid(4, want.kind, want.names)
		require.Contains(t, pr.said()[1], want.hint)
	}
	for _, a := range acls {
		name := strings.ReplaceAll(a.String(), " ", "-")
		g.revoke(a)
		g.write(300)
		requireRefused(g.run(name+"-missing"), refused[a.String()])
		g.grant(a)
		g.copyToEnd(name + "-given")

		pr := g.run(name + "-in-a-run")
		stop := g.feed()
		g.eventually("it works", func() bool { return strings.Count(pr.stderr(), "committed") > 3 })
		g.revoke(a)
		requireRefused(pr, refused[a.String()])
		g.grant(a)
		stop()
		g.copyToEnd(name + "-given-back")
	}
}

// copyToEnd runs the pipe until all of the input is committed, and judges the output.
func (g *guarded) copyToEnd(name string, flags ...string) {
	g.t.Helper()
	pr := g.run(name, append(flags, "--until-end")...)
	require.Zero(g.t, pr.wait(40*time.Second), "%s: %q", name, pr.said())
	g.requireOnce()
}
