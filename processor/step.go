package processor

import "context"

// Step is what a Pipe does with its records. It is one of:
//
//   - a [Handler], which works record by record: [Map], [MapRecord], [MapKey], [Filter] and [FlatMap] return one, and
//     [Each] makes one of a function;
//   - a [BatchHandler], which works on many records at once: [Batches] makes one of a function.
//
// Only this package can implement it.
type Step[In, Out any] interface {
	// newWork returns what one lane of a processor with cfg does with the batches of pipe p.
	newWork(p Pipe[In, Out], cfg Config) work
}

// Each returns f as a Handler. It is needed where a bare function becomes Pipe.Handle, and infers the types from f.
func Each[In, Out any](f func(ctx context.Context, in Record[In]) ([]Record[Out], error)) Handler[In, Out] {
	return f
}

// Batches returns f as a BatchHandler. It is needed where a bare function becomes Pipe.Handle, and infers the types
// from f.
func Batches[In, Out any](f func(ctx context.Context, in []Record[In]) ([]Record[Out], error)) BatchHandler[In, Out] {
	return f
}

func (h Handler[In, Out]) newWork(p Pipe[In, Out], cfg Config) work {
	return &stages[In, Out]{Pipe: p, cfg: cfg, each: h}
}

func (h BatchHandler[In, Out]) newWork(p Pipe[In, Out], cfg Config) work {
	return &stages[In, Out]{Pipe: p, cfg: cfg, batches: h}
}

// copies reports whether the pipe has no handler, and so hands its records on as they are.
func (p Pipe[In, Out]) copies() bool {
	switch h := p.Handle.(type) {
	case nil:
		return true
	case Handler[In, Out]:
		return h == nil
	case BatchHandler[In, Out]:
		return h == nil
	}
	return false
}

// newWork returns what one lane of a processor with cfg does with the batches of p.
func (p Pipe[In, Out]) newWork(cfg Config) work {
	if p.copies() {
		same, _ := any(func(r Record[In]) Record[In] { return r }).(func(Record[In]) Record[Out])
		return &stages[In, Out]{Pipe: p, cfg: cfg, same: same}
	}
	return p.Handle.newWork(p, cfg)
}
