package script_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/internal/broker/script"
)

func newRunner() *script.Runner {
	return script.NewRunner(script.NewModel(model.DefaultRules(), "t"), "t")
}

func run(t *testing.T, r *script.Runner, kind, input string) string {
	t.Helper()
	out, ok, err := r.Run(kind, input)
	require.NoError(t, err)
	require.True(t, ok)
	return out
}

// Producer ids are printed by the names they are bound to; one without a name is "new". A name stays with its id, and an id with
// its first name.
func TestNames(t *testing.T) {
	t.Parallel()
	r := newRunner()
	require.Equal(t, "NONE P/0\nNONE P/1\nNONE new/0\nNONE Q/0\n", run(t, r, "run", "init v5 A bind=P\ninit v5 A bind=R\ninit v5 -\ninit v5 - bind=Q\n"))
	require.Equal(t, "NONE 0\n", run(t, r, "run", "produce v11 - @0 P+1/0 seq=0"))
	require.Equal(t, "new/0 last=0 txn=-1\n", run(t, r, "run", "producers @0"))
	_, _, err := r.Run("run", "produce v11 - @0 R/0 seq=0")
	require.ErrorContains(t, err, "no request has bound R")
}

// Bars make several requests of a line; words with bars go together, so they need the same number of alternatives.
func TestAlternatives(t *testing.T) {
	t.Parallel()
	r := newRunner()
	require.Equal(t, "NONE P/0 | NONE P/1 | NONE P/2\n", run(t, r, "run", "init v3|v4|v5 A bind=P"))
	require.Equal(t, "NONE 0 | NONE 0\n", run(t, r, "run", "produce v11 - @0|@1 P/0 seq=4|5"))
	_, _, err := r.Run("run", "produce v11 - @0|@1 P/0 seq=1|2|3")
	require.ErrorContains(t, err, "3 alternatives here, 2 before")
}

// What is not understood is refused before the broker is asked, and the error names the line and the word.
func TestRefusedLines(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"fly":                               `no request is called "fly"`,
		"init A":                            `"A": write the version of the request`,
		"init v5":                           "transactional id is missing",
		"init v5 A quickly":                 `"quickly" is not understood here`,
		"init v5 A timeout=soon":            "timeout: strconv.ParseInt",
		"init v5 A expect=7":                `producer "7": write it as P/0`,
		"produce v11 - @0 7/0":              "seq=<number> is missing",
		"produce v11 - 0 7/0 seq=0":         `"0": write a partition as @0`,
		"produce v11 - @0 7/0 seq=0 flaw=x": `no flaw is called "x"`,
		"produce v11 - @0 7/0 seq=0 + @1":   "producer, such as P/0 is missing",
		"end v5 A 7/0 maybe":                `"maybe": write commit or abort`,
		"txn-offsets v5 A 7/0 g @0":         "offset of @0",
		"group g strange M":                 "a group is classic or consumer",
	} {
		_, _, err := newRunner().Run("run", line)
		require.ErrorContains(t, err, want, line)
		require.ErrorContains(t, err, line)
	}
	_, _, err := newRunner().Run("jump", "")
	require.ErrorContains(t, err, "use run, needs or model")
	_, _, err = newRunner().Run("needs", "magic=1")
	require.ErrorContains(t, err, `no setting "magic"`)
}

// plain is a broker that can do nothing but what every broker can, as a driver for a real one.
type plain struct {
	script.Broker
	provided []string
}

func (p *plain) Provide(need string) (bool, error) {
	p.provided = append(p.provided, need)
	return need == "restart", nil
}

// A broker that cannot provide what a script needs leaves the rest of it out; model blocks are left out by every broker but the
// model; and steps that are asked for without saying so are an error.
func TestOtherBrokers(t *testing.T) {
	t.Parallel()
	b := &plain{Broker: script.NewModel(model.DefaultRules(), "t")}
	r := script.NewRunner(b, "t")
	run(t, r, "needs", "restart")
	require.Equal(t, "NONE P/0\n", run(t, r, "run", "init v5 A bind=P"))
	_, ok, err := r.Run("model", "steps")
	require.NoError(t, err)
	require.False(t, ok)
	_, _, err = r.Run("run", "reload")
	require.ErrorContains(t, err, "needs steps")

	run(t, r, "needs", "steps transaction.version=1")
	_, ok, err = r.Run("run", "init v5 A")
	require.NoError(t, err)
	require.False(t, ok)
	require.Equal(t, []string{"restart", "steps", "transaction.version=1"}, b.provided)
}
