package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/eos-pipe/eos-pipe/codec/internal/memo"
)

// Subject returns the subject of a topic's values as TopicNameStrategy, the default of Kafka's serializers, has it.
func Subject(topic string) string { return topic + "-value" }

// SubjectOf returns subject, or where that is empty the subject of topic's values; "" where both are.
func SubjectOf(subject, topic string) string {
	if subject == "" && topic != "" {
		return Subject(topic)
	}
	return subject
}

// Writer finds the id under which one schema stands in one subject. It is safe for many goroutines at once.
type Writer struct {
	registry *Registry
	subject  string
	register bool
	schema   func() (sr.Schema, error)
	id       memo.Memo[struct{}, int]
}

// Writer returns a Writer for the schema that the function gives, which is called before the first record and again only
// after a failure. With register the schema is registered if it does not stand in the subject; without, it must.
func (r *Registry) Writer(subject string, register bool, schema func() (sr.Schema, error)) *Writer {
	return &Writer{registry: r, subject: subject, register: register, schema: schema}
}

// ID returns the schema's id. The registry is asked once, by one request at a time. The error wraps
// processor.ErrTransient if the registry gave no answer.
func (w *Writer) ID() (int, error) {
	return w.id.Get(struct{}{}, func() (int, error) {
		if w.subject == "" {
			return 0, errors.New("the codec can only read: to write, set the Topic of its Config")
		}
		schema, err := w.schema()
		if err != nil {
			return 0, err
		}
		if !w.register {
			found, err := w.registry.lookUp(w.subject, schema)
			return found.ID, err
		}
		return w.registry.register(w.subject, schema)
	})
}

// Reference returns how other schemas refer to this one by name: as the version that it has in the subject. With register it is
// registered if it does not stand there.
func (r *Registry) Reference(name, subject string, schema sr.Schema, register bool) (sr.SchemaReference, error) {
	if register {
		if _, err := r.register(subject, schema); err != nil {
			return sr.SchemaReference{}, err
		}
	}
	found, err := r.lookUp(subject, schema)
	return sr.SchemaReference{Name: name, Subject: subject, Version: found.Version}, err
}

func (r *Registry) lookUp(subject string, schema sr.Schema) (sr.SubjectSchema, error) {
	found, err := ask(r, func(ctx context.Context) (sr.SubjectSchema, error) {
		return r.client.LookupSchema(ctx, subject, schema)
	})
	if response, ok := errors.AsType[*sr.ResponseError](err); ok && judge(err) == final {
		hint := ""
		if response.SchemaError() == sr.ErrSubjectNotFound || response.SchemaError() == sr.ErrSchemaNotFound {
			hint = " (it is not registered there; register it, or set AutoRegister)"
		}
		return found, fmt.Errorf("find the %s schema in subject %s%s: %w", schema.Type, subject, hint, err)
	}
	if err != nil {
		return found, fmt.Errorf("find the %s schema in subject %s: %w", schema.Type, subject, err)
	}
	return found, nil
}

func (r *Registry) register(subject string, schema sr.Schema) (int, error) {
	id, err := ask(r, func(ctx context.Context) (int, error) { return r.client.RegisterSchema(ctx, subject, schema, -1, -1) })
	if err != nil {
		return 0, fmt.Errorf("register the %s schema in subject %s: %w", schema.Type, subject, err)
	}
	return id, nil
}
