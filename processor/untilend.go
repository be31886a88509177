package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/ask"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// endWatch knows where the input ended when it was made, and finds out when the group has committed that far: the
// group, not this process, for other instances may hold some of the partitions.
type endWatch struct {
	p    *Processor
	cl   *kgo.Client
	adm  *kadm.Client
	ends offsets.Set // how far each partition could be read when the watch was made; see ask.StableEnds
	from offsets.Set // where the group stood then, or the partition's start
	left offsets.Set // of those with an open transaction, where they ended then

	saidPast bool // that an offset is past its log's end
}

// watchEnd asks the brokers where the input ends now: again and again while what is wrong may pass, as it does when a broker starts.
func (p *Processor) watchEnd(ctx context.Context) (*endWatch, error) {
	opts := append([]kgo.Opt{kgo.SeedBrokers(p.cfg.BootstrapServers...), kgo.ClientID(cmp.Or(p.cfg.Session.ClientID, eos.DefaultClientID))}, p.cfg.Session.Client...)
	cl, err := kgo.NewClient(append(opts, ask.Options()...)...)
	if err != nil {
		return nil, fmt.Errorf("make a client to watch for the end: %w", err)
	}
	w := &endWatch{p: p, cl: cl, adm: kadm.NewClient(cl)}
	if err := w.find(ctx); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *endWatch) find(ctx context.Context) error {
	cfg := w.p.cfg
	reach := cmp.Or(cfg.Session.ConnectTimeout, eos.DefaultConnectTimeout)
	if err := ask.For(ctx, reach, cfg.Logger, "a broker that answers", w.cl.Ping); err != nil {
		return &eos.Error{Op: "open", Next: eos.Reopen, Err: fmt.Errorf("%w at %v: %w", eos.ErrUnreachable, cfg.BootstrapServers, err)}
	}
	err := ask.For(ctx, reach, cfg.Logger, "the ends of the input and the group's offsets", w.list)
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return &eos.Error{Op: "open", Next: eos.Stop, Err: fmt.Errorf("%w: %w", eos.ErrNoTopic, err)}
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
	starts, err := w.adm.ListStartOffsets(ctx, topics...)
	if err := errors.Join(err, listed(starts)); err != nil {
		return err
	}
	ends, err := ask.StableEnds(ctx, w.adm, topics...)
	if err := errors.Join(err, listed(ends)); err != nil {
		return err
	}
	highs, err := w.adm.ListEndOffsets(ctx, topics...)
	if err := errors.Join(err, listed(highs)); err != nil {
		return err
	}
	committed, err := w.committed(ctx)
	if err != nil {
		return err
	}
	w.ends, w.from, w.left = offsets.Set{}, offsets.Set{}, offsets.Set{}
	ends.Each(func(o kadm.ListedOffset) {
		p := offsets.Partition{Topic: o.Topic, Number: o.Partition}
		start, _ := starts.Lookup(o.Topic, o.Partition)
		w.ends[p], w.from[p] = offsets.NewPosition(o.Offset), offsets.NewPosition(start.Offset)
		if c, ok := committed[p]; ok {
			w.from[p] = c
		}
		if high, ok := highs.Lookup(o.Topic, o.Partition); ok && high.Offset > o.Offset {
			w.left[p] = offsets.NewPosition(high.Offset)
		}
	})
	return nil
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
	w.p.cfg.Logger.Warn("the end is reached of what could be read when the run began. Transactions of other producers were open on the input then: their records, and what stands behind their first ones, were not waited for; the next run reads on there",
		"left", n, "offsets", w.left.String())
}

// topics returns the input topics that are there now. Where none matches the pattern, the lanes' sessions say so.
func (w *endWatch) topics(ctx context.Context) ([]string, error) {
	if w.p.pattern == "" {
		return w.p.topics, nil
	}
	all, err := w.adm.ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for all topics: %w", err)
	}
	return w.p.lane(0).Inputs(all)
}

// listed returns the first error of a listing, with its topic.
func listed(l kadm.ListedOffsets) (err error) {
	l.Each(func(o kadm.ListedOffset) {
		if err == nil && o.Err != nil {
			err = fmt.Errorf("%s: %w", o.Topic, o.Err)
		}
	})
	return err
}

// committed returns the group's committed offsets.
func (w *endWatch) committed(ctx context.Context) (offsets.Set, error) {
	bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	resp, err := w.adm.FetchOffsets(bounded, w.p.cfg.Group)
	if err != nil {
		w.cl.ForceMetadataRefresh() // the client goes on asking a coordinator that is gone until its metadata is new
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // a group that does not exist yet has committed nothing
		return nil, err
	}
	set := offsets.Set{}
	resp.Each(func(o kadm.OffsetResponse) {
		if o.Err == nil && o.At >= 0 {
			set[offsets.Partition{Topic: o.Topic, Number: o.Partition}] = offsets.NewPosition(o.At)
		}
	})
	return set, nil
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
	ends, err := w.adm.ListEndOffsets(bounded, slices.Compact(past)...)
	if err := errors.Join(err, listed(ends)); err != nil {
		return false // it is asked again
	}
	isWithin := true
	ends.Each(func(o kadm.ListedOffset) {
		if p := (offsets.Partition{Topic: o.Topic, Number: o.Partition}); committed[p].Offset > o.Offset {
			isWithin = false
			if !w.saidPast {
				w.saidPast = true
				w.p.cfg.Logger.Warn("the group's offset is past the end of the log: it is no end that is reached, and the session that has the partition stops for it",
					"group", w.p.cfg.Group, "partition", p.String(), "offset", committed[p].Offset, "log_end", o.Offset)
			}
		}
	})
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
