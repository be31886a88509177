package eos

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
)

// The zero Outcome claims nothing about the data, and an error without a call on a batch claims nothing either.
func TestZeroOutcomeIsUnknown(t *testing.T) {
	t.Parallel()
	var e Error
	require.Equal(t, Unknown, e.Outcome)
	require.Equal(t, "commit: late; the batch is unknown", (&Error{Op: "commit", Err: errors.New("late")}).Error())
	_, err := Open(t.Context(), Config{})
	require.ErrorAs(t, err, new(*Error))
	failed, _ := errors.AsType[*Error](err)
	require.Equal(t, NotAttempted, failed.Outcome)
}

// Every constant has its own name, and no other value makes String panic.
func TestNamesOfValues(t *testing.T) {
	t.Parallel()
	for _, of := range []struct {
		kind  string
		name  func(int) string
		known int
	}{
		{"Outcome", func(n int) string { return Outcome(n).String() }, int(NotAttempted) + 1},
		{"Next", func(n int) string { return Next(n).String() }, int(Reopen) + 1},
		{"State", func(n int) string { return State(n).String() }, int(Stopped) + 1},
	} {
		seen := map[string]bool{}
		for n := range of.known {
			name := of.name(n)
			require.NotContains(t, name, "(")
			require.False(t, seen[name], name)
			seen[name] = true
		}
		for _, n := range []int{-1, of.known, 1 << 40} {
			require.Equal(t, fmt.Sprintf("%s(%d)", of.kind, n), of.name(n))
		}
	}
}

// A batch carries what its caller and its Commit use, and nothing of the poll that filled it.
func TestBatchHoldsNoScratch(t *testing.T) {
	t.Parallel()
	var fields []string
	for f := range reflect.TypeFor[Batch]().Fields() {
		fields = append(fields, f.Name)
	}
	require.Equal(t, []string{"Records", "Bytes", "id", "from", "next"}, fields)
}

// Credentials that are refused stop a session that is opening at once; one that runs tries again for some time, counted from
// the first refusal, and then stops. Other errors are not concerned.
func TestRefusedCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := fmt.Errorf("join: %w", kerr.SaslAuthenticationFailed)
		s := &Session{cfg: Config{}.withDefaults()}
		require.Equal(t, actStop, s.act(refused, actReplay), "opening")
		s.client = &client{}
		require.Equal(t, actStop, s.act(kerr.TopicAuthorizationFailed, actReplay))
		require.Equal(t, actReplay, s.act(kerr.RebalanceInProgress, actReplace))
		require.Equal(t, actReplace, s.act(refused, actReplay))
		time.Sleep(authPatience) //nolint:forbidigo // virtual time
		require.Equal(t, actReplace, s.act(refused, actReplay))
		time.Sleep(time.Nanosecond) //nolint:forbidigo // virtual time
		require.Equal(t, actStop, s.act(refused, actReplay))
	})
}
