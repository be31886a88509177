package schedules

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// life is one process: a session or a processor behind a tap of its own.
type life struct {
	m         *member
	number    int
	tap       *wiretap.Tap
	ctx       context.Context
	cancel    context.CancelFunc
	abandoned chan struct{} // closed by a crash
	once      sync.Once
	comeback  time.Duration
	final     atomic.Bool // nobody starts it again
	slow      atomic.Int32
	fail      atomic.Int32
	frozen    atomic.Pointer[chan struct{}]
	clients   clients
}

// clients are those that a life has made. It is a hook of each.
type clients struct {
	mu   sync.Mutex
	made []*kgo.Client
}

// OnNewClient implements kgo.HookNewClient.
func (c *clients) OnNewClient(cl *kgo.Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made = append(c.made, cl)
}

// ignore has the clients that there are stop to fetch a partition.
func (c *clients) ignore(partition int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cl := range c.made {
		cl.PauseFetchPartitions(map[string][]int32{input: {partition}})
	}
}

// attempt is one call of Commit.
type attempt struct {
	outputs int
	known   bool
	outcome eos.Outcome
}

// tuning is that of every session.
func (l *life) tuning() eos.Tuning {
	w := l.m.w
	opts := []kgo.Opt{
		kgo.Dialer(l.dial),
		kgo.WithHooks(&l.clients),
		kgo.FetchMaxWait(2 * time.Second), // fewer requests: what is waiting for them to pass is most of the work
		kgo.RetryBackoffFn(func(n int) time.Duration { return min(time.Duration(n)*50*time.Millisecond, time.Second) }),
	}
	if w.plan.Retries > 0 {
		opts = append(opts, kgo.RequestRetries(w.plan.Retries))
	}
	protocol := eos.ClassicProtocol
	if w.plan.Consumer {
		protocol = eos.ConsumerProtocol
	}
	return eos.Tuning{
		GroupProtocol: protocol, MaxRecords: w.plan.Batch, SessionTimeout: sessionTimeout, TransactionTimeout: transactionTimeout, Client: opts,
	}
}

// observer is that of every session.
func (l *life) observer() eos.Observer {
	w := l.m.w
	return eos.Observer{Transition: func(t eos.Transition) {
		w.log("%s.%d %v -> %v txn %d: %v", l.m.id, l.number, t.From, t.To, t.Txn, t.Err)
		w.did(t)
	}}
}

// run is the whole life. Half of all members use the session, half the processor.
func (l *life) run() error {
	focus := l.m.w.plan.Focus
	if focus == Errors || (uint64(l.m.number)+l.m.w.plan.Seed)%2 == 0 && focus != Handlers {
		return l.session()
	}
	return l.processor()
}

func (l *life) session() error {
	cfg := eos.Config{Tuning: l.tuning(), Observer: l.observer()}
	cfg.BootstrapServers, cfg.Group, cfg.TransactionalID = l.m.w.addresses(), group, l.m.id+"-0"
	cfg.Topics, cfg.Outputs = []string{input}, []string{output, dead}
	cfg.Logger = slog.New(slog.DiscardHandler)
	s, err := eos.Open(l.ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			l.m.w.log("%s.%d close: %v", l.m.id, l.number, err)
		}
	}()
	for l.ctx.Err() == nil {
		if err := l.batch(s); err != nil {
			e, ok := errors.AsType[*eos.Error](err)
			if !ok || e.Next != eos.PollAgain {
				return err
			}
			rest(l.ctx, 20*time.Millisecond)
		}
	}
	return nil
}

func (l *life) batch(s *eos.Session) error {
	b, err := s.Poll(l.ctx)
	if err != nil {
		return err
	}
	if l.handle() != nil {
		return nil // a batch that is not committed comes again
	}
	w := l.m.w
	id := w.attempt()
	sent := 0
	err = s.Commit(l.ctx, b, func(yield func(*kgo.Record) bool) {
		for _, r := range b.Records {
			n := outputsOf(r.Value)
			for i := range n {
				out := &kgo.Record{Topic: output, Partition: r.Partition, Value: provenance(r.Partition, r.Offset, i, n, id)}
				if isPoison(r.Value) {
					out = deadLetter(r, id)
				}
				if sent++; !yield(out) {
					return
				}
			}
		}
		if take(&l.slow) {
			w.fire(kind{act: slow}, 1)
			w.pause(transactionTimeout + time.Second)
		}
	})
	w.ended(id, sent, err)
	return err
}

