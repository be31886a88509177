package wiretap

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/broker/frames"
)

// Request is one complete request frame. It is valid only during the call it was given to.
type Request struct {
	API           kmsg.Key
	Version       int16
	CorrelationID int32
	Addr          string // address of the broker it goes to

	frame  []byte // size int32 | api key int16 | api version int16 | correlation id int32 | client id | [tags] | body
	topics *topicNames
}

// minRequest is the length of the fields that every request has.
const minRequest = 4 + 2 + 2 + 4

// parseRequest reads a frame's fixed fields; ok is false if it is too short to have them.
func parseRequest(frame []byte, topics *topicNames) (req Request, ok bool) {
	if len(frame) < minRequest {
		return Request{}, false
	}
	return Request{
		API:           kmsg.Key(binary.BigEndian.Uint16(frame[4:])),
		Version:       int16(binary.BigEndian.Uint16(frame[6:])),
		CorrelationID: int32(binary.BigEndian.Uint32(frame[8:])),
		frame:         frame,
		topics:        topics,
	}, true
}

// Frame returns the request's bytes, its size field included. They must be neither changed nor kept.
func (r Request) Frame() []byte { return r.frame }

// ClientID returns the client id in the request's header; empty if there is none.
func (r Request) ClientID() string {
	id, _, _ := r.header()
	return id
}

// Decode returns the request as kmsg knows it. It fails on an API or version that kmsg does not know, and on a malformed request.
func (r Request) Decode() (kmsg.Request, error) {
	decoded := kmsg.RequestForKey(r.API.Int16())
	if decoded == nil || r.Version < 0 || r.Version > decoded.MaxVersion() {
		return nil, fmt.Errorf("wiretap: request with API key %d version %d is not known to kmsg: it cannot be decoded", r.API, r.Version)
	}
	decoded.SetVersion(r.Version)
	_, body, err := r.header()
	if err == nil && decoded.IsFlexible() {
		body, err = frames.SkipTags(body)
	}
	if err == nil {
		err = decoded.ReadFrom(body)
	}
	if err != nil {
		return nil, fmt.Errorf("wiretap: decode %s v%d request: %w", r.API.Name(), r.Version, err)
	}
	return decoded, nil
}

// Where makes a condition for Rule.When of a request decoded to its own type; a request of another type does not match:
//
//	When: wiretap.Where(func(r *kmsg.InitProducerIDRequest) bool { return r.ProducerEpoch >= 0 })
func Where[R kmsg.Request](keep func(R) bool) func(Request) bool {
	return func(req Request) bool {
		decoded, err := req.Decode()
		if err != nil {
			return false
		}
		typed, ok := decoded.(R)
		return ok && keep(typed)
	}
}

// Topics returns the names of the topics that the request names, sorted, each once. Versions that carry topic ids (Produce from v13,
// Fetch from v13) are resolved with the Metadata replies that passed through this tap; ids never seen there are left out.
func (r Request) Topics() []string {
	decoded, err := r.Decode()
	if err != nil {
		return nil
	}
	var names []string
	eachField(reflect.ValueOf(decoded), func(name string, field reflect.Value) {
		switch v := field.Interface().(type) {
		case string:
			if name == "Topic" {
				names = append(names, v)
			}
		case *string:
			if name == "Topic" && v != nil {
				names = append(names, *v)
			}
		case [16]byte:
			if name == "TopicID" {
				names = append(names, r.topics.name(v))
			}
		}
	})
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == "" })
}

// names reports whether the request names topic.
func (r Request) names(topic string) bool { return slices.Contains(r.Topics(), topic) }

// header splits the frame into its client id and what follows it.
func (r Request) header() (clientID string, rest []byte, err error) {
	rest = r.frame[minRequest:]
	if r.API == kmsg.ControlledShutdown && r.Version == 0 {
		return "", rest, nil // the one header without a client id
	}
	return frames.ClientID(rest)
}

// answered reports whether the broker answers the request: all but a Produce with acks=0, which Kafka answers with nothing.
func (r Request) answered() bool {
	if r.API != kmsg.Produce {
		return true
	}
	_, body, err := r.header()
	if err != nil {
		return true
	}
	if r.Version >= 9 { // flexible: header tags, then a compact transactional id
		if body, err = frames.SkipTags(body); err != nil {
			return true
		}
		n, used := binary.Uvarint(body)
		if used <= 0 || n > uint64(len(body)) {
			return true
		}
		body = body[min(used+max(int(n)-1, 0), len(body)):]
	} else if r.Version >= 3 && len(body) >= 2 {
		n := max(int(int16(binary.BigEndian.Uint16(body))), 0)
		body = body[min(2+n, len(body)):]
	}
	return len(body) < 2 || binary.BigEndian.Uint16(body) != 0
}

// topicNames learns the names of topic ids from Metadata replies.
type topicNames struct {
	mu   sync.Mutex
	byID map[[16]byte]string
}

// learn takes up the ids in a Metadata reply. A reply that cannot be read teaches nothing.
func (t *topicNames) learn(frame []byte, version int16) {
	decoded, err := decodeReply(frame, kmsg.Metadata, version)
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID == nil {
		t.byID = make(map[[16]byte]string)
	}
	for _, topic := range decoded.(*kmsg.MetadataResponse).Topics {
		if topic.Topic != nil && topic.TopicID != [16]byte{} {
			t.byID[topic.TopicID] = *topic.Topic
		}
	}
}

// name returns the topic's name, or "" if it is not known.
func (t *topicNames) name(id [16]byte) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id]
}
