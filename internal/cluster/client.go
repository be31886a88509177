package cluster

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Client asks brokers with a franz-go client. Each method asks once, where its comment says nothing else, and returns
// when it is answered, at an error, or when ctx ends. After an error that may pass the client's metadata is refreshed:
// it would go on asking a coordinator or a leader that is gone. A Client may be used by many goroutines.
type Client struct {
	cl       *kgo.Client
	adm      *kadm.Client
	patience Patience
	allowed  atomic.Int64 // how long the next question to a coordinator may take, in ns; 0: Patience.First
}

// Patience limits one question to a coordinator. A coordinator that has just died must not cost long, and one that is
// far away must get the time that it needs: so a question that took First in vain gives the next one twice as long, and
// so on up to Most, until one is answered. The zero value leaves the limit to the caller's context.
type Patience struct{ First, Most time.Duration }

// New returns a Client that asks with cl, which stays the caller's to close.
func New(cl *kgo.Client, patience Patience) *Client {
	return &Client{cl: cl, adm: kadm.NewClient(cl), patience: patience}
}

// Reach waits until a broker answers, as Await does.
func (c *Client) Reach(ctx context.Context, patience time.Duration, log *slog.Logger) error {
	return Await(ctx, patience, log, "a broker that answers", c.cl.Ping)
}

// Bound returns a context for one question, limited by the Client's Patience, and what to call with the question's error
// when it is over. Methods that ask a coordinator call it themselves.
func (c *Client) Bound(ctx context.Context) (context.Context, func(error)) {
	if c.patience == (Patience{}) {
		return ctx, func(error) {}
	}
	allowed := max(c.patience.First, time.Duration(c.allowed.Load()))
	bounded, cancel := context.WithTimeout(ctx, allowed)
	return bounded, func(err error) {
		switch {
		case err == nil:
			c.allowed.Store(0)
		case bounded.Err() != nil && ctx.Err() == nil:
			c.allowed.Store(int64(min(2*allowed, c.patience.Most)))
		}
		cancel()
	}
}

// refresh has the metadata refreshed after an error that may pass, and returns the error.
func (c *Client) refresh(err error) error {
	if err != nil && !IsFinal(err) {
		c.cl.ForceMetadataRefresh()
	}
	return err
}
