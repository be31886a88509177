package logtrace

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/broker/batches"
	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/trace"
)

// RecordConfig says what is read.
type RecordConfig struct {
	Topic       string
	Partitions  []int32 // empty: all
	SkipDigests bool    // the trace does not tell which batches are equal
	Log         *slog.Logger

	// Progress is called once, when it is known how many offsets there are to read; what it returns is told of offsets that were
	// read. nil: nobody is told.
	Progress func(total int64) func(read int64)
}

// Recorded says what was read.
type Recorded struct {
	Topic      string `json:"topic"`
	Partitions int    `json:"partitions"`
	Counts
}

// NoPartitionError says that the topic does not have a partition that was asked for.
type NoPartitionError struct {
	Topic  string
	Number int32
	Count  int // partitions that it has
}

// Error implements error.
func (e *NoPartitionError) Error() string {
	return fmt.Sprintf("topic %s has no partition %d", e.Topic, e.Number)
}

// Record reads the log of a topic, from its start to where it ends now, and writes it as a trace that [Judge] judges. It reads
// one partition after the other and holds one fetch at a time in memory. The client cl should be made with cluster.Options.
//
// The trace is whole only if the error is nil. eos.ErrNoTopic means that the topic does not exist, *[NoPartitionError] that a
// partition does not, and kerr.OffsetOutOfRange that records were deleted while they were read.
func Record(ctx context.Context, cl *kgo.Client, c RecordConfig, to io.Writer) (Recorded, error) {
	r := &recorder{config: c, cl: cl, brokers: cluster.New(cl, cluster.Patience{})}
	if err := r.settled(ctx, r.describe); err != nil {
		return Recorded{}, err
	}
	numbers, err := r.numbers()
	if err != nil {
		return Recorded{}, err
	}
	starts, err := r.offsets(ctx, r.brokers.Starts)
	if err != nil {
		return Recorded{}, err
	}
	ends, err := r.offsets(ctx, r.brokers.Ends)
	if err != nil {
		return Recorded{}, err
	}
	total := int64(0)
	for _, n := range numbers {
		total += ends[n] - starts[n]
	}
	r.progress = func(int64) {}
	if c.Progress != nil {
		r.progress = c.Progress(total)
	}
	return r.write(ctx, bufio.NewWriterSize(to, 1<<16), numbers, starts, ends)
}

// recorder reads the partitions of a topic one after the other.
type recorder struct {
	config   RecordConfig
	cl       *kgo.Client
	brokers  *cluster.Client
	progress func(read int64)

	id      [16]byte        // of the topic
	leaders map[int32]int32 // of its partitions, as they were described last
}

// write writes the whole trace.
func (r *recorder) write(ctx context.Context, to *bufio.Writer, numbers []int32, starts, ends map[int32]int64) (Recorded, error) {
	result := Recorded{Topic: r.config.Topic, Partitions: len(numbers)}
	emit := func(e trace.Event) error {
		_, _ = to.WriteString(e.String()) // the error stays until the next call
		if err := to.WriteByte('\n'); err != nil {
			return fmt.Errorf("cannot write the trace: %w", err)
		}
		return nil
	}
	isCompacted := r.isCompacted(ctx)
	fmt.Fprintf(to, "# The log of %s as eos-pipe record read it. eos-pipe validate judges it.\n", r.config.Topic)
	if err := emit(trace.Time{NowMs: time.Now().UnixMilli()}); err != nil {
		return result, err
	}
	for _, n := range numbers {
		log := &logTrace{partition: trace.Partition{Topic: r.config.Topic, Number: n}, emit: emit}
		if !r.config.SkipDigests {
			log.digest = batches.NewDigester().Digest
		}
		err := log.begin(starts[n], isCompacted)
		if err == nil {
			err = r.read(ctx, log, ends[n])
		}
		if err != nil {
			return result, fmt.Errorf("read %s: %w", log.partition, err)
		}
		result.add(log.counts)
	}
	if err := to.Flush(); err != nil {
		return result, fmt.Errorf("cannot write the trace: %w", err)
	}
	return result, nil
}

// settled asks until what is asked for is there, or its absence is certain: a cluster that has just been made or started has no
// leaders yet.
func (r *recorder) settled(ctx context.Context, try func(context.Context) error) error {
	err := cluster.Await(ctx, cluster.Settle, r.config.Log, "the brokers to know "+r.config.Topic, try)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("%w: %s", eos.ErrNoTopic, r.config.Topic)
	}
	return err
}

// describe asks for the topic's id, its partitions and their leaders.
func (r *recorder) describe(ctx context.Context) error {
	topic, err := r.brokers.TopicNow(ctx, r.config.Topic)
	if err == nil {
		err = kerr.ErrorForCode(topic.ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("ask for topic %s: %w", r.config.Topic, err)
	}
	r.id, r.leaders = topic.TopicID, map[int32]int32{}
	for _, p := range topic.Partitions {
		r.leaders[p.Partition] = p.Leader
	}
	return nil
}

// numbers are the partitions to read, in order.
func (r *recorder) numbers() ([]int32, error) {
	if len(r.config.Partitions) == 0 {
		return slices.Sorted(maps.Keys(r.leaders)), nil
	}
	numbers := slices.Compact(slices.Sorted(slices.Values(r.config.Partitions)))
	for _, n := range numbers {
		if _, isThere := r.leaders[n]; !isThere {
			return nil, &NoPartitionError{r.config.Topic, n, len(r.leaders)}
		}
	}
	return numbers, nil
}

// offsets asks for one kind of offset until the leaders of all partitions have answered.
func (r *recorder) offsets(ctx context.Context, list func(context.Context, ...string) (cluster.Offsets, error)) (map[int32]int64, error) {
	var listed cluster.Offsets
	err := r.settled(ctx, func(ctx context.Context) (err error) {
		listed, err = list(ctx, r.config.Topic)
		return errors.Join(err, listed.Err())
	})
	switch {
	case errors.Is(err, eos.ErrNoTopic):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("list the offsets of %s: %w", r.config.Topic, err)
	}
	byNumber := map[int32]int64{}
	for p, o := range listed {
		byNumber[p.Number] = o.Offset
	}
	return byNumber, nil
}

// isCompacted reports whether the topic's logs may have holes. If that cannot be known they may, so that no hole is taken for a loss.
func (r *recorder) isCompacted(ctx context.Context) bool {
	configs, err := r.brokers.Configs(ctx, r.config.Topic)
	if err == nil && len(configs) == 1 {
		err = configs[0].Err
		for _, c := range configs[0].Configs {
			if c.Key == "cleanup.policy" {
				return strings.Contains(c.MaybeValue(), "compact")
			}
		}
	}
	r.config.Log.Warn("it is not known whether the topic is compacted: missing offsets will not be found", "topic", r.config.Topic, "err", err)
	return true
}
