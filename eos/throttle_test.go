package eos

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Where every fetch is throttled for more than a minute and brings nothing, a warning names the quota, the client id and the likely cause,
// once a minute. A fetch that is not throttled begins that minute anew.
func TestThrottledFetchesThatBringNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := &Session{cfg: Config{TransactionalID: "t", Tuning: Tuning{ClientID: "mine"}, Logger: slog.New(slog.NewTextHandler(&log, nil))}, fetch: newFetchSize(1<<20, NewInputBuffer(1<<20, 1), 1)}
		s.throttles = newThrottles(s)
		broker := kgo.BrokerMetadata{NodeID: 1, Host: "broker", Port: 9092}
		warnings := func() int { return strings.Count(log.String(), "nothing can be fetched") }
		throttled := func(d time.Duration) {
			s.throttles.fetched(broker, 0, d)
			<-time.After(d)
		}
		throttled(50 * time.Second)
		s.throttles.fetched(broker, 1000, 0)
		throttled(50 * time.Second)
		throttled(15 * time.Second)
		require.Zero(t, warnings(), log.String())
		throttled(15 * time.Second)
		require.Equal(t, 1, warnings(), log.String())
		throttled(15 * time.Second)
		require.Equal(t, 1, warnings(), "not more than once a minute")
		throttled(time.Minute)
		throttled(time.Second)
		require.Equal(t, 2, warnings())
		require.Contains(t, log.String(), `quota=consumer_byte_rate client_id=mine broker=broker:9092 throttle=15s`)
	})
}
