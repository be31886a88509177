package monitor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// lag is what the brokers have told of the process's partitions.
type lag struct {
	at  time.Time // when they were last asked with success; zero: never
	err string    // why they were not since; "": nothing
	of  map[offsets.Partition]partitionLag
}

// partitionLag is where the group and the log of one partition stand. committed was asked first, high last, so that they do not
// decrease in this order.
type partitionLag struct{ committed, stable, high int64 }

// toStable is what the group could read and has not processed: records, and the markers of transactions, by offset.
func (p partitionLag) toStable() int64 { return max(p.stable-p.committed, 0) }

// toHigh is toStable with what stands behind the first open transaction, which nobody can read before that is ended.
func (p partitionLag) toHigh() int64 { return max(p.high-p.committed, 0) }

// askTimeout bounds the questions of one look.
const askTimeout = 10 * time.Second

// watcher asks for the lag every now and then, and keeps the history. It asks with a client of its own, so that the figures are right
// whatever the sessions do.
type watcher struct {
	m      *Monitor
	cl     *kgo.Client
	ask    *cluster.Client
	group  string
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// watch starts a watcher. The caller holds Monitor.mu.
func (m *Monitor) watch(servers []string, client []kgo.Opt) (*watcher, error) {
	opts := append([]kgo.Opt{kgo.SeedBrokers(servers...)}, client...)
	cl, err := kgo.NewClient(append(opts, cluster.Options()...)...)
	if err != nil {
		return nil, fmt.Errorf("make a client to watch the lag: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{m: m, cl: cl, ask: cluster.New(cl, cluster.Patience{}), group: m.state.group, cancel: cancel}
	w.done.Go(func() { w.watchLag(ctx) })
	w.done.Go(func() { w.sample(ctx) })
	return w, nil
}

func (w *watcher) close() {
	w.cancel()
	w.done.Wait()
	w.cl.Close()
}

func (w *watcher) watchLag(ctx context.Context) {
	ticker := time.NewTicker(w.m.cfg.LagInterval)
	defer ticker.Stop()
	for {
		w.look(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// look asks once.
func (w *watcher) look(ctx context.Context) {
	w.m.mu.Lock()
	owned := slices.SortedFunc(maps.Keys(w.m.state.owners()), offsets.Partition.Compare)
	w.m.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	found, err := w.find(bounded, owned)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		w.m.cfg.Logger.Debug("the lag cannot be asked", "group", w.group, "err", err)
		found = lag{err: err.Error()}
	}
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.m.state.looked(time.Now(), found)
}

// find asks for the committed offsets of the group first, then for the ends.
func (w *watcher) find(ctx context.Context, owned []offsets.Partition) (lag, error) {
	found := lag{of: map[offsets.Partition]partitionLag{}}
	if len(owned) == 0 {
		err := w.cl.Ping(ctx)
		found.at = time.Now()
		return found, err
	}
	var topics []string
	for _, p := range owned {
		topics = append(topics, p.Topic)
	}
	topics = slices.Compact(topics)
	committed, err := w.ask.Committed(ctx, w.group)
	if err != nil {
		return found, fmt.Errorf("fetch the offsets of group %s: %w", w.group, err)
	}
	stable, err := w.ask.Readable(ctx, topics...)
	if err != nil {
		return found, fmt.Errorf("list the last stable offsets: %w", err)
	}
	high, err := w.ask.Ends(ctx, topics...)
	if err != nil {
		return found, fmt.Errorf("list the high watermarks: %w", err)
	}
	for _, p := range owned {
		c, ok := committed[p]
		if err := errors.Join(c.Err, stable[p].Err, high[p].Err); err != nil {
			return found, fmt.Errorf("offsets of %s: %w", p, err)
		}
		if ok && c.Offset >= 0 { // a partition just assigned has a committed offset in a moment
			found.of[p] = partitionLag{committed: c.Offset, stable: stable[p].Offset, high: high[p].Offset}
		}
	}
	found.at = time.Now()
	return found, nil
}
