package avro_test

import (
	"context"
	"fmt"
	"log"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/eos-pipe/eos-pipe/codec/avro"
	"github.com/eos-pipe/eos-pipe/codec/registry"
	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/processor/processortest"
)

// Orders in Avro become invoices in Avro. The order was written by an older program, with an int for its cents.
func Example() {
	type Order struct {
		ID    string `avro:"id"`
		Cents int64  `avro:"cents"`
	}
	type Invoice struct {
		Order string `avro:"order"`
		Cents int64  `avro:"cents"`
	}
	fake := srfake.New() // in place of http://localhost:8081
	defer fake.Close()
	fake.SeedSchema("orders-value", 1, 7, sr.Schema{Schema: `{"type":"record","name":"Order","fields":[
		{"name":"cents","type":"int"}, {"name":"id","type":"string"}]}`})

	reg, err := registry.New(registry.Config{URLs: []string{fake.URL()}})
	if err != nil {
		log.Fatal(err)
	}
	orders, err := avro.New[Order](reg, avro.Config{})
	if err != nil {
		log.Fatal(err)
	}
	invoices, err := avro.New[Invoice](reg, avro.Config{Topic: "invoices", AutoRegister: true})
	if err != nil {
		log.Fatal(err)
	}
	pipe := processor.Pipe[Order, Invoice]{
		Source: processor.From(orders, "orders"),
		Handle: processor.Map(func(o Order) (Invoice, error) { return Invoice{o.ID, o.Cents * 119 / 100}, nil }),
		Sink:   processor.To(invoices, "invoices"),
	}

	in := &kgo.Record{Topic: "orders", Value: []byte{0, 0, 0, 0, 7 /* schema id */, 0xc8, 1 /* 100 cents */, 4, 'n', '1' /* id */}}
	made, err := processortest.Run(context.Background(), processor.Config{}, pipe, in)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: % x = %+v\n", made.Produced[0].Topic, made.Produced[0].Value, made.Outputs[0].Value)
	// Output:
	// invoices: 00 00 00 00 08 04 6e 31 ee 01 = {Order:n1 Cents:119}
}
