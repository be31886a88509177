package eos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// This file handles records that arrive and cannot be read: a batch whose checksum does not fit, whose form is wrong, or that cannot
// be decompressed. If it was damaged on its way, it is whole the next time; if it is damaged in the broker's log, it never is. The
// records before it, and those of other partitions, are processed. Then it is fetched a few times more, and then the session stops. A
// batch that is too large may be passed over (passover.go); no other batch ever is.

// A partition that cannot be read at one offset this many times, and for this long, is given up.
const (
	unreadableTimes = 5
	unreadableFor   = 2 * time.Second
)

// UnreadableError is the cause when the records that the broker returns for an offset are damaged, again and again: in its log, most
// likely. It is also the cause when a batch is larger when decompressed than the client allows (64 MiB; kgo.MaxDecompressBatchBytes in
// Config.Client sets another bound). Offset is the first that cannot be read: all records before it are committed, it and the records
// after it are not.
type UnreadableError struct {
	Partition offsets.Partition
	Offset    int64
	Err       error
}

// Error returns the partition and offset, and what is wrong there.
func (e *UnreadableError) Error() string {
	if errors.Is(e.Err, kgo.ErrMaxDecompress) {
		return fmt.Sprintf("%s cannot be read from offset %d on, the batch there grows beyond the bound when it is decompressed: %v", e.Partition, e.Offset, e.Err)
	}
	return fmt.Sprintf("%s cannot be read from offset %d on, the batch there is corrupt: %v", e.Partition, e.Offset, e.Err)
}

// Unwrap returns what is wrong.
func (e *UnreadableError) Unwrap() error { return e.Err }

// trouble is how long a partition has not been readable.
type trouble struct {
	since time.Time
	times int
}

// isLasting reports whether the partition was tried often enough.
func (t *trouble) isLasting() bool {
	return t.times >= unreadableTimes && time.Since(t.since) >= unreadableFor
}

// unreadable returns the fetch errors in err that are about the bytes that were fetched, not errors of a broker or of the network.
// only reports that err consists of nothing else.
func unreadable(err error) (failed []*fetchError, only bool) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { // as take joins them
		only = true
		for _, one := range joined.Unwrap() {
			more, alone := unreadable(one)
			failed, only = append(failed, more...), only && alone
		}
		return failed, only
	}
	f, ok := err.(*fetchError) //nolint:errorlint // what take joins, and nothing that wraps one
	if !ok || f.partition.Topic == "" || isContext(err) || isDataLoss(err) || errors.Is(err, kgo.ErrClientClosed) || kgo.IsRetryableBrokerErr(err) {
		return nil, false
	}
	if f.fetched == nil || f.fetched.HighWatermark <= 0 {
		return nil, false // nothing was fetched: kgo returns such an error if it cannot reach the leader, as for want of a certificate
	}
	if _, ok := errors.AsType[*kerr.Error](err); ok && !errors.Is(err, kerr.CorruptMessage) {
		return nil, false
	}
	if _, ok := errors.AsType[*kgo.ErrFirstReadEOF](err); ok {
		return nil, false
	}
	return []*fetchError{f}, true
}

// readable handles partitions that cannot be read: the records of b that could be read are a batch of their own. If there are none, it
// waits a moment.
func (s *Session) readable(ctx context.Context, b gathering, failed []*fetchError) (gathering, error) {
	longest := 0
	for _, f := range failed {
		if s.isPassedOver(f) {
			s.reread = f
			return b, nil // one at a time: others are refused again
		}
		t := s.troubles[f.partition]
		if t == nil {
			t = &trouble{since: time.Now()}
			s.troubles[f.partition] = t
		}
		if t.times++; t.isLasting() {
			return gathering{}, s.corrupt(ctx, f)
		}
		longest = max(longest, t.times)
		s.retrying("read", f)
	}
	if len(b.next) == 0 {
		cluster.Sleep(ctx, min(20*time.Millisecond<<min(longest, 10), 500*time.Millisecond))
	}
	return b, nil
}

// readAgain makes a new client if the old one may have passed over what it could not read: after a batch of an unknown form kgo
// continues at the next offset, and kgo ignores a seek until it has returned a record.
func (s *Session) readAgain(ctx context.Context) error {
	if s.reread == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if f, ok := errors.AsType[*fetchError](s.reread); ok && s.isPassedOver(f) {
		s.passOver(ctx, f.partition)
	}
	if err := s.replace(ctx, s.reread, nil); err != nil {
		return err
	}
	return nil
}

// corrupt returns the error with which a session stops at records that cannot be read.
func (s *Session) corrupt(ctx context.Context, failed *fetchError) error {
	committed, err := s.stableOffsets(ctx, offsets.Set{failed.partition: offsets.NewPosition(0)})
	if err != nil {
		return err
	}
	cause := failed.err
	if errors.Is(cause, errTooLarge) {
		cause = fmt.Errorf("%w: %w", kgo.ErrMaxDecompress, cause)
	}
	return &UnreadableError{Partition: failed.partition, Offset: committed[failed.partition].Offset, Err: cause}
}

func isUnreadable(err error) bool {
	_, ok := errors.AsType[*UnreadableError](err)
	return ok
}
