package eos

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Cause is why a transaction was not committed at once, as one of a few words: for metrics, which must not have a label for every
// message. What to do is in Error.Next.
type Cause string

// The causes, in the order in which they are looked for: an error that has several is the first of them.
const (
	CauseFenced    Cause = "fenced"    // another instance has the transactional id or the membership, or the broker timed out the transaction
	CauseRebalance Cause = "rebalance" // the group rebalanced, or had given this member up
	CauseTimeout   Cause = "timeout"   // the transaction came close to its timeout, or a broker or the client gave up waiting
	CauseCanceled  Cause = "canceled"  // the caller's context ended
	CauseRefused   Cause = "refused"   // a record was refused for what it is: too large, a wrong timestamp
	CauseMarkers   Cause = "markers"   // markers of the transaction before were missing
	CauseOffsets   Cause = "offsets"   // the offsets were refused
	CauseNetwork   Cause = "network"   // a connection broke, or no broker could be reached
	CauseProduce   Cause = "produce"   // a record could not be produced for another reason
	CauseOther     Cause = "other"     // anything else
)

// Causes are all causes, in their order.
func Causes() []Cause {
	return []Cause{
		CauseFenced, CauseRebalance, CauseTimeout, CauseCanceled, CauseRefused,
		CauseMarkers, CauseOffsets, CauseNetwork, CauseProduce, CauseOther,
	}
}

// causes are the errors by which a cause is known, in the order of the causes.
var causes = []struct {
	cause  Cause
	errors []error
}{
	{CauseFenced, []error{ErrFenced, kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.FencedInstanceID}},
	{CauseRebalance, []error{errNotCommitted, errGivenUp, kerr.RebalanceInProgress, kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.StaleMemberEpoch}},
	{CauseTimeout, []error{errTooOld, context.DeadlineExceeded, kerr.RequestTimedOut, kgo.ErrRecordTimeout}},
	{CauseCanceled, []error{context.Canceled}},
	{CauseRefused, []error{errRefusedTogether}},
	{CauseMarkers, []error{errMarkers}},
	{CauseOffsets, []error{errOffsets, kerr.OffsetMetadataTooLarge, kerr.InvalidCommitOffsetSize, kerr.GroupAuthorizationFailed, kerr.GroupIDNotFound}},
	{CauseNetwork, []error{ErrUnreachable, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, kerr.NetworkException, kgo.ErrClientClosed}},
	{CauseProduce, []error{ErrProduce, errOldMetadata}},
}

// CauseOf returns the cause of err, which is the Err of a Transaction that was not committed at once.
func CauseOf(err error) Cause {
	for _, c := range causes {
		for _, known := range c.errors {
			if errors.Is(err, known) {
				return c.cause
			}
		}
		if isOfType(err, c.cause) {
			return c.cause
		}
	}
	return CauseOther
}

// isOfType says whether err has a cause by its type.
func isOfType(err error, cause Cause) bool {
	switch cause { //nolint:exhaustive // the other causes are known by values alone
	case CauseRefused:
		return isRejected(err)
	case CauseProduce:
		_, changed := errors.AsType[*PartitionsChangedError](err)
		return changed
	case CauseNetwork:
		_, dial := errors.AsType[*net.OpError](err)
		_, first := errors.AsType[*kgo.ErrFirstReadEOF](err)
		_, answered := errors.AsType[*kerr.Error](err)
		return dial || first || !answered && kgo.IsRetryableBrokerErr(err) // also what waited behind the request in which the connection broke
	}
	return false
}
