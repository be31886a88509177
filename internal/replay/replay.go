// Package replay puts dead letters back into the topics they came from, exactly once: it is what `eos-pipe dlq replay`
// does. Each dead letter becomes the record that it was, in the partition that it was in, and the consumer group
// remembers how far the replay came.
package replay

import (
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/processor"
)

// Config says which dead letters go back, and where they may go. All fields but Follow, Observer and Client must be set.
type Config struct {
	BootstrapServers []string
	From             string   // the topic of dead letters
	To               []string // topics that dead letters may go back to; From is not one of them
	Group            string   // remembers what was put back
	TransactionalID  string   // prefix; stays the same over restarts, so that a new process fences its dead predecessor
	Follow           bool     // continue at the end of From, instead of stopping where it ended at the start
	Observer         processor.Observer
	Client           []kgo.Opt
	Logger           *slog.Logger
}

// New returns a processor that puts the dead letters back, or every fault of c joined into one error. It connects to
// nothing before its Run. Run returns nil when all that it has begun is committed. A dead letter that cannot be put
// back stops it with a *processor.RecordError before anything of its batch is put back, unless there is nothing to put
// back (processor.ErrNotRead, processor.ErrNotCopied): such a letter is left out, counted and logged.
func New(c Config) (*processor.Processor, error) {
	return processor.New(processor.Config{
		BootstrapServers: c.BootstrapServers, Group: c.Group, TransactionalID: c.TransactionalID,
		UntilEnd: !c.Follow, Logger: c.Logger,
		Placed: c.To, Observer: c.Observer, Session: eos.Tuning{Client: c.Client},
	}, c.pipe())
}

// pipe returns what happens to a dead letter. A pipe needs a topic in its sink, but this one is never used: each output
// names its own.
func (c Config) pipe() processor.Pipe[[]byte, []byte] {
	r := &reviver{to: c.To, log: c.Logger}
	p := processor.Pipe[[]byte, []byte]{
		Source: processor.From(processor.Bytes(), c.From),
		Handle: processor.Each(r.revive),
		Sink:   processor.To(processor.Bytes(), ""),
	}
	if len(c.To) > 0 {
		p.Sink.Topic = c.To[0]
	}
	return p
}
