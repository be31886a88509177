package registry

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/sr"
)

var header sr.ConfluentHeader

// Split takes the wire format's header off a value: the id of the schema it was written with, and what follows.
func Split(data []byte) (id int, rest []byte, err error) {
	id, rest, err = header.DecodeID(data)
	if err != nil {
		return 0, nil, fmt.Errorf("the value has no magic byte and schema id before it; it was not written for a schema registry: %w", err)
	}
	return id, rest, nil
}

// maxIndexes bounds how deep a message may be nested: what is deeper is damaged, not a schema.
const maxIndexes = 64

// SplitIndexes takes off the message indexes which follow the id in Protobuf: the way to the message in its file.
func SplitIndexes(data []byte) (indexes []int, rest []byte, err error) {
	indexes, rest, err = header.DecodeIndex(data, maxIndexes)
	if err != nil {
		return nil, nil, fmt.Errorf("the value has no message indexes after its schema id; it is damaged, or not Protobuf: %w", err)
	}
	return indexes, rest, nil
}

// Header returns the header of values that were written with the schema of that id; with indexes, of Protobuf's. There is
// room behind it for what follows.
func Header(id int, indexes ...int) []byte {
	b, _ := header.AppendEncode(make([]byte, 0, 128), id, indexes) // its error is always nil
	return b
}
