package wire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/broker/script"
	"github.com/eos-pipe/eos-pipe/trace"
)

// Config says what broker to ask, and how.
type Config struct {
	// Address is that of the broker, as host:port.
	Address string
	// Name is new for each script. It is the name of its topic, and what its transactional ids and groups begin with. It begins with a
	// small letter.
	Name string
	// Partitions is how many the topic has; 0: as many as scripts need.
	Partitions int32
	// Provides lists the needs that the cluster was started for, as scripts write them. A script that needs more is left out.
	Provides []string
	// Restart restarts the broker; nil if the script may not.
	Restart func() error
	// ScanMs is how often the cluster looks for transactions that timed out. Scripts wait for a broker that does so every 10 s,
	// Kafka's default, so as much of each wait is left out as it is faster. 0: it need not look.
	ScanMs int64
	// Raised holds ids whose epochs are nearly used up, for the transactional ids that the script raises (their names in RaisedIDs).
	// nil: each epoch is asked for.
	Raised    *RaisedIDs
	RaisesIDs []string
	// IsHistory is for scripts that do not settle after each end of a transaction. A request that could see how far the markers
	// have come then waits for them, and one that is told CONCURRENT_TRANSACTIONS because of them is repeated.
	IsHistory bool
	// Verifying is held while the broker asks the coordinator about a partition. Scripts that run at the same time share it; see
	// KnownDivergences. nil: no other script is asked.
	Verifying sync.Locker
	// RenamesIDs has the producer ids that the broker hands out replaced by 0, 1000, 2000, ..., both ways. For a broker that draws
	// them: scripts tell invented ids from real ones by their size.
	RenamesIDs bool
}

// Broker runs one script on a broker over the network. It belongs to one goroutine.
type Broker struct {
	Config
	ctx     context.Context // of the whole script: the interface of scripts has none
	conn    *conn
	startMs int64

	groups           map[string]*group
	offsetPartitions int32
	raising          map[string]*raising
	ids              renamedIDs
	unsettled        map[string]bool // transactional ids, as scripts write them, whose markers may be under way
	stuck            map[string]bool // those whose markers were refused for good
	hasMarkers       bool            // some markers were written by hand, so real ones may be refused for good
}

var _ script.Broker = (*Broker)(nil)

// LeftOut is an error for something that the broker cannot be asked for or given. It is no answer: the rest of the script is
// left out.
type LeftOut struct{ Why string }

// Error says why.
func (e *LeftOut) Error() string { return e.Why }

// Open makes the topic of a script, and waits until the broker serves it and coordinates. The context bounds all that the script
// then asks.
func Open(ctx context.Context, c Config) (*Broker, error) {
	b := &Broker{
		Config: c, ctx: ctx, conn: newConn(c.Address, "wire"), startMs: time.Now().UnixMilli(),
		groups: map[string]*group{}, raising: map[string]*raising{}, unsettled: map[string]bool{}, stuck: map[string]bool{}, ids: newRenamedIDs(),
	}
	if b.Verifying == nil {
		b.Verifying = new(sync.Mutex)
	}
	if b.Partitions == 0 {
		b.Partitions = script.Partitions
	}
	if err := b.prepare(); err != nil {
		b.Close()
		return nil, fmt.Errorf("prepare for a script: %w", err)
	}
	return b, nil
}

// Close closes the connections. What the script made stays on the broker.
func (b *Broker) Close() {
	for _, g := range b.groups {
		g.close()
	}
	b.conn.close()
}

// StartMs is the time that scripts call +0.
func (b *Broker) StartMs() int64 { return b.startMs }

// Provide reports whether the cluster was started for that.
func (b *Broker) Provide(need string) (bool, error) {
	if need == "restart" {
		return b.Config.Restart != nil, nil
	}
	return slices.Contains(b.Provides, need), nil
}

// Wait waits, without what the cluster's faster scans save.
func (b *Broker) Wait(ms int64) error {
	const longest = 15_000
	if ms > longest {
		return &LeftOut{fmt.Sprintf("nobody waits for %v", time.Duration(ms)*time.Millisecond)}
	}
	if saved := kafkaScanMs - b.ScanMs; ms > saved {
		ms = max(ms-saved, 2*b.ScanMs+1000)
	}
	return b.pause(time.Duration(ms) * time.Millisecond)
}

