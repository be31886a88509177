package processor

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// ProvenanceHeader is the key of the header that says which input record an output was made of (Config.Provenance).
const ProvenanceHeader = "eos-pipe-from"

// Provenance is where an output comes from: the input record's place, and which of how many outputs of it this is.
type Provenance struct {
	Partition offsets.Partition
	Offset    int64
	Index     int // from 0
	Count     int
}

// String returns p as it stands in the header: "orders-3@1234 0/1".
func (p Provenance) String() string { return string(p.append(nil)) }

func (p Provenance) append(b []byte) []byte {
	b = append(b, p.Partition.Topic...)
	b = append(b, '-')
	b = strconv.AppendInt(b, int64(p.Partition.Number), 10)
	b = append(b, '@')
	b = strconv.AppendInt(b, p.Offset, 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(p.Index), 10)
	b = append(b, '/')
	return strconv.AppendInt(b, int64(p.Count), 10)
}

// ParseProvenance reads what String writes.
func ParseProvenance(text []byte) (Provenance, error) {
	bad := func() (Provenance, error) {
		return Provenance{}, fmt.Errorf("provenance %q is not of the form topic-partition@offset index/count", text)
	}
	place, part, ok := bytes.Cut(text, []byte(" "))
	at := bytes.LastIndexByte(place, '@')
	if !ok || at < 0 {
		return bad()
	}
	partition, err := offsets.ParsePartition(string(place[:at]))
	if err != nil {
		return bad()
	}
	offset, err := strconv.ParseInt(string(place[at+1:]), 10, 64)
	if err != nil || offset < 0 {
		return bad()
	}
	left, right, ok := bytes.Cut(part, []byte("/"))
	index, ierr := strconv.Atoi(string(left))
	count, cerr := strconv.Atoi(string(right))
	if !ok || ierr != nil || cerr != nil || index < 0 || index >= count {
		return bad()
	}
	return Provenance{Partition: partition, Offset: offset, Index: index, Count: count}, nil
}

// ProvenanceOf returns the provenance of an output record; ok is false when it carries none that can be read. Where a
// record went through several pipes, the last one counts.
func ProvenanceOf(r *kgo.Record) (p Provenance, ok bool) {
	for _, h := range slices.Backward(r.Headers) {
		if h.Key == ProvenanceHeader {
			p, err := ParseProvenance(h.Value)
			return p, err == nil
		}
	}
	return p, false
}
