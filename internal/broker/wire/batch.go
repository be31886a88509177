package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
)

// This file writes and reads batches of records (magic 2) byte by byte: a client library would not write the wrong ones.
//
//	 0 base offset    8 length      12 leader epoch   16 magic   17 crc     21 attributes
//	23 last delta    27 first time  35 max time       43 id      51 epoch   53 base sequence
//	57 count         61 records

const (
	batchHead       = 61
	batchMagicAt    = 16
	batchCRCAt      = 17
	batchAttributes = 21 // the CRC covers what begins here
	attrTxn         = 1 << 4
	attrControl     = 1 << 5
)

// canEncode reports whether encodeBatch knows the flaw. The others depend on sizes and settings of the topic.
func canEncode(f model.Flaw) bool {
	return f <= model.FlawBaseOffset || f == model.FlawChecksum || f == model.FlawCount || f == model.FlawControl
}

// encodeBatch returns the records of a Produce request for one partition.
func encodeBatch(b model.Batch) []byte {
	switch b.Flaw {
	case model.FlawNoBatch:
		return []byte{}
	case model.FlawTwoBatches:
		second := b
		second.Flaw, second.BaseSequence = model.NoFlaw, b.BaseSequence+b.Count
		b.Flaw = model.NoFlaw
		return append(encodeBatch(b), encodeBatch(second)...)
	case model.FlawMagic:
		return messageV1(b)
	default: // flaws of the one batch
	}
	var attributes, extra uint16
	if b.IsTransactional {
		attributes |= attrTxn
	}
	if b.Flaw == model.FlawControl {
		attributes |= attrControl
	}
	if b.Flaw == model.FlawCount {
		extra = 1
	}
	out := make([]byte, batchHead, batchHead+32*int(b.Count))
	if b.Flaw == model.FlawBaseOffset {
		out[7] = 1
	}
	put := binary.BigEndian
	put.PutUint32(out[12:], 0xffffffff)
	out[batchMagicAt] = 2
	put.PutUint16(out[batchAttributes:], attributes)
	put.PutUint32(out[23:], uint32(b.Count-1)+uint32(extra))
	put.PutUint64(out[27:], uint64(b.TimeMs))
	put.PutUint64(out[35:], uint64(b.TimeMs))
	put.PutUint64(out[43:], uint64(b.ProducerID))
	put.PutUint16(out[51:], uint16(b.Epoch))
	put.PutUint32(out[53:], uint32(b.BaseSequence))
	put.PutUint32(out[57:], uint32(b.Count))
	record := entry{[]byte("k"), put.AppendUint64(nil, b.Digest)}
	if b.Flaw == model.FlawControl {
		record = entry{[]byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 0}} // as in a marker
	}
	for i := range b.Count {
		out = appendRecord(out, int64(i), record)
	}
	put.PutUint32(out[8:], uint32(len(out)-12))
	crc := crc32.Checksum(out[batchAttributes:], crc32.MakeTable(crc32.Castagnoli))
	if b.Flaw == model.FlawChecksum {
		crc ^= 1
	}
	put.PutUint32(out[batchCRCAt:], crc)
	return out
}

// entry is the key and the value of a record.
type entry struct{ key, value []byte }

// encodeEntries returns a batch of these records, without a producer.
func encodeEntries(entries []entry, timeMs int64) []byte {
	out := encodeBatch(model.Batch{ProducerID: -1, Epoch: -1, BaseSequence: -1, Count: int32(len(entries)), TimeMs: timeMs})[:batchHead]
	for i, e := range entries {
		out = appendRecord(out, int64(i), e)
	}
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-12))
	binary.BigEndian.PutUint32(out[batchCRCAt:], crc32.Checksum(out[batchAttributes:], crc32.MakeTable(crc32.Castagnoli)))
	return out
}

func appendRecord(out []byte, delta int64, e entry) []byte {
	body := []byte{0, 0} // attributes, time delta
	body = binary.AppendVarint(body, delta)
	body = append(binary.AppendVarint(body, int64(len(e.key))), e.key...)
	body = append(binary.AppendVarint(body, int64(len(e.value))), e.value...)
	body = append(body, 0) // no headers
	return append(binary.AppendVarint(out, int64(len(body))), body...)
}

// messageV1 is a message of the old format: no producer, no sequence.
func messageV1(b model.Batch) []byte {
	put := binary.BigEndian
	body := []byte{1, 0} // magic, attributes
	body = put.AppendUint64(body, uint64(b.TimeMs))
	body = append(put.AppendUint32(body, 1), 'k')
	body = put.AppendUint64(put.AppendUint32(body, 8), b.Digest)
	out := put.AppendUint64(nil, 0)
	out = put.AppendUint32(out, uint32(len(body)+4))
	out = put.AppendUint32(out, crc32.ChecksumIEEE(body))
	return append(out, body...)
}

// decodeBatches reads what a fetch returns. A batch that is cut off at the end is left out, as clients do.
func decodeBatches(src []byte) ([]model.LogBatch, error) {
	var list []model.LogBatch
	for len(src) >= 12 {
		length := 12 + int(binary.BigEndian.Uint32(src[8:]))
		if length > len(src) {
			break
		}
		b, err := decodeBatch(src[:length])
		if err != nil {
			return nil, err
		}
		list, src = append(list, b), src[length:]
	}
	return list, nil
}

func decodeBatch(src []byte) (model.LogBatch, error) {
	if len(src) < batchHead || src[batchMagicAt] != 2 {
		return model.LogBatch{}, errors.New("a batch in the log is not of magic 2")
	}
	get := binary.BigEndian
	attributes := get.Uint16(src[batchAttributes:])
	b := model.LogBatch{
		BaseOffset: int64(get.Uint64(src)), TimeMs: int64(get.Uint64(src[35:])), ProducerID: int64(get.Uint64(src[43:])),
		Epoch: int16(get.Uint16(src[51:])), BaseSequence: int32(get.Uint32(src[53:])), IsTransactional: attributes&attrTxn != 0,
	}
	b.LastOffset = b.BaseOffset + int64(get.Uint32(src[23:]))
	if attributes&attrControl == 0 {
		return b, nil
	}
	return decodeMarker(b, src[batchHead:])
}

// decodeMarker reads the one record of a control batch: key = version, type; value = version, coordinator epoch.
func decodeMarker(b model.LogBatch, record []byte) (model.LogBatch, error) {
	varint := func() int64 {
		v, n := binary.Varint(record)
		record = record[max(n, 0):]
		return v
	}
	bytes := func() []byte {
		n := min(max(varint(), 0), int64(len(record)))
		taken := record[:n]
		record = record[n:]
		return taken
	}
	varint()            // length
	record = record[1:] // attributes
	varint()            // time delta
	varint()            // offset delta
	key, value := bytes(), bytes()
	if len(key) != 4 || len(value) < 6 {
		return b, fmt.Errorf("the marker at offset %d has a key of %d bytes and a value of %d", b.BaseOffset, len(key), len(value))
	}
	b.Control = model.Abort
	if key[3] == 1 {
		b.Control = model.Commit
	}
	b.CoordinatorEpoch = int32(binary.BigEndian.Uint32(value[2:]))
	return b, nil
}
