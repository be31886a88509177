package wiretap

import (
	"encoding/binary"
	"errors"
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// errNoRecords says why nothing was flipped. What is not in a record batch has no checksum: a bit flipped there would make another valid
// request or answer, which nobody can notice.
var errNoRecords = errors.New("wiretap: it has no records: it passed unchanged")

// flip has a rule flip a bit of the request's records.
func (o *outgoing) flip(f *Fault) {
	req, _ := parseRequest(o.frame, nil)
	decoded, err := req.Decode()
	if err == nil && !flipRecords(decoded) {
		err = errNoRecords
	}
	if o.err = err; err != nil {
		refund([]*Fault{f})
		return
	}
	f.hit()
}

// flipReply flips a bit of the reply's records, in place.
func flipReply(frame []byte, api kmsg.Key, version int16) error {
	decoded, err := decodeReply(frame, api, version)
	if err != nil {
		return err
	}
	if !flipRecords(decoded) {
		return errNoRecords
	}
	return nil
}

// Where the fields of a record batch are, as far as they are needed here.
const (
	batchLength  = 8 // int32, of what follows it
	batchPrefix  = batchLength + 4
	batchRecords = 61
)

// flipRecords flips the lowest bit of the last byte of the first whole record batch in a message, which kmsg has not copied out of its
// frame. It returns false if there is none.
func flipRecords(message any) (done bool) {
	eachField(reflect.ValueOf(message), func(name string, field reflect.Value) {
		records, ok := reflect.TypeAssert[[]byte](field)
		if done || !ok || name != "Records" && name != "RecordBatches" || len(records) <= batchRecords {
			return
		}
		end := batchPrefix + int(int32(binary.BigEndian.Uint32(records[batchLength:])))
		if end <= batchRecords || end > len(records) {
			return // only its beginning is there, which the client leaves aside
		}
		records[end-1] ^= 1
		done = true
	})
	return done
}
