// Package dry lets package processortest take records through a processor's stages without a broker. It keeps what only
// tests need out of the public names of package processor.
package dry

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Batch is what the stages made of a batch.
type Batch struct {
	Records []*kgo.Record // to produce, dead letters included, in the order of their inputs
	Skipped int           // input records that were left out
	Retries int           // handler calls that repeated an earlier one
	GivenUp []error       // each is a *processor.RecordError
}

// Run takes records through the stages of a *processor.Processor as one batch, and commits nothing. An error says that
// nothing of the batch would be committed. Package processor sets Run when it is initialized.
var Run func(ctx context.Context, processor any, in []*kgo.Record) (Batch, error)
