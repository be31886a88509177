package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/eos-pipe/eos-pipe/codec/internal/memo"
)

// Config says where the registry is and how patient to be with it. The zero Config asks http://localhost:8081.
type Config struct {
	// URLs of the registry's instances; where one cannot be reached the next is asked. Default: http://localhost:8081.
	URLs []string
	// Client are further options of the client, applied last: sr.BasicAuth, sr.BearerToken, sr.DialTLSConfig, sr.HTTPClient,
	// sr.DefaultParams(sr.Normalize), ...
	Client []sr.ClientOpt
	// RequestTimeout bounds each request. Default: 5 s.
	RequestTimeout time.Duration
	// Attempts is how often one question is asked before the registry counts as not available. Default: 3. Only what may
	// pass is asked again: no answer, 408, 429 and 5xx.
	Attempts int
}

// Registry reads schemas by their id, and finds or registers those of writers. It is safe for many goroutines at once,
// and needs no closing.
type Registry struct {
	client   *sr.Client
	timeout  time.Duration
	attempts int
	schemas  memo.Memo[int, Schema]
}

// Schema is a schema as it stands in the registry, with all that it refers to. It is shared: do not change it.
type Schema struct {
	sr.Schema
	// ID is what the registry calls it.
	ID int
	// Imports are the schemas that it refers to, directly or not; each stands after those that it refers to itself.
	Imports []Import
}

// Import is a schema that another one refers to, by Name.
type Import struct {
	Name string
	sr.Schema
}

// New returns a Registry. It makes no request yet: a registry that is down shows with the first record. The error says
// all that is wrong with cfg.
func New(cfg Config) (*Registry, error) {
	var faults []error
	if cfg.RequestTimeout < 0 {
		faults = append(faults, fmt.Errorf("RequestTimeout is %s; it must not be negative", cfg.RequestTimeout))
	}
	if cfg.Attempts < 0 {
		faults = append(faults, fmt.Errorf("the field Attempts is %d; it must not be negative", cfg.Attempts))
	}
	var opts []sr.ClientOpt
	if len(cfg.URLs) > 0 {
		opts = append(opts, sr.URLs(append([]string{}, cfg.URLs...)...)) // sr.URLs changes what it is given
	}
	client, err := sr.NewClient(append(opts, cfg.Client...)...)
	if err != nil {
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("the configuration of the schema registry: %w", err)
	}
	r := &Registry{client: client, timeout: cfg.RequestTimeout, attempts: cfg.Attempts}
	if r.timeout == 0 {
		r.timeout = 5 * time.Second
	}
	if r.attempts == 0 {
		r.attempts = 3
	}
	return r, nil
}

// Schema returns the schema with that id, and what it refers to. Each id is read once, and by one request at a time
// however many ask; the answer is kept. The error wraps processor.ErrTransient if the registry gave none.
func (r *Registry) Schema(id int) (Schema, error) {
	return r.schemas.Get(id, func() (Schema, error) {
		s := Schema{ID: id}
		var err error
		s.Schema, err = ask(r, func(ctx context.Context) (sr.Schema, error) { return r.client.SchemaByID(ctx, id) })
		if err != nil {
			return Schema{}, fmt.Errorf("read schema id %d: %w", id, err)
		}
		s.Imports, err = r.Imports(s.References)
		if err != nil {
			return Schema{}, fmt.Errorf("read schema id %d: %w", id, err)
		}
		return s, nil
	})
}

// Imports returns the schemas that refs name and those that they refer to, each after those that it refers to itself.
// They are read at every call. The error wraps processor.ErrTransient if the registry gave no answer.
func (r *Registry) Imports(refs []sr.SchemaReference) ([]Import, error) {
	var imports []Import
	seen := map[sr.SchemaReference]bool{}
	var visit func([]sr.SchemaReference) error
	visit = func(refs []sr.SchemaReference) error {
		for _, ref := range refs {
			if seen[ref] {
				continue
			}
			seen[ref] = true
			found, err := ask(r, func(ctx context.Context) (sr.SubjectSchema, error) {
				return r.client.SchemaByVersion(ctx, ref.Subject, ref.Version)
			})
			if err != nil {
				return fmt.Errorf("read its reference %q (subject %s, version %d): %w", ref.Name, ref.Subject, ref.Version, err)
			}
			if err := visit(found.References); err != nil {
				return err
			}
			imports = append(imports, Import{Name: ref.Name, Schema: found.Schema})
		}
		return nil
	}
	return imports, visit(refs)
}
