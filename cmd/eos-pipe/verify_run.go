package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/internal/isolation"
	"github.com/eos-pipe/eos-pipe/internal/jq"
	"github.com/eos-pipe/eos-pipe/internal/millis"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// runVerify compares the two sides of a pipe. nil means that every input record is in the output once; a finding is an
// *exitError with exitFailure.
func runVerify(ctx context.Context, s streams, opts verifyOptions) error {
	if err := opts.open(&opts.ID, &opts.Filter, &opts.Map); err != nil {
		return err
	}
	cl, err := opts.client(ctx, s.Log)
	if err != nil {
		return err
	}
	defer cl.Close()
	v := &verifier{opts: opts, s: s, connect: cl.Opts(), adm: kadm.NewClient(cl), check: checker.New(), lateIDs: map[string]bool{}, topics: map[string]bool{opts.To: true}, pass: jq.Transform{Filter: opts.Filter, Map: opts.Map}}
	result, err := v.run(ctx)
	if err != nil {
		return err
	}
	if err := s.print(result); err != nil {
		return err
	}
	if result.Incomparable {
		return &exitError{
			exitFailure, errors.New("nothing can be said of the output: none of its records says, by the header " + processor.ProvenanceHeader + ", that it comes from the input"),
			"give --id, a jq program that gives the same text for an input record and its output; or run the pipe with --provenance",
		}
	}
	if !result.OK() {
		return &exitError{
			exitFailure, errors.New("the output is not an exactly-once copy of what the group has committed"),
			"examples of each kind are above; were all writers of the output topic this one pipe, and --filter and --map the same?",
		}
	}
	return nil
}

// verifier reads both sides into a checker.
type verifier struct {
	opts verifyOptions
	s    streams
	adm  *kadm.Client

	connect []kgo.Opt // of every client
	check   *checker.Checker
	pass    jq.Transform

	until, later offsets.Set     // what the group had committed before, and after, the output's end was asked for
	lateIDs      map[string]bool // of input records between the two
	topics       map[string]bool // that the pipe writes to
	givenUp      map[place]bool  // input records that are dead letters
	ours, others int64           // records of the output with the header of this pipe, and without or with another's
}

// place is where a record stands.
type place struct {
	partition offsets.Partition
	offset    int64
}

// late says whether a record of the input came between the two questions.
func (v *verifier) late(p offsets.Partition, offset int64) bool {
	return offset >= v.until[p].Offset && offset < v.later[p].Offset
}

// verifyResult is what verify prints.
type verifyResult struct {
	checker.Report
	Open         int  `json:"open"`                   // output partitions in which a transaction is open
	Incomparable bool `json:"incomparable,omitempty"` // no record of the output says that it comes from the input: nothing counts as lost
}

// String returns the counts, and an example of each kind of finding.
func (r verifyResult) String() string {
	lines := append([]string{fmt.Sprintf("%s open=%d", r.Report, r.Open)}, r.Examples...)
	if r.Incomparable {
		lines[0] = "nothing could be compared: " + lines[0]
	}
	return strings.Join(lines, "\n  ")
}

// run reads the input that the group has committed, and then the output.
//
// The pipe may go on meanwhile. All that the group has committed at first is below the output's end, which is asked for
// next; and all that is below that end is committed when the group is asked again. What comes from between the two
// answers of the group is not judged.
func (v *verifier) run(ctx context.Context) (verifyResult, error) {
	if err := v.match(ctx); err != nil {
		return verifyResult{}, err
	}
	for _, topic := range append([]string{v.opts.To}, v.opts.From...) {
		if _, err := v.ends(ctx, topic, v.adm.ListEndOffsets); err != nil {
			return verifyResult{}, err
		}
	}
	var err error
	if v.until, err = v.committed(ctx); err != nil {
		return verifyResult{}, err
	}
	if err := v.deadLetters(ctx); err != nil {
		return verifyResult{}, err
	}
	if err := v.read(ctx, "offsets of the input read", nil, v.until, v.input); err != nil {
		return verifyResult{}, fmt.Errorf("read the input: %w", err)
	}
	result := verifyResult{}
	ends := offsets.Set{}
	for topic := range v.topics {
		open, err := v.outputEnds(ctx, topic, ends)
		if err != nil {
			return verifyResult{}, err
		}
		result.Open += open
	}
	if v.later, err = v.committed(ctx); err != nil {
		return verifyResult{}, err
	}
	if v.opts.ID != nil {
		if err := v.read(ctx, "offsets of the newest input read", v.until, v.later, v.lateInput); err != nil {
			return verifyResult{}, fmt.Errorf("read the input: %w", err)
		}
	}
	if err := v.read(ctx, "offsets of the output read", nil, ends, v.output); err != nil {
		return verifyResult{}, fmt.Errorf("read the output: %w", err)
	}
	v.judge(&result)
	return result, nil
}

