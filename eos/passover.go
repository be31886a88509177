package eos

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// This file is about batches that are too large when decompressed, with Config.PassOver: in the place of such a batch the client hands out
// one record, which stands at the batch's last offset. It is made by the session's decompressor, once a fetch beside the client has said which
// offsets the batch has, by its header. So nothing else of what a session does knows of it.
//
// kgo itself would say which offsets it has, if it was told that a batch is too large (kgo.ErrMaxDecompress). But then it never fetches that
// partition again, and says so once; and what it says is lost when the partition is paused, or when what was fetched is thrown away: each time
// that another partition is set back or taken away, or a leader moves. So it is told of another error, for which it fetches the batch again.

// PassedOverError is what PassedOver returns for a record that stands for a batch that was not read.
type PassedOverError struct {
	Partition offsets.Partition
	From, To  int64 // the offsets of the batch, both included
	Bytes     int   // of the batch as it was fetched
}

// Error names the batch.
func (e *PassedOverError) Error() string {
	return fmt.Sprintf("the batch at %s@%d..%d (%d bytes) grows beyond the bound when it is decompressed; what its records are is not known", e.Partition, e.From, e.To, e.Bytes)
}

type passedOverKey struct{}

// PassedOver returns for which batch r stands if it is no record of the input; otherwise nil. See Config.PassOver.
func PassedOver(r *kgo.Record) *PassedOverError {
	if r.Context == nil {
		return nil
	}
	e, _ := r.Context.Value(passedOverKey{}).(*PassedOverError)
	return e
}

// refusals are the batches that the decompressor has found too large, and what it gives for those of them that are passed over.
type oversized struct {
	mu     sync.Mutex
	newest map[int]uint64                       // by its size, the hash of a batch that was refused
	of     map[offsets.Partition]oversizedBatch // the batch that was refused in each partition
	stand  []byte                               // the record that stands for the batch of hash, once
	hash   uint64
}

type oversizedBatch struct {
	hash uint64
	size int
}

var batchHashSeed = maphash.MakeSeed()

// placeholderHeader is the header of a record that stands for a batch, until it is handed out: nobody else can know it.
var placeholderHeader = rand.Text()

// refused returns what stands for src, or notes that it was refused.
func (x *oversized) replacement(src []byte) ([]byte, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	hash := maphash.Bytes(batchHashSeed, src)
	if record := x.stand; record != nil && hash == x.hash {
		x.stand = nil
		return record, nil
	}
	if x.newest == nil {
		x.newest, x.of = map[int]uint64{}, map[offsets.Partition]oversizedBatch{}
	}
	x.newest[len(src)] = hash
	return nil, errTooLarge
}

// OnFetchBatchRead implements kgo.HookFetchBatchRead: it is called after each batch, and tells in which partition the one stands that was refused.
func (x *oversized) OnFetchBatchRead(_ kgo.BrokerMetadata, topic string, partition int32, m kgo.FetchBatchMetrics) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if hash, ok := x.newest[m.CompressedBytes]; ok && m.NumRecords == 0 {
		x.of[offsets.Partition{Topic: topic, Number: partition}] = oversizedBatch{hash, m.CompressedBytes}
		delete(x.newest, m.CompressedBytes)
	}
}

// passOver has a record stand for a batch the next time that it comes, in the place of its refusal.
func (x *oversized) passOver(batch *kgo.ErrDecompressTooLarge) (*PassedOverError, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := offsets.Partition{Topic: batch.Topic, Number: batch.Partition}
	r, ok := x.of[p]
	if !ok {
		return nil, false
	}
	const none = -1
	body := []byte{0, 0} // attributes, and the timestamp's distance to the batch's
	body = binary.AppendVarint(body, batch.NextOffset-1-batch.Offset)
	body = binary.AppendVarint(binary.AppendVarint(body, none), none) // key and value
	body = binary.AppendVarint(body, 1)                               // header
	body = append(binary.AppendVarint(body, int64(len(placeholderHeader))), placeholderHeader...)
	body = binary.AppendVarint(body, none)
	x.stand, x.hash = append(binary.AppendVarint(nil, int64(len(body))), body...), r.hash
	return &PassedOverError{Partition: p, From: batch.Offset, To: batch.NextOffset - 1, Bytes: r.size}, true
}