const kafkaScanMs = 10_000

// Restart restarts the broker.
func (b *Broker) Restart() error {
	b.conn.close()
	clear(b.stuck) // the coordinator tries again
	if err := b.Config.Restart(); err != nil {
		return err
	}
	return b.await()
}

func (b *Broker) pause(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	}
}

// until asks again and again until ok reports true, for a bounded time.
func (b *Broker) until(what string, ok func() (bool, error)) error {
	for began := time.Now(); ; {
		done, err := ok()
		if err != nil || done {
			return err
		}
		if time.Since(began) > answerTimeout {
			return fmt.Errorf("%s: not within %v", what, answerTimeout)
		}
		if err := b.pause(pollInterval); err != nil {
			return err
		}
	}
}

// pollInterval is a fraction of what a broker takes to write markers.
const pollInterval = 3 * time.Millisecond

func (b *Broker) prepare() error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 4, 10_000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = b.Name, b.Partitions, -1
	req.Topics = append(req.Topics, topic)
	// A broker on a busy machine may be late with its heartbeats: for a moment there is none then that could have a replica.
	err := b.until("a broker for the topic", func() (bool, error) {
		resp, err := b.conn.ask(b.ctx, req)
		if err != nil {
			return false, err
		}
		err = kerr.ErrorForCode(resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode)
		if errors.Is(err, kerr.InvalidReplicationFactor) {
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return err
	}
	if err := b.await(); err != nil {
		return err
	}
	return b.countOffsetPartitions()
}

// await waits until the broker leads all partitions of the topic and coordinates.
func (b *Broker) await() error {
	for kind := range int8(2) {
		if err := b.until("a coordinator", func() (bool, error) { return b.hasCoordinator(kind) }); err != nil {
			return err
		}
	}
	for n := range b.Partitions {
		err := b.until("a leader of each partition", func() (bool, error) {
			_, code, err := b.latestOffset(trace.Partition{Topic: b.Name, Number: n}, false)
			return code == trace.None, again(err)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// again forgives a connection that a broker closed while it was starting.
func again(err error) error {
	if errors.Is(err, errClosed) {
		return nil
	}
	return err
}

// hasCoordinator asks for the coordinator of a group (0) or a transactional id (1), which makes the broker create its topic.
func (b *Broker) hasCoordinator(kind int8) (bool, error) {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.Version, req.CoordinatorKey, req.CoordinatorType = 2, b.Name, kind
	resp, err := b.conn.ask(b.ctx, req)
	if err != nil {
		return false, again(err)
	}
	return resp.(*kmsg.FindCoordinatorResponse).ErrorCode == 0, nil
}

// ask sends one request of the script. It is sent again while code, which reads the answer's error code, gives one by which a
// coordinator says that it is not ready. A nil answer without error is a closed connection.
func (b *Broker) ask(req kmsg.Request, code func(kmsg.Response) int16) (resp kmsg.Response, err error) {
	err = b.until("a coordinator that is ready", func() (bool, error) {
		resp, err = b.conn.ask(b.ctx, req)
		if errors.Is(err, errClosed) {
			resp, err = nil, nil
		}
		return err != nil || resp == nil || code == nil || !isStarting(trace.Code(code(resp))), err
	})
	return resp, err
}

func isStarting(c trace.Code) bool {
	return c == trace.CoordinatorLoadInProgress || c == trace.CoordinatorNotAvailable || c == trace.NotCoordinator
}

// txnID is the transactional id on the broker; an empty one stays empty.
func (b *Broker) txnID(name string) string {
	if r := b.raising[name]; r != nil {
		return r.txnID
	}
	if name == "" {
		return ""
	}
	return b.Name + "-" + name
}

// nullTxnID is the same for one that may be null.
func (b *Broker) nullTxnID(name trace.NullString) *string {
	if !name.Valid {
		return nil
	}
	id := b.txnID(name.Value)
	return &id
}

// text is what a nullable string holds, "" if nothing.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
