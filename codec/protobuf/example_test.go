package protobuf_test

import (
	"context"
	"fmt"
	"log"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/eos-pipe/eos-pipe/codec/protobuf"
	"github.com/eos-pipe/eos-pipe/codec/protobuf/internal/shop"
	"github.com/eos-pipe/eos-pipe/codec/registry"
	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/processor/processortest"
)

// Sums of money become sums with tax, both in Protobuf.
func Example() {
	fake := srfake.New() // in place of http://localhost:8081
	defer fake.Close()
	fake.SeedSchema("net-value", 1, 7, sr.Schema{Type: sr.TypeProtobuf, Schema: `
		syntax = "proto3";
		package shop.v1;
		message Money { string currency = 1; int64 cents = 2; }`})

	reg, err := registry.New(registry.Config{URLs: []string{fake.URL()}})
	if err != nil {
		log.Fatal(err)
	}
	net, err := protobuf.New[*shop.Money](reg, protobuf.Config{})
	if err != nil {
		log.Fatal(err)
	}
	gross, err := protobuf.New[*shop.Money](reg, protobuf.Config{Topic: "gross", AutoRegister: true})
	if err != nil {
		log.Fatal(err)
	}
	pipe := processor.Pipe[*shop.Money, *shop.Money]{
		Source: processor.From(net, "net"),
		Handle: processor.Map(func(m *shop.Money) (*shop.Money, error) {
			return &shop.Money{Currency: m.GetCurrency(), Cents: m.GetCents() * 119 / 100}, nil
		}),
		Sink: processor.To(gross, "gross"),
	}

	in := &kgo.Record{Topic: "net", Value: []byte{0, 0, 0, 0, 7 /* schema id */, 0 /* first message */, 0x0a, 3, 'E', 'U', 'R', 0x10, 100}}
	made, err := processortest.Run(context.Background(), processor.Config{}, pipe, in)
	if err != nil {
		log.Fatal(err)
	}
	out := made.Outputs[0].Value
	fmt.Printf("%s: % x = %s %d\n", made.Produced[0].Topic, made.Produced[0].Value, out.GetCurrency(), out.GetCents())
	// Output:
	// gross: 00 00 00 00 08 00 0a 03 45 55 52 10 77 = EUR 119
}
