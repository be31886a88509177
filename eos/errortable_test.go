package eos

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
)

// everyError returns all errors that the client has a code for, in the order of the codes.
func everyError() (all []*kerr.Error) {
	for code := int16(-1); code < 2000; code++ {
		if e := kerr.TypedErrorForCode(code); e != nil && e.Code == code {
			all = append(all, e)
		}
	}
	return all
}

// Every error that the client has a code for has a row in the table, which says what it waits for or what is to be done. Where it is not
// worth asking again, the remedy is told; where it is, what it waits for. A newer client that knows more errors fails here.
func TestEveryErrorHasARow(t *testing.T) {
	t.Parallel()
	all := everyError()
	require.GreaterOrEqual(t, len(all), 137)
	for _, e := range all {
		r, ok := rows[e]
		require.True(t, ok, "the client knows %s (%d), and eos/errortable.go has no row for it: say there whether it passes, and what it waits for, "+
			"or else what is to be done; then EOS_TEST_UPDATE=1 go test ./eos -run TestErrorsAreListed", e.Message, e.Code)
		require.NotEmpty(t, r.says, e.Message)
		wrapped := &Error{Op: "poll", Err: fmt.Errorf("join: %w", e)}
		require.Equal(t, r.action == actStop, Remedy(wrapped) != "", e.Message)
		require.Equal(t, r.action == actAgain, waitsFor(wrapped) != "", e.Message)
		if e.Retriable && r.action != actStop {
			require.NotEqual(t, actRejected, r.action, "%s: the client would send it again", e.Message)
		}
	}
	require.Len(t, rows, len(all))
	require.Empty(t, Remedy(errors.New("no error of Kafka")))
	require.Empty(t, waitsFor(ErrNoTopic))
}

var actionWords = map[action]string{
	actAgain: "tries again", actReplay: "polls again", actReplace: "replaces the client", actFenced: "asks who has the ids", actRejected: "rejects the record",
	actStop: "stops",
}

// docs/errors.md lists every error with what the table says of it. EOS_TEST_UPDATE=1 writes the list anew.
func TestErrorsAreListed(t *testing.T) {
	t.Parallel()
	const file, begin, end = "../docs/errors.md", "<!-- every error -->\n", "<!-- end -->\n"
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok)
	list, after, ok := strings.Cut(rest, end)
	require.True(t, ok)
	var b strings.Builder
	b.WriteString("| code | error | what a session does | why, until when, or what to do |\n|--:|---|---|---|\n")
	var unasked []string
	for _, e := range everyError() {
		if r := rows[e]; r.says == notAsked {
			unasked = append(unasked, fmt.Sprintf("%s (%d)", e.Message, e.Code))
		} else {
			fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", e.Code, e.Message, actionWords[r.action], r.says)
		}
	}
	fmt.Fprintf(&b, "\nThese stop it too, but Apache Kafka answers no request of a session with them: %s.\n", strings.Join(unasked, ", "))
	if os.Getenv("EOS_TEST_UPDATE") != "" {
		require.NoError(t, os.WriteFile(file, []byte(before+begin+b.String()+end+after), 0o600))
		return
	}
	require.Equal(t, b.String(), list)
}