// isPassedOver says that what cannot be read is a batch that is too large, and that is to be passed over.
func (s *Session) isPassedOver(f *fetchError) bool {
	return s.cfg.PassOver && errors.Is(f.err, errTooLarge)
}

// passOver finds out which offsets the batch has for which a partition was refused, and has the next client get a record in its place. If
// that cannot be found out just now, the batch is refused again.
func (s *Session) passOver(ctx context.Context, p offsets.Partition) {
	s.over = nil
	batch, err := s.measure(ctx, p)
	if err != nil {
		s.retrying("find out which offsets a batch has that is too large", err)
		cluster.Sleep(ctx, 100*time.Millisecond)
		return
	}
	s.over, _ = s.decompressor.passOver(batch)
}

// measure returns which offsets the batch has that was refused in a partition. It stands behind what is held of it, or what is committed.
func (s *Session) measure(ctx context.Context, p offsets.Partition) (*kgo.ErrDecompressTooLarge, error) {
	from := int64(0)
	if q := s.held[p]; q != nil {
		from = q.End()
	} else {
		committed, err := s.stableOffsets(ctx, offsets.Set{p: offsets.NewPosition(0)})
		if err != nil {
			return nil, err
		}
		from = committed[p].Offset
	}
	known := s.decompressor.tellsOf(p)
	for {
		fetched, next, err := s.ask.Fetch(ctx, p, from, known)
		if err == nil {
			if batch, ok := errors.AsType[*kgo.ErrDecompressTooLarge](fetched.Err); ok {
				return batch, nil
			}
			err = fetched.Err
		}
		switch {
		case err != nil:
			return nil, err
		case next == from:
			return nil, fmt.Errorf("it is not at offset %d of %s any more", from, p)
		}
		from = next
	}
}

// tells is the decompressor for a fetch beside the client: of the batch with this hash, it says that it is too large as kgo wants to be told.
type tells struct {
	*decompressor
	hash uint64
}

// Decompress implements kgo.Decompressor.
func (t tells) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	switch {
	case codec == kgo.CodecNone:
		return src, nil
	case maphash.Bytes(batchHashSeed, src) == t.hash:
		return nil, kgo.ErrMaxDecompress
	}
	return t.decompress(src, codec)
}

// tellsOf returns a decompressor that tells of the batch that was refused in p.
func (d *decompressor) tellsOf(p offsets.Partition) tells {
	d.oversized.mu.Lock()
	defer d.oversized.mu.Unlock()
	return tells{d, d.of[p].hash}
}

// onlyOver has a new client fetch nothing but the partition of the batch that is passed over, until that has come: in another one there may
// be a batch of the same bytes, which is to be refused first, too. It is called before the client can fetch anything.
func (s *Session) onlyOver(cl *kgo.Client) {
	if s.over == nil {
		return
	}
	others := map[string][]int32{}
	for topic, known := range s.inputs.all() {
		for i := range max(known.partitions, somePartitions) {
			if (offsets.Partition{Topic: topic, Number: i}) != s.over.Partition {
				others[topic] = append(others[topic], i)
			}
		}
	}
	cl.PauseFetchPartitions(others)
	late := time.AfterFunc(onlyOverTime, func() { cl.ResumeFetchPartitions(others) }) // the group may have given it to another member
	s.resume = func() {
		late.Stop()
		cl.ResumeFetchPartitions(others)
	}
}

// somePartitions is how many partitions a topic is taken to have at least: of one that was found later the session does not know it.
const somePartitions = 1000

// onlyOverTime is how long the other partitions wait for a batch that is passed over.
const onlyOverTime = 5 * time.Second

// standsFor notes in r for which batch it stands, if it does. One of another batch than the session knows is an error: it is read again.
func (s *Session) standsFor(p offsets.Partition, r *kgo.Record) error {
	if len(r.Headers) != 1 || r.Headers[0].Key != placeholderHeader {
		return nil
	}
	over := s.over
	if over == nil || p != over.Partition || r.Offset != over.To {
		return fmt.Errorf("%w: what stands for a batch is at offset %d of %s", errOrder, r.Offset, p)
	}
	r.Headers, s.over = nil, nil
	if s.resume != nil {
		s.resume()
	}
	ctx := r.Context
	if ctx == nil {
		ctx = context.Background()
	}
	r.Context = context.WithValue(ctx, passedOverKey{}, over)
	return nil
}
