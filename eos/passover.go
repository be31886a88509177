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

// This file handles batches that are too large when decompressed, with Config.PassOver: instead of such a batch the client hands out
// one placeholder record at the batch's last offset. The session's decompressor makes the record, once a fetch beside the client has
// found which offsets the batch has, from its header. The rest of the session treats it like any other record.
//
// kgo itself would report the offsets if the decompressor returned that a batch is too large (kgo.ErrMaxDecompress). But then kgo
// never fetches that partition again, and reports it once. The report is lost when the partition is paused, or when kgo drops what
// it has fetched: whenever another partition is rewound or taken away, or a leader moves. So the decompressor returns another error,
// after which kgo fetches the batch again.

// PassedOverError is what PassedOver returns for a placeholder record of a batch that was not read.
type PassedOverError struct {
	Partition offsets.Partition
	From, To  int64 // the offsets of the batch, both included
	Bytes     int   // of the batch as it was fetched
}

// Error returns the offsets and the size of the batch.
func (e *PassedOverError) Error() string {
	return fmt.Sprintf("the batch at %s@%d..%d (%d bytes) grows beyond the bound when it is decompressed; what its records are is not known", e.Partition, e.From, e.To, e.Bytes)
}

type passedOverKey struct{}

// PassedOver returns the batch whose placeholder r is, or nil if r is a record of the input. See Config.PassOver.
func PassedOver(r *kgo.Record) *PassedOverError {
	if r.Context == nil {
		return nil
	}
	e, _ := r.Context.Value(passedOverKey{}).(*PassedOverError)
	return e
}

// oversized are the batches that the decompressor has found too large, and the placeholder for the one that is passed over.
type oversized struct {
	mu     sync.Mutex
	newest map[int]uint64                       // by its size, the hash of a batch that was refused
	of     map[offsets.Partition]oversizedBatch // the batch that was refused in each partition
	stand  []byte                               // the placeholder for the batch with this hash; used once
	hash   uint64
}

type oversizedBatch struct {
	hash uint64
	size int
}

var batchHashSeed = maphash.MakeSeed()

// placeholderHeader is the header key of a placeholder record until it is handed out. It is random: no record of the input has it.
var placeholderHeader = rand.Text()

// replacement returns the placeholder for src, or notes that src was refused.
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

// OnFetchBatchRead implements kgo.HookFetchBatchRead: kgo calls it after each batch, with the partition of the one that was refused.
func (x *oversized) OnFetchBatchRead(_ kgo.BrokerMetadata, topic string, partition int32, m kgo.FetchBatchMetrics) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if hash, ok := x.newest[m.CompressedBytes]; ok && m.NumRecords == 0 {
		x.of[offsets.Partition{Topic: topic, Number: partition}] = oversizedBatch{hash, m.CompressedBytes}
		delete(x.newest, m.CompressedBytes)
	}
}

// passOver makes a placeholder, which replacement returns the next time that the batch comes.
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

// isPassedOver reports whether f is about a batch that is too large, and such batches are passed over.
func (s *Session) isPassedOver(f *fetchError) bool {
	return s.cfg.PassOver && errors.Is(f.err, errTooLarge)
}

// passOver finds the offsets of the batch that was refused in a partition, and makes the next client return a placeholder instead of
// it. If the offsets cannot be found just now, the batch is refused again.
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

// measure returns the offsets of the batch that was refused in a partition. The batch follows the records that are held of the
// partition, or what is committed if none are held.
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

// tells is the decompressor for a fetch beside the client: for the batch with this hash it returns kgo.ErrMaxDecompress.
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

// tellsOf returns the decompressor for the batch that was refused in p.
func (d *decompressor) tellsOf(p offsets.Partition) tells {
	d.oversized.mu.Lock()
	defer d.oversized.mu.Unlock()
	return tells{d, d.of[p].hash}
}

// onlyOver makes a new client fetch nothing but the partition of the batch that is passed over, until its placeholder has come:
// another partition may have a batch of the same bytes, which must be refused first, too. It is called before the client can fetch.
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

// somePartitions is how many partitions a topic is assumed to have at least: the session does not know it for a topic that was found
// later.
const somePartitions = 1000

// onlyOverTime is how long the other partitions wait for a batch that is passed over.
const onlyOverTime = 5 * time.Second

// standsFor notes in r which batch it is the placeholder of, if it is one. A placeholder of a batch that the session does not expect
// is an error, and read again.
func (s *Session) standsFor(p offsets.Partition, r *kgo.Record) error {
	if len(r.Headers) != 1 || r.Headers[0].Key != placeholderHeader {
		return nil
	}
	over := s.over
	if over == nil || p != over.Partition || r.Offset != over.To {
		return fmt.Errorf("%w: a placeholder for a batch is at offset %d of %s", errOrder, r.Offset, p)
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
