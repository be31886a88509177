package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
)

var discard = slog.New(slog.DiscardHandler)

// cutShort is what a connection says that its context's deadline has ended.
var cutShort = &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}

// What passes is tried again until it is answered; what is final is returned at once; what does not pass is returned as it was, and not as the
// last try, which the deadline cuts short, says it.
func TestAwait(t *testing.T) {
	t.Parallel()
	eof := fmt.Errorf("dial: %w", io.EOF)
	for _, test := range []struct {
		name  string
		tries []error // the last one again and again; nil in it is success
		want  error
		took  time.Duration // at least; at most a second more
	}{
		{"it passes", []error{kerr.NotCoordinator, io.EOF, kerr.UnknownTopicOrPartition, kerr.UnknownServerError, kerr.LeaderNotAvailable, nil}, nil, 0},
		{"refused for good", []error{eof, kerr.SaslAuthenticationFailed}, kerr.SaslAuthenticationFailed, 0},
		{"said to be final", []error{Final(eof)}, io.EOF, 0},
		{"no such topic", []error{kerr.UnknownTopicOrPartition}, kerr.UnknownTopicOrPartition, NewTopic},
		{"it does not pass", []error{eof}, io.EOF, 10 * time.Second},
		{"a broker answers, and it does not pass", []error{kerr.NotCoordinator}, kerr.NotCoordinator, Settle},
		{"the last try is cut short", []error{eof, errHang}, io.EOF, 10 * time.Second},
		{"the last try says so itself", []error{eof, errHangNet}, io.EOF, 10 * time.Second},
		{"the first try is cut short", []error{errHang}, context.DeadlineExceeded, 10 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began, n := time.Now(), 0
				err := Await(t.Context(), 10*time.Second, discard, "it", func(ctx context.Context) error {
					answer := test.tries[min(n, len(test.tries)-1)]
					n++
					if errors.Is(answer, errHang) || errors.Is(answer, errHangNet) {
						<-ctx.Done()
						if errors.Is(answer, errHangNet) {
							return cutShort
						}
						return ctx.Err()
					}
					return answer
				})
				require.ErrorIs(t, err, test.want)
				require.GreaterOrEqual(t, time.Since(began), test.took)
				require.Less(t, time.Since(began), test.took+2*time.Second)
			})
		})
	}
}

var errHang, errHangNet = errors.New("hang"), errors.New("hang until the connection says so")

// A wait is said once, with what is waited for and why; one that is over before is not.
func TestLogSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		log := slog.New(slog.NewTextHandler(&said, nil))
		calls := 0
		fail := func(context.Context) error {
			if calls++; calls < 3 {
				return kerr.CoordinatorNotAvailable
			}
			return nil
		}
		require.NoError(t, Await(t.Context(), time.Minute, log, "the coordinator", fail))
		require.Empty(t, said.String())
		require.Error(t, Await(t.Context(), 10*time.Second, log, "the coordinator", func(context.Context) error { return kerr.CoordinatorNotAvailable }))
		require.Equal(t, 1, bytes.Count(said.Bytes(), []byte("\n")))
		require.Contains(t, said.String(), `level=INFO msg="waiting for the coordinator" waited=2s err="COORDINATOR_NOT_AVAILABLE: `)
	})
}

// The waits grow to the longest one; a final error and the end of the context each end the tries with the last error.
func TestRetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var at, waits []time.Duration
		r := Retry{First: 10 * time.Millisecond, Longest: 40 * time.Millisecond, Again: func(_ error, wait time.Duration) { waits = append(waits, wait) }}
		err := r.Until(t.Context(), func(context.Context) error {
			if at = append(at, time.Since(began)); len(at) < 5 {
				return io.EOF
			}
			return kerr.SaslAuthenticationFailed
		})
		require.ErrorIs(t, err, kerr.SaslAuthenticationFailed)
		ms := func(all ...time.Duration) (in []time.Duration) {
			for _, d := range all {
				in = append(in, d*time.Millisecond)
			}
			return in
		}
		require.Equal(t, ms(0, 10, 30, 70, 110), at)
		require.Equal(t, ms(10, 20, 40, 40), waits)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Equal(t, io.EOF, r.Until(ctx, func(context.Context) error { return io.EOF }))
		r.IsFinal = func(err error) bool { return errors.Is(err, io.EOF) }
		require.Equal(t, io.EOF, r.Until(t.Context(), func(context.Context) error { return io.EOF }))
		require.NoError(t, r.Until(t.Context(), func(context.Context) error { return nil }))
	})
}
