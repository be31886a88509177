package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/eos-pipe/eos-pipe/processor"
)

// reviver makes records of dead letters. Any number of goroutines may use it at once.
type reviver struct {
	to     []string // topics that records may go back to
	log    *slog.Logger
	warned sync.Map // "writer missing" → true: a warning is logged once for each program and each missing part
}

// revive is a processor.Handler. It returns the record that the dead letter was, for the topic and the partition it was
// in. It returns an error by processor.Skip where the letter has nothing to put back, and any other error where its
// headers cannot be read, or name a topic that is not one of r.to.
func (r *reviver) revive(_ context.Context, in processor.Record[[]byte]) ([]processor.Record[[]byte], error) {
	r.warn(in)
	out, err := processor.Revive(in)
	switch {
	case errors.Is(err, processor.ErrNotRead), errors.Is(err, processor.ErrNotCopied):
		return nil, processor.Skip(err)
	case err != nil:
		return nil, err
	}
	if !slices.Contains(r.to, out.To) {
		return nil, fmt.Errorf("it came from topic %s, which --to does not name", out.To)
	}
	return []processor.Record[[]byte]{out}, nil
}

// warn logs what of a record its dead letter does not hold, which cannot be put back.
func (r *reviver) warn(in processor.Record[[]byte]) {
	writer, missing := processor.DeadLetterWriter(in)
	if missing == "" {
		return
	}
	if _, before := r.warned.LoadOrStore(writer+missing, true); !before {
		r.log.Warn("dead letters of "+writer+" do not hold all of a record", "missing", missing,
			"topic", in.Topic, "partition", in.Partition, "offset", in.Offset)
	}
}
