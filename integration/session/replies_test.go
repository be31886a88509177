package session

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// The answer to a request of any kind is lost, once and three times in a row, the request being applied: nothing is lost,
// nothing is doubled, and the session goes on.
func TestSessionLostAnswers(t *testing.T) {
	for _, api := range []kmsg.Key{
		kmsg.Metadata, kmsg.FindCoordinator, kmsg.InitProducerID, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.OffsetFetch,
		kmsg.Fetch, kmsg.Produce, kmsg.TxnOffsetCommit, kmsg.EndTxn, kmsg.Heartbeat,
	} {
		for _, lost := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s %d", api.Name(), lost), func(t *testing.T) {
				b := bench.New(t)
				b.Write(300)
				cfg, tap := b.Tapped("a")
				cfg.MaxRecords = 50
				cfg.SessionTimeout = 1500 * time.Millisecond // heartbeats every 500 ms
				fault := tap.Add(wiretap.Rule{API: api, Action: wiretap.DropReply, Count: lost})
				s := b.Open(cfg)
				b.Copy(s, 300)
				ctx, cancel := context.WithTimeout(t.Context(), bench.Deadline)
				defer cancel()
				go func() {
					defer cancel()
					select {
					case <-fault.Spent():
					case <-ctx.Done():
					}
				}()
				_, err := s.Poll(ctx) // waits for the faults that come with time
				require.ErrorIs(t, err, context.Canceled)
				b.Write(300)
				b.Copy(s, 300)
				b.RequireOnce()
				require.Equal(t, lost, fault.Hits())
			})
		}
	}
}