// match adds the topics that match --from-pattern to those that the pipe reads. One of which the group has committed nothing yet it has not found
// yet, or not read: there is nothing to compare.
func (v *verifier) match(ctx context.Context) error {
	if v.opts.FromPattern == "" {
		return nil
	}
	var all kadm.TopicDetails
	err := settled(ctx, v.s.Log, "all topics", func(ctx context.Context) (err error) {
		all, err = v.adm.ListTopics(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("ask for all topics: %w", err)
	}
	pipe := eos.Config{TopicPattern: v.opts.FromPattern, Outputs: []string{v.opts.To, v.opts.DeadLetterTopic}}
	matching, err := pipe.Inputs(cluster.Readable(all))
	if err != nil {
		return err
	}
	committed, err := v.stableOffsets(ctx)
	if err != nil {
		return err
	}
	for _, topic := range matching {
		if len(committed[topic]) > 0 && !slices.Contains(v.opts.From, topic) {
			v.opts.From = append(v.opts.From, topic)
		}
	}
	if len(v.opts.From) == 0 {
		return fmt.Errorf("group %s has committed nothing of a topic that matches %q: there is nothing to compare", v.opts.Group, v.opts.FromPattern)
	}
	return nil
}

// deadLetters notes which input records have become dead letters. All of those that the group had committed when it was asked are there.
func (v *verifier) deadLetters(ctx context.Context) error {
	v.givenUp = map[place]bool{}
	if v.opts.DeadLetterTopic == "" {
		return nil
	}
	v.topics[v.opts.DeadLetterTopic] = true
	ends, err := v.stableEnds(ctx, v.opts.DeadLetterTopic)
	if err != nil {
		return err
	}
	err = v.read(ctx, "offsets of the dead letters read", nil, ends, func(_ context.Context, r *kgo.Record) error {
		for _, at := range v.deadLetter(r) {
			v.givenUp[at] = true
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the dead letters: %w", err)
	}
	return nil
}

// deadLetter says which records of the input r is a dead letter of: one, or those of a batch that was not read, if it is a dead letter.
func (v *verifier) deadLetter(r *kgo.Record) (at []place) {
	info, ok := processor.DeadLetterOf(r.Headers)
	if r.Topic != v.opts.DeadLetterTopic || !ok || !slices.Contains(v.opts.From, info.Partition.Topic) {
		return nil
	}
	for offset := info.First; offset <= info.Offset; offset++ {
		at = append(at, place{info.Partition, offset})
	}
	return at
}

// outputEnds adds the last stable offsets of topic to ends, and returns in how many of its partitions a transaction is
// open.
func (v *verifier) outputEnds(ctx context.Context, topic string, ends offsets.Set) (open int, err error) {
	stable, err := v.stableEnds(ctx, topic)
	if err != nil {
		return 0, err
	}
	high, err := v.ends(ctx, topic, v.adm.ListEndOffsets)
	if err != nil {
		return 0, err
	}
	for p, end := range high {
		ends[p] = stable[p]
		if stable[p].Offset < end.Offset {
			open++
		}
	}
	return open, nil
}

// committed returns what the group has committed of the input, after every transaction that may change it has ended.
func (v *verifier) committed(ctx context.Context) (offsets.Set, error) {
	resp, err := v.stableOffsets(ctx)
	if err != nil {
		return nil, err
	}
	set := offsets.Set{}
	for _, topic := range v.opts.From {
		ends, err := v.stableEnds(ctx, topic)
		if err != nil {
			return nil, err
		}
		known := false
		for p, end := range ends {
			if o, ok := resp.Lookup(p.Topic, p.Number); ok && o.At >= 0 {
				known = true
				set[p] = offsets.NewPosition(min(o.At, end.Offset))
			}
		}
		if !known {
			return nil, fmt.Errorf("group %s has committed nothing of topic %s: there is nothing to compare", v.opts.Group, topic)
		}
	}
	return set, nil
}

// stableOffsets asks for all offsets of the group until they are stable and the group has a coordinator: a new cluster has
// none before somebody asks.
func (v *verifier) stableOffsets(ctx context.Context) (resp kadm.OffsetResponses, err error) {
	err = settled(ctx, v.s.Log, "the offsets of group "+v.opts.Group, func(ctx context.Context) (err error) {
		resp, err = v.adm.FetchOffsets(kadm.RequireStable(ctx), v.opts.Group)
		return errors.Join(err, resp.Error())
	})
	switch {
	case errors.Is(err, kerr.GroupIDNotFound): // it has committed nothing
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("fetch the offsets of group %s: %w", v.opts.Group, err)
	}
	return resp, nil
}

func (v *verifier) ends(ctx context.Context, topic string, list func(context.Context, ...string) (kadm.ListedOffsets, error)) (offsets.Set, error) {
	listed, err := listOffsets(ctx, v.s.Log, topic, list)
	if err != nil {
		return nil, err
	}
	set := offsets.Set{}
	listed.Each(func(o kadm.ListedOffset) {
		set[offsets.Partition{Topic: o.Topic, Number: o.Partition}] = offsets.NewPosition(o.Offset)
	})
	return set, nil
}

// stableEnds are how far a reader can come in topic.
func (v *verifier) stableEnds(ctx context.Context, topic string) (offsets.Set, error) {
	return v.ends(ctx, topic, func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
		return cluster.StableEnds(ctx, v.adm, topics...)
	})
}

// read gives every read_committed record from from (nil: the beginning) up to until to each, those of a partition in
// the order of their offsets. what is what the progress calls them.
func (v *verifier) read(ctx context.Context, what string, from, until offsets.Set, each func(context.Context, *kgo.Record) error) error {
	begin := map[string]map[int32]kgo.Offset{}
	left := map[offsets.Partition]span{}
	total := int64(0)
	starts := map[string]offsets.Set{}
	for p, end := range until {
		if starts[p.Topic] == nil {
			var err error
			if starts[p.Topic], err = v.ends(ctx, p.Topic, v.adm.ListStartOffsets); err != nil {
				return err
			}
		}
		at := max(starts[p.Topic][p].Offset, from[p].Offset)
		if at >= end.Offset {
			continue
		}
		if begin[p.Topic] == nil {
			begin[p.Topic] = map[int32]kgo.Offset{}
		}
		begin[p.Topic][p.Number] = kgo.NewOffset().At(at)
		left[p] = span{at, end.Offset}
		total += end.Offset - at
	}
	if len(left) == 0 {
		return nil
	}
	cl, err := kgo.NewClient(append(v.connect, kgo.ConsumePartitions(begin),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NoResetOffset()))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	prog := newProgress(v.s, what, total)
	defer prog.finish()
	return v.drain(ctx, cl, left, prog, each)
}

// span is what is left to read of a partition.
type span struct{ next, end int64 }

// drain reads until every partition of left has come to its end. What lies before an end may be nothing but aborted
// records whose marker is behind it, which never show: a partition that stays silent for a while is at its end.
func (v *verifier) drain(ctx context.Context, cl *kgo.Client, left map[offsets.Partition]span, prog *progress, each func(context.Context, *kgo.Record) error) error {
	held := isolation.Reader{Unlisted: func(topic string, partition int32, a isolation.Aborted) {
		v.s.Log.Warn("the broker gives records of an aborted transaction for committed ones, as its marker says; they do not count here. "+
			"Other readers of this topic may get them: the leader's transaction index is wrong",
			"partition", offsets.Partition{Topic: topic, Number: partition}.String(), "producer_id", a.ProducerID, "first", a.First, "last", a.Last, "records", a.Records)
	}}
	for len(left) > 0 {
		quiet, cancel := context.WithTimeout(ctx, 15*time.Second)
		fetches := cl.PollFetches(quiet)
		silent := quiet.Err() != nil && ctx.Err() == nil
		cancel()
		if silent {
			v.s.Log.Warn("no record comes any more before the end that was asked for; taken as the end", "partitions", len(left))
			return nil
		}
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, r := range held.Records(fetches) {
			p := offsets.Partition{Topic: r.Topic, Number: r.Partition}
			of, reading := left[p]
			if !reading {
				continue
			}
			if r.Offset < of.end && !r.Attrs.IsControl() {
				millis.Restore(r)
				if err := each(ctx, r); err != nil {
					return err
				}
			}
			next := min(r.Offset+1, of.end) // what stands behind the end is not counted
			prog.add(next - of.next)
			if left[p] = (span{next, of.end}); next == of.end {
				delete(left, p)
			}
		}
	}
	return nil
}

// input tells the checker of one input record and how many outputs it must have. --map may send some of them to other
// topics than --to, which are then read as well.
func (v *verifier) input(ctx context.Context, r *kgo.Record) error {
	p := offsets.Partition{Topic: r.Topic, Number: r.Partition}
	record := jq.FromKafka(r)
	outs := []jq.Record{record}
	if !v.givenUp[place{p, r.Offset}] && (v.opts.Filter != nil || v.opts.Map != nil) {
		var err error
		switch outs, err = v.pass.Apply(ctx, record); {
		case err != nil && v.opts.OnError == processor.SkipOnError.String():
			outs = nil
		case err != nil:
			return &exitError{
				exitFailure, fmt.Errorf("%s@%d: %w; the group has committed this record, and nothing is compared", p, r.Offset, err),
				"the pipe has left it out or made a dead letter of it, or ran another program: give verify the --on-error, --dead-letter-topic, --filter and --map of the pipe",
			}
		}
	}
	for _, out := range outs {
		v.topics[cmp.Or(out.To, v.opts.To)] = true
	}
	return v.tellInput(ctx, r, p, len(outs))
}

// lateInput notes the id of an input record whose output is not judged.
func (v *verifier) lateInput(ctx context.Context, r *kgo.Record) error {
	id, err := v.id(ctx, r)
	v.lateIDs[id] = true
	return err
}

func (v *verifier) id(ctx context.Context, r *kgo.Record) (string, error) {
	id, err := v.opts.ID.ID(ctx, jq.FromKafka(r))
	if err != nil {
		return "", fmt.Errorf("--id of %s-%d@%d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	return id, nil
}
