package eos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Each kind of error has its cause, also below what the layers wrap around it; of several the one that says more is taken. What is not
// known is "other", so there are never more causes than Causes lists.
func TestCauseOf(t *testing.T) {
	t.Parallel()
	found := map[Cause]bool{}
	for _, c := range []struct {
		err  error
		want Cause
	}{
		{fmt.Errorf("%w: %w", ErrFenced, kerr.UnknownMemberID), CauseFenced},
		{fmt.Errorf("%w: %w", ErrProduce, kerr.InvalidProducerEpoch), CauseFenced},
		{errNotCommitted, CauseRebalance},
		{&Error{Op: "commit", Err: fmt.Errorf("%w (in-0)", errGivenUp)}, CauseRebalance},
		{kerr.IllegalGeneration, CauseRebalance},
		{fmt.Errorf("%w: %w", errTooOld, context.Canceled), CauseTimeout},
		{fmt.Errorf("%w: %w", ErrProduce, kgo.ErrRecordTimeout), CauseTimeout},
		{context.Canceled, CauseCanceled},
		{fmt.Errorf("%w: %w", ErrProduce, &RejectedError{Record: &kgo.Record{}, Err: kerr.MessageTooLarge}), CauseRefused},
		{fmt.Errorf("%w: %w", ErrProduce, errRefusedTogether), CauseRefused},
		{errMarkers, CauseMarkers},
		{fmt.Errorf("%w: others", errOffsets), CauseOffsets},
		{kerr.OffsetMetadataTooLarge, CauseOffsets},
		{&net.OpError{Op: "read", Err: errors.New("reset")}, CauseNetwork},
		{fmt.Errorf("%w: %w", ErrProduce, io.EOF), CauseNetwork},
		{fmt.Errorf("%w: %w", ErrProduce, kerr.NotEnoughReplicas), CauseProduce},
		{&Error{Op: "commit", Err: &PartitionsChangedError{Topic: "out", Was: 3, Now: 6}}, CauseProduce},
		{fmt.Errorf("%w (out)", errOldMetadata), CauseProduce},
		{kerr.UnknownServerError, CauseOther},
		{errors.New("anything"), CauseOther},
		{nil, CauseOther},
	} {
		require.Equal(t, c.want, CauseOf(c.err), "%v", c.err)
		found[c.want] = true
	}
	require.Len(t, found, len(Causes()), "every cause has an example")
	for i, c := range causes {
		require.Equal(t, Causes()[i], c.cause, "the table has the order that the causes document")
	}
}
