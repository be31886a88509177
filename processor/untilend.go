package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// endWatch knows where the input ended when it was made, and finds out when the group has committed that far: the
// group, not this process, for other instances may hold some of the partitions.
type endWatch struct {
	p    *Processor
	cl   *kgo.Client
	adm  *kadm.Client
	ends offsets.Set // the last stable offset of each partition when the watch was made
	from offsets.Set // where the group stood then, or the partition's start
}

// watchEnd asks the brokers where the input ends now.
func (p *Processor) watchEnd(ctx context.Context) (*endWatch, error) {
	opts := append([]kgo.Opt{kgo.SeedBrokers(p.cfg.BootstrapServers...)}, p.cfg.Session.Client...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("make a client to watch for the end: %w", err)
	}
	w := &endWatch{p: p, cl: cl, adm: kadm.NewClient(cl), ends: offsets.Set{}, from: offsets.Set{}}
	timeout := p.cfg.Session.ConnectTimeout
	if timeout == 0 {
		timeout = eos.DefaultConnectTimeout
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = cl.Ping(bounded)
	for err != nil && bounded.Err() == nil {
		rest(bounded, betweenTries)
		err = cl.Ping(bounded)
	}
	if err != nil {
		w.close()
		return nil, &eos.Error{Op: "open", Next: eos.Reopen, Err: fmt.Errorf("%w at %v: %w", eos.ErrUnreachable, p.cfg.BootstrapServers, err)}
	}
	err = w.list(bounded)
	for retriable(err) && bounded.Err() == nil { // a new cluster has no coordinator before somebody asked for one
		rest(bounded, betweenTries)
		err = w.list(bounded)
	}
	if err != nil {
		w.close()
		return nil, fmt.Errorf("find the end of the input: %w", err)
	}
	return w, nil
}

// betweenTries is the time between two tries to reach the brokers.
const betweenTries = 100 * time.Millisecond

func retriable(err error) bool {
	e, ok := errors.AsType[*kerr.Error](err)
	return ok && e.Retriable && !errors.Is(err, kerr.UnknownTopicOrPartition)
}

func (w *endWatch) list(ctx context.Context) error {
	topics, err := w.topics(ctx)
	if err != nil {
		return err
	}
	starts, err := w.adm.ListStartOffsets(ctx, topics...)
	if err := errors.Join(err, listed(starts)); err != nil {
		return err
	}
	ends, err := w.adm.ListCommittedOffsets(ctx, topics...)
	if err := errors.Join(err, listed(ends)); err != nil {
		return err
	}
	committed, err := w.committed(ctx)
	if err != nil {
		return err
	}
	ends.Each(func(o kadm.ListedOffset) {
		p := offsets.Partition{Topic: o.Topic, Number: o.Partition}
		start, _ := starts.Lookup(o.Topic, o.Partition)
		w.ends[p], w.from[p] = offsets.NewPosition(o.Offset), offsets.NewPosition(start.Offset)
		if c, ok := committed[p]; ok {
			w.from[p] = c
		}
	})
	return nil
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

// listed returns the first error of a listing; a topic that does not exist is one.
func listed(l kadm.ListedOffsets) error {
	err := l.Error()
	if err != nil {
		l.Each(func(o kadm.ListedOffset) {
			if o.Err != nil {
				err = &eos.Error{Op: "open", Next: eos.Stop, Err: fmt.Errorf("%w: %s", eos.ErrNoTopic, o.Topic)}
			}
		})
	}
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
			if committed.Covers(w.ends) {
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

func (w *endWatch) progress(committed offsets.Set) {
	if w.p.cfg.Progress == nil {
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
	w.p.cfg.Progress(done, total)
}

func (w *endWatch) close() { w.cl.Close() }
