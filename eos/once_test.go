package eos_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// endsUnnoticed is a context that has ended when the client tells of an error, and does not wake it.
type endsUnnoticed struct {
	context.Context
	ended *atomic.Bool
}

func (c endsUnnoticed) Done() <-chan struct{} { return nil }

func (c endsUnnoticed) Err() error {
	if c.ended.Load() {
		return context.Canceled
	}
	return nil
}

// errorsTold is a logger of the client that ends a context when the client has an error to tell.
type errorsTold struct{ ended *atomic.Bool }

func (errorsTold) Level() kgo.LogLevel { return kgo.LogLevelInfo }

func (l errorsTold) Log(_ kgo.LogLevel, msg string, _ ...any) {
	if strings.Contains(msg, "injecting fake fetch") {
		l.ended.Store(true)
	}
}

// An error that the client tells once, to a Poll whose context has just ended, is not forgotten: the next Poll returns it.
func TestErrorToAPollThatEnds(t *testing.T) {
	b := setup(t)
	b.produce(30)
	cfg, tap := b.tapped()
	var ended atomic.Bool
	cfg.Client = append(cfg.Client, kgo.WithLogger(errorsTold{&ended}))
	// The group is asked for its offsets as soon as the member has its partitions.
	tap.Add(wiretap.Rule{API: kmsg.SyncGroup, Action: wiretap.CallOnReply, Call: func(wiretap.Event) {
		tap.Add(wiretap.Rule{API: kmsg.OffsetFetch, Action: wiretap.RewriteError, ErrorCode: kerr.TopicAuthorizationFailed.Code})
	}})
	s := b.open(cfg)
	_, err := s.Poll(endsUnnoticed{t.Context(), &ended})
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Poll(t.Context())
	require.ErrorIs(t, err, kerr.TopicAuthorizationFailed)
	require.Equal(t, eos.Stop, nextOf(err))
}
