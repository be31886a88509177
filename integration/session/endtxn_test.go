package session

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// sessionLosses are how often in a row an EndTxn is lost: the client asks again after 1 and 3 losses, and gives up in the
// midst of 30.
var sessionLosses = []int{1, 3, 30}

func sessionCommits(count int, action wiretap.Action) wiretap.Rule {
	return wiretap.Rule{API: kmsg.EndTxn, Commit: new(true), Count: count, Action: action}
}

// The answer to an EndTxn(commit) is lost, though the broker has committed: the session finds that out and says so.
func TestSessionLostCommitAnswer(t *testing.T) {
	for _, lost := range sessionLosses {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			b := bench.New(t)
			cfg, tap := b.Tapped("a")
			b.Write(300)
			s := b.Open(cfg)
			fault := tap.Add(sessionCommits(lost, wiretap.DropReply))
			require.Empty(t, b.Copy(s, 300), "a lost answer is resolved as committed, not reported as a failure")
			for lost > fault.Hits() { // the client has given up before
				b.Write(30)
				require.Empty(t, b.Copy(s, 30))
			}
			require.Equal(t, lost, fault.Hits())
			b.RequireOnce()
		})
	}
}

// An EndTxn(commit) never reaches the broker: the client sends it again, and when it gives up, the session finds out that
// the transaction was not committed, says that it is aborted, and the records come again.
func TestSessionLostCommitRequest(t *testing.T) {
	for _, lost := range sessionLosses {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			b := bench.New(t)
			cfg, tap := b.Tapped("a")
			b.Write(300)
			s := b.Open(cfg)
			fault := tap.Add(sessionCommits(lost, wiretap.DropRequest))
			failures := b.Copy(s, 300)
			if lost < 10 {
				require.Empty(t, failures)
			} else {
				require.Len(t, failures, 1)
				var e *eos.Error
				require.ErrorAs(t, failures[0], &e)
				require.Equal(t, eos.Aborted, e.Outcome)
			}
			require.Equal(t, lost, fault.Hits())
			b.RequireOnce()
		})
	}
}

// The same with the client's own retries, which end 10 s after the first: every answer is lost until the session makes a
// new client.
func TestSessionLostCommitAnswersForGood(t *testing.T) {
	b := bench.New(t)
	cfg, tap := b.Tapped("a")
	cfg.Client = []kgo.Opt{kgo.Dialer(tap.Dial)}
	b.Write(300)
	s := b.Open(cfg)
	fault := tap.Add(sessionCommits(wiretap.Always, wiretap.DropReply))
	tap.Add(wiretap.Rule{API: kmsg.InitProducerID, Action: wiretap.CallOnRequest, Call: func(wiretap.Event) { fault.Remove() }})
	require.Empty(t, b.Copy(s, 300))
	require.Greater(t, fault.Hits(), 1)
	require.GreaterOrEqual(t, tap.Count(kmsg.InitProducerID), 2) // one more for each CONCURRENT_TRANSACTIONS
	b.RequireOnce()
}

// The broker answers an EndTxn(commit) that it has applied with UNKNOWN_SERVER_ERROR. The client takes that for an abort
// and goes back; the session asks for the group's offsets and finds it committed.
func TestSessionUnknownServerErrorAfterCommit(t *testing.T) {
	b := bench.New(t)
	cfg, tap := b.Tapped("a")
	b.Write(300)
	s := b.Open(cfg)
	rule := sessionCommits(1, wiretap.RewriteError)
	rule.ErrorCode = kerr.UnknownServerError.Code
	fault := tap.Add(rule)
	require.Empty(t, b.Copy(s, 300))
	require.Equal(t, 1, fault.Hits())
	b.RequireOnce()
}
