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
	forms    []string
	id       memo.Memo[struct{}, int]
}

// Writer returns a Writer for the schema that the function gives, which is called before the first record and again only
// after a failure. With register the schema is registered if it does not stand in the subject; without, it must. The forms are
// other texts of the same schema, in the order in which they are looked for after it: registries may compare texts.
func (r *Registry) Writer(subject string, register bool, schema func() (sr.Schema, error), forms ...string) *Writer {
	return &Writer{registry: r, subject: subject, register: register, schema: schema, forms: forms}
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
			found, err := w.registry.lookUp(w.subject, schema, w.forms)
			return found.ID, err
		}
		return w.registry.register(w.subject, schema, w.forms)
	})
}

// Reference returns how other schemas refer to this one by name: as the version that it has in the subject. With register it is
// registered if it does not stand there. The forms are as for Writer.
func (r *Registry) Reference(name, subject string, schema sr.Schema, register bool, forms ...string) (sr.SchemaReference, error) {
	if register {
		if _, err := r.register(subject, schema, forms); err != nil {
			return sr.SchemaReference{}, err
		}
	}
	found, err := r.lookUp(subject, schema, forms)
	return sr.SchemaReference{Name: name, Subject: subject, Version: found.Version}, err
}

// lookUp finds the schema, or the first of its other forms that stands in the subject.
func (r *Registry) lookUp(subject string, schema sr.Schema, forms []string) (sr.SubjectSchema, error) {
	found, err := r.find(subject, schema)
	for _, form := range forms {
		if !isUnknown(err) {
			break
		}
		schema.Schema = form
		found, err = r.find(subject, schema)
	}
	switch {
	case isUnknown(err):
		return found, fmt.Errorf("find the %s schema in subject %s (it is not registered there; register it, or set AutoRegister): %w", schema.Type, subject, err)
	case err != nil:
		return found, fmt.Errorf("find the %s schema in subject %s: %w", schema.Type, subject, err)
	}
	return found, nil
}

func (r *Registry) find(subject string, schema sr.Schema) (sr.SubjectSchema, error) {
	return ask(r, func(ctx context.Context) (sr.SubjectSchema, error) {
		return r.client.LookupSchema(ctx, subject, schema)
	})
}

// isUnknown reports whether the registry has answered that it does not have the schema there.
func isUnknown(err error) bool {
	response, ok := errors.AsType[*sr.ResponseError](err)
	return ok && judge(err) == final && (response.SchemaError() == sr.ErrSubjectNotFound || response.SchemaError() == sr.ErrSchemaNotFound)
}

// register registers the schema, unless it stands in the subject already, in this or another form.
func (r *Registry) register(subject string, schema sr.Schema, forms []string) (int, error) {
	if len(forms) > 0 {
		if found, err := r.lookUp(subject, schema, forms); !isUnknown(err) {
			return found.ID, err
		}
	}
	id, err := ask(r, func(ctx context.Context) (int, error) { return r.client.RegisterSchema(ctx, subject, schema, -1, -1) })
	if err != nil {
		return 0, fmt.Errorf("register the %s schema in subject %s: %w", schema.Type, subject, err)
	}
	return id, nil
}
