package logtrace

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/eos-pipe/eos-pipe/trace"
	"github.com/eos-pipe/eos-pipe/validator"
)

// What two batches of equal content that are committed under different sequences or producers are.
const (
	DuplicatesNote   = "note"
	DuplicatesError  = "error"
	DuplicatesIgnore = "ignore" // they are not looked for, which needs less memory
)

// JudgeConfig says how a trace is judged.
type JudgeConfig struct {
	Kafka        string        // as in validator.Config
	Duplicates   string        // one of the constants above
	HangingAfter time.Duration // an open transaction whose newest record is older than this is a finding

	Found    func(Finding) error // is told each finding and note, in the order of the lines; an error ends the judging
	Progress func(lines int64)   // is told of lines that were judged; nil: nobody is
}

// Judge reads a trace to its end and judges it. With a "log" event it is judged as what a topic's log holds, and otherwise as
// requests of clients; such a trace is read whole first, since only its end tells whether it shows what brokers do by
// themselves. An *[UnreadableError] says that in is no trace; other errors are those of ctx, of c.Found and of c.Kafka.
func Judge(ctx context.Context, in io.Reader, c JudgeConfig) (Summary, error) {
	if c.Progress == nil {
		c.Progress = func(int64) {}
	}
	j := &judge{config: c, producers: map[int64]bool{}, partitions: map[trace.Partition]bool{}}
	if err := j.run(ctx, readLines(in)); err != nil {
		return j.count, err
	}
	return j.count, j.end()
}

// judge gives a trace to the validator and tells what it finds.
type judge struct {
	config     JudgeConfig
	validator  *validator.Validator // nil until it is known what the trace is of
	isLog      bool
	count      Summary
	partitions map[trace.Partition]bool
	producers  map[int64]bool
	unfinished trace.Partition // of a log whose end was not there yet; Topic is "" if there is none
}

// run judges every event. The events before the first "log" event are kept until it comes, or until the trace ends.
func (j *judge) run(ctx context.Context, events iter.Seq2[numbered, error]) error {
	var kept []numbered
	for e, err := range events {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		kept = append(kept, e)
		if _, isLog := e.event.(trace.Log); !isLog && !j.isLog {
			continue
		}
		j.isLog = true
		if err := j.observeAll(kept); err != nil {
			return err
		}
		kept = kept[:0]
	}
	return j.observeAll(kept)
}

// observeAll judges events. The first ones decide what the validator is made for. Only a simulator sees what brokers do by
// themselves, and it begins with a new cluster; a client finds one in use.
func (j *judge) observeAll(events []numbered) error {
	if j.validator == nil {
		c := validator.Config{Kafka: j.config.Kafka, IsLog: j.isLog, IgnoresContents: j.config.Duplicates == DuplicatesIgnore}
		c.HasSteps = !j.isLog && slices.ContainsFunc(events, isStep)
		var err error
		if j.validator, err = validator.New(c); err != nil {
			return err
		}
	}
	for _, e := range events {
		if err := j.observe(e); err != nil {
			return err
		}
	}
	return nil
}

// isStep reports whether the event is something that brokers do by themselves.
func isStep(e numbered) bool {
	switch e.event.(type) {
	case trace.Marker, trace.Complete, trace.Drop:
		return true
	}
	return false
}

func (j *judge) observe(e numbered) error {
	j.config.Progress(1)
	j.count.Events++
	switch of := e.event.(type) {
	case trace.Log:
		if err := j.finished(); err != nil {
			return err
		}
		j.partitions[of.Partition], j.unfinished = true, of.Partition
	case trace.Fetch:
		if of.Partition == j.unfinished && of.Offset == of.Next {
			j.unfinished = trace.Partition{}
		}
	case trace.Produce:
		j.partitions[of.Partition] = true
		if of.Producer.ID >= 0 {
			j.producers[of.Producer.ID] = true
		}
	}
	for _, f := range j.validator.Observe(e.event) {
		if err := j.tell(findingOf(e.line, f, j.config.Duplicates)); err != nil {
			return err
		}
	}
	return nil
}

func (j *judge) tell(f Finding) error {
	if f.Type == typeNote {
		j.count.Notes++
	} else {
		j.count.Findings++
	}
	return j.config.Found(f)
}

// finished tells if the log before was cut off, as by a recorder that has failed: nothing else would show what is missing at
// its end.
func (j *judge) finished() error {
	if j.unfinished.Topic == "" {
		return nil
	}
	return j.tell(Finding{
		Type: typeFinding, Class: "incomplete trace", Expected: fmt.Sprintf("a fetch at the end of %s", j.unfinished), Seen: "none",
		Rule: "the trace of a log ends with a fetch from where the log ends", Source: "eos-pipe record", IsCertain: true,
	})
}

// end tells which transactions are open where the logs end, and completes the counts.
func (j *judge) end() error {
	for _, f := range j.validator.Open(j.config.HangingAfter) {
		j.count.Open++
		if err := j.tell(findingOf(0, f, j.config.Duplicates)); err != nil {
			return err
		}
	}
	if err := j.finished(); err != nil {
		return err
	}
	j.count.Type, j.count.Partitions, j.count.Producers = "summary", len(j.partitions), len(j.producers)
	return nil
}
