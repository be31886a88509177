package jsonschema_test

import (
	"context"
	"fmt"
	"log"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/eos-pipe/eos-pipe/codec/jsonschema"
	"github.com/eos-pipe/eos-pipe/codec/registry"
	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/processor/processortest"
)

// Orders become invoices; an order that does not keep its schema does not get to the handler.
func Example() {
	type Order struct {
		ID    string `json:"id"`
		Cents int64  `json:"cents"`
	}
	type Invoice struct {
		Order string `json:"order"`
		Cents int64  `json:"cents"`
	}
	fake := srfake.New() // in place of http://localhost:8081
	defer fake.Close()
	fake.SeedSchema("orders-value", 1, 7, sr.Schema{
		Type:   sr.TypeJSON,
		Schema: `{"type": "object", "required": ["id"], "properties": {"cents": {"minimum": 0}}}`,
	})

	reg, err := registry.New(registry.Config{URLs: []string{fake.URL()}})
	if err != nil {
		log.Fatal(err)
	}
	orders, err := jsonschema.New[Order](reg, jsonschema.Config{})
	if err != nil {
		log.Fatal(err)
	}
	invoices, err := jsonschema.New[Invoice](reg, jsonschema.Config{
		Schema: `{"type": "object", "required": ["order", "cents"]}`,
		Topic:  "invoices", AutoRegister: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	pipe := processor.Pipe[Order, Invoice]{
		Source: processor.From(orders, "orders"),
		Handle: processor.Map(func(o Order) (Invoice, error) { return Invoice{o.ID, o.Cents * 119 / 100}, nil }),
		Sink:   processor.To(invoices, "invoices"),
	}

	for _, doc := range []string{`{"id":"n1","cents":100}`, `{"id":"n2","cents":-1}`} {
		in := &kgo.Record{Topic: "orders", Value: append([]byte{0, 0, 0, 0, 7 /* schema id */}, doc...)}
		made, err := processortest.Run(context.Background(), processor.Config{}, pipe, in)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%s: %q\n", made.Produced[0].Topic, made.Produced[0].Value)
	}
	// Output:
	// invoices: "\x00\x00\x00\x00\b{\"order\":\"n1\",\"cents\":119}"
	// decode record orders-0@0: the value does not keep schema id 7: at '/cents': minimum: got -1, want 0
}
