package wiretap

import (
	"encoding/binary"
	"fmt"
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/broker/frames"
)

// replyHeader is the length of the fields that every reply has: size int32 | correlation id int32.
const replyHeader = 4 + 4

// decodeReply reads a complete reply frame as the answer to a request of api and version.
func decodeReply(frame []byte, api kmsg.Key, version int16) (kmsg.Response, error) {
	decoded := kmsg.ResponseForKey(api.Int16())
	if decoded == nil || version < 0 || version > decoded.MaxVersion() {
		return nil, fmt.Errorf("wiretap: reply with API key %d version %d is not known to kmsg: it cannot be decoded", api, version)
	}
	decoded.SetVersion(version)
	body := frame[replyHeader:]
	var err error
	if flexibleHeader(decoded) {
		body, err = frames.SkipTags(body)
	}
	if err == nil {
		err = decoded.ReadFrom(body)
	}
	if err != nil {
		return nil, fmt.Errorf("wiretap: decode %s v%d reply: %w", api.Name(), version, err)
	}
	return decoded, nil
}

// rewriteError returns the reply with every error_code field set to code: at the top level, and for each topic and partition, wherever
// the version has one. All other fields stay as the broker set them.
func rewriteError(frame []byte, api kmsg.Key, version, code int16) ([]byte, error) {
	decoded, err := decodeReply(frame, api, version)
	if err != nil {
		return nil, err
	}
	found := false
	eachField(reflect.ValueOf(decoded), func(name string, field reflect.Value) {
		if name == "ErrorCode" && field.Kind() == reflect.Int16 {
			field.SetInt(int64(code))
			found = true
		}
	})
	if !found {
		return nil, fmt.Errorf("wiretap: %s v%d reply has no error code to rewrite: it passed unchanged", api.Name(), version)
	}
	return encodeReply(frame, decoded), nil
}

// unlistAborted returns the reply to a Fetch without its lists of aborted transactions, and whether there were any.
func unlistAborted(frame []byte, version int16) (rewritten []byte, found bool, err error) {
	decoded, err := decodeReply(frame, kmsg.Fetch, version)
	if err != nil {
		return nil, false, err
	}
	resp, _ := decoded.(*kmsg.FetchResponse)
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[j]
			found = found || len(p.AbortedTransactions) > 0
			p.AbortedTransactions = nil
		}
	}
	return encodeReply(frame, decoded), found, nil
}

// encodeReply returns the frame of a decoded reply that was changed.
func encodeReply(frame []byte, decoded kmsg.Response) []byte {
	rewritten := append(make([]byte, 0, len(frame)), frame[:replyHeader]...)
	if flexibleHeader(decoded) {
		rewritten = append(rewritten, 0) // no tags
	}
	rewritten = decoded.AppendTo(rewritten)
	binary.BigEndian.PutUint32(rewritten, uint32(len(rewritten)-4))
	return rewritten
}

// flexibleHeader reports whether tags follow the correlation id. ApiVersions never has them (KIP-511): a client must be able to read
// that answer before it knows what the broker speaks.
func flexibleHeader(r kmsg.Response) bool {
	return r.IsFlexible() && r.Key() != kmsg.ApiVersions.Int16()
}

// eachField calls visit for every exported field of a kmsg message, at every depth.
func eachField(v reflect.Value, visit func(name string, field reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			eachField(v.Elem(), visit)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return // record bytes have no fields
		}
		for i := range v.Len() {
			eachField(v.Index(i), visit)
		}
	case reflect.Struct:
		for i, t := 0, v.Type(); i < t.NumField(); i++ {
			if field := t.Field(i); field.IsExported() {
				visit(field.Name, v.Field(i))
				eachField(v.Field(i), visit)
			}
		}
	default: // a value without fields
	}
}
