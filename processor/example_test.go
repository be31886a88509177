package processor_test

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/eos-pipe/eos-pipe/processor"
)

type (
	Order struct {
		ID, Customer string
		Cents        int64
	}
	Invoice struct {
		Order string
		Cents int64
	}
)

// A whole program: an invoice for each order, exactly once, until SIGTERM.
func Example() {
	p, err := processor.New(
		processor.Config{BootstrapServers: []string{"localhost:9092"}, ApplicationID: "billing"},
		processor.Pipe[Order, Invoice]{ // reads from left to right
			Source: processor.From(processor.JSON[Order](), "orders"),
			Handle: processor.Map(func(o Order) (Invoice, error) { return Invoice{o.ID, o.Cents * 119 / 100}, nil }),
			Sink:   processor.To(processor.JSON[Invoice](), "invoices"),
		})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := p.Run(ctx); err != nil { // drains when ctx ends
		log.Print(err)
	}
}
