package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// endWatch knows where the input ended when it was made, and finds out when the group has committed that far: the
// group, not this process, for other instances may hold some of the partitions.
type endWatch struct {
	p    *Processor
	cl   *kgo.Client
	ask  *cluster.Client
	ends offsets.Set // how far each partition could be read when the watch was made; see cluster.Client.Readable
	from offsets.Set // where the group stood then, or the partition's start
	left offsets.Set // of those with an open transaction, where they ended then

	saidPast bool // that an offset is past its log's end
}

// coordinatorPatience is for one question for the group's offsets.
var coordinatorPatience = cluster.Patience{First: 5 * time.Second, Most: 5 * time.Second}

// watchEnd asks the brokers where the input ends now: again and again while what is wrong may pass, as it does when a broker starts.
func (p *Processor) watchEnd(ctx context.Context) (*endWatch, error) {
	opts := append([]kgo.Opt{kgo.SeedBrokers(p.cfg.BootstrapServers...), kgo.ClientID(cmp.Or(p.cfg.Session.ClientID, eos.DefaultClientID))}, p.cfg.Session.Client...)
	cl, err := kgo.NewClient(append(opts, cluster.Options()...)...)
	if err != nil {
		return nil, fmt.Errorf("make a client to watch for the end: %w", err)
	}
	w := &endWatch{p: p, cl: cl, ask: cluster.New(cl, coordinatorPatience)}
	if err := w.find(ctx); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *endWatch) find(ctx context.Context) error {
	cfg := w.p.cfg
	reach := cmp.Or(cfg.Session.ConnectTimeout, eos.DefaultConnectTimeout)
	if err := w.ask.Reach(ctx, reach, cfg.Logger); err != nil {
		return &eos.Error{Op: "open", Outcome: eos.NotAttempted, Next: eos.Reopen, Err: fmt.Errorf("%w at %v: %w", eos.ErrUnreachable, cfg.BootstrapServers, err)}
	}
	err := cluster.Await(ctx, reach, cfg.Logger, "the ends of the input and the group's offsets", w.list)
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return &eos.Error{Op: "open", Outcome: eos.NotAttempted, Next: eos.Stop, Err: fmt.Errorf("%w: %w", eos.ErrNoTopic, err)}
	case err != nil:
		return fmt.Errorf("find the end of the input: %w", err)
	}
	return nil
}

// list asks once. It fills in both sets, or neither.
func (w *endWatch) list(ctx context.Context) error {
	topics, err := w.topics(ctx)
	if err != nil {
		return err
	}
	starts, err := answered(w.ask.Starts(ctx, topics...))
	if err != nil {
		return err
	}
	ends, err := answered(w.ask.Readable(ctx, topics...))
	if err != nil {
		return err
	}
	highs, err := answered(w.ask.Ends(ctx, topics...))
	if err != nil {
		return err
	}
	committed, err := w.committed(ctx)
	if err != nil {
		return err
	}
	w.ends, w.from, w.left = offsets.Set{}, offsets.Set{}, offsets.Set{}
	for p, end := range ends {
		w.ends[p], w.from[p] = offsets.NewPosition(end.Offset), offsets.NewPosition(starts[p].Offset)
		if c, ok := committed[p]; ok {
			w.from[p] = c
		}
		if high, ok := highs[p]; ok && high.Offset > end.Offset {
			w.left[p] = offsets.NewPosition(high.Offset)
		}
	}
	return nil
}

// answered returns an error if any partition has one.
func answered(o cluster.Offsets, err error) (cluster.Offsets, error) {
	return o, errors.Join(err, o.Err())
}

// sayLeft says what is not waited for: what stood behind an open transaction of others when the watch was made.
func (w *endWatch) sayLeft() {
	if len(w.left) == 0 {
		return
	}
	var n int64
	for p, high := range w.left {
		n += high.Offset - w.ends[p].Offset
	}
	w.p.cfg.Logger.Warn("the run has reached the end of what could be read when it began. Other producers had transactions open on the input then: the run did not wait for their records and for what follows the first of them; the next run continues there",
		"left", n, "offsets", w.left.String())
}

// topics returns the input topics that are there now. Where none matches the pattern, the lanes' sessions say so.
func (w *endWatch) topics(ctx context.Context) ([]string, error) {
	if w.p.pattern == "" {
		return w.p.topics, nil
	}
	all, err := w.ask.Topics(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for all topics: %w", err)
	}
	return w.p.lane(0).Inputs(cluster.Readable(all))
}

// committed returns the group's committed offsets.
func (w *endWatch) committed(ctx context.Context) (offsets.Set, error) {
	committed, err := w.ask.Committed(ctx, w.p.cfg.Group)
	return committed.Set(), err
}

// wait returns when the group has committed as far as the ends, or when ctx ends.
func (w *endWatch) wait(ctx context.Context) {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		committed, err := w.committed(ctx)
		if err == nil {
			w.progress(committed)
			if committed.Covers(w.ends) && w.isWithinLogs(ctx, committed) {
				w.sayLeft()
				return
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// isWithinLogs says whether no committed offset is past the end of its log. One that is, is no end that was reached: the log was truncated, or the
// offset was set by hand. The session that has the partition finds it with its first fetch, and stops.
func (w *endWatch) isWithinLogs(ctx context.Context, committed offsets.Set) bool {
	var past []string
	for p, end := range w.ends {
		if committed[p].Offset > end.Offset {
			past = append(past, p.Topic)
		}
	}
	if len(past) == 0 {
		return true
	}
	slices.Sort(past)
	bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ends, err := answered(w.ask.Ends(bounded, slices.Compact(past)...))
	if err != nil {
		return false // it is asked again
	}
	isWithin := true
	for p, end := range ends {
		if committed[p].Offset > end.Offset {
			isWithin = false
			if !w.saidPast {
				w.saidPast = true
				w.p.cfg.Logger.Warn("the group's offset is past the end of the log: this is not an end that the run has reached, and the session that has the partition stops",
					"group", w.p.cfg.Group, "partition", p.String(), "offset", committed[p].Offset, "log_end", end.Offset)
			}
		}
	}
	return isWithin
}

func (w *endWatch) progress(committed offsets.Set) {
	if w.p.cfg.Observer.Progress == nil {
		return
	}
	var done, total int64
	for p, end := range w.ends {
		from := w.from[p].Offset
		total += max(end.Offset-from, 0)
		if c, ok := committed[p]; ok {
			done += max(min(c.Offset, end.Offset)-from, 0)
		}
	}
	w.p.cfg.Observer.Progress(Progress{done, total})
}

func (w *endWatch) close() { w.cl.Close() }