// handle is what happens before every commit: a stopped process stands still, and a handler may fail.
func (l *life) handle() error {
	for {
		frozen := l.frozen.Load()
		if frozen == nil {
			break
		}
		<-*frozen
		l.frozen.CompareAndSwap(frozen, nil)
	}
	if take(&l.fail) {
		l.m.w.fire(kind{act: failure}, 1)
		return errors.New("the handler fails")
	}
	return nil
}

// processor is a life that uses package processor. It says nothing of its transactions: their attempt is -1.
func (l *life) processor() error {
	p, err := processor.New(processor.Config{
		BootstrapServers: l.m.w.addresses(), Group: group, TransactionalID: l.m.id, InstanceID: l.m.id, DeadLetterTopic: dead,
		Logger:   slog.New(slog.DiscardHandler),
		Observer: processor.Observer{Session: l.observer()},
		Session:  l.tuning(),
	}, processor.Pipe[[]byte, []byte]{
		Source: processor.From(processor.Bytes(), input),
		Sink:   processor.To(processor.Bytes(), output),
		Handle: processor.Each(l.handler),
	})
	if err != nil {
		return err
	}
	crashed := make(chan struct{})
	defer close(crashed)
	go func() {
		select {
		case <-l.abandoned:
			p.Abort()
		case <-crashed:
		}
	}()
	return p.Run(l.ctx)
}

func (l *life) handler(_ context.Context, in processor.Record[[]byte]) (outs []processor.Record[[]byte], err error) {
	if err := l.handle(); err != nil {
		return nil, err
	}
	n := outputsOf(in.Value)
	if isPoison(in.Value) {
		return nil, processor.DeadLetter(errPoison)
	}
	if n == 0 && in.Offset%2 == 0 {
		return nil, processor.Skip(errors.New("it asks for no output"))
	}
	for i := range n {
		outs = append(outs, processor.With(in, provenance(in.Partition, in.Offset, i, n, -1)))
	}
	return outs, nil
}

// crash leaves the process as SIGKILL would: what it sends from now on goes nowhere.
func (l *life) crash() {
	l.once.Do(func() {
		l.tap.Cut()
		l.cancel()
		close(l.abandoned)
	})
}

// take takes one from a counter, if there is one.
func take(c *atomic.Int32) bool {
	for {
		n := c.Load()
		if n == 0 {
			return false
		}
		if c.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// provenance is the value of an output: where it comes from, and in which attempt it was written.
func provenance(partition int32, offset int64, index, count, attempt int) []byte {
	return fmt.Appendf(nil, "%d %d %d %d %d", partition, offset, index, count, attempt)
}

// attemptHeader says of a dead letter in which attempt it was written.
const attemptHeader = "attempt"

// deadLetter is what a session that is not a processor's makes of a poisonous record.
func deadLetter(r *kgo.Record, attempt int) *kgo.Record {
	out := processor.NewDeadLetter(r, dead, &processor.RecordError{
		Stage: "handle", Partition: offsets.Partition{Topic: r.Topic, Number: r.Partition}, Offset: r.Offset, Attempts: 1, Err: errPoison,
	})
	out.Headers = append(out.Headers, kgo.RecordHeader{Key: attemptHeader, Value: fmt.Append(nil, attempt)})
	return out
}

var errPoison = errors.New("it is poison")

// attempt returns the number of a new attempt.
func (w *world) attempt() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attempts = append(w.attempts, attempt{})
	return len(w.attempts) - 1
}

// ended notes what Commit has said.
func (w *world) ended(id, outputs int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := attempt{outputs: outputs, known: true, outcome: eos.Committed}
	if err != nil {
		w.result.Failures++
		e, ok := errors.AsType[*eos.Error](err)
		if a.known = ok && (e.Outcome == eos.Committed || e.Outcome == eos.Aborted); a.known {
			a.outcome = e.Outcome // may be committed, where the session cannot go on afterwards
		}
	} else {
		w.result.Commits++
	}
	w.attempts[id] = a
}

func (w *world) addresses() (as []string) {
	for i := range w.plan.Brokers {
		as = append(as, fmt.Sprintf("localhost:%d", 9092+i))
	}
	return as
}

// dial takes some time also where nobody listens. franz-go asks at once for a coordinator that it cannot reach when a request of
// transaction.version 1 is to be sent again; without, time would stand still while it does.
func (l *life) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := l.tap.Dial(ctx, network, address)
	if err != nil {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
		}
		return nil, err
	}
	return latent{conn}, nil
}

// latent is a connection on which an answer takes some time. Where a leader has moved (KIP-951), franz-go fetches again and again
// until its metadata is new, each time with one more goroutine; without, time would stand still while it does.
type latent struct{ net.Conn }

const latency = 50 * time.Microsecond

func (c latent) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	<-time.After(latency)
	return n, err
}
