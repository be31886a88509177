package eostest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/broker/frames"
	"github.com/eos-pipe/eos-pipe/trace"
)

// exchange is one request with the events that it makes, and its answer once it is there.
type exchange struct {
	conn, sent, done int64 // its connection; the steps at which it was sent and answered; done is 0 without an answer
	timeMs           int64
	request          kmsg.Request
	events           []trace.Event
}

// conn passes everything and reads along. What is noted of a request is noted before it can take effect, and of an answer before the
// client can act on it: so what depends on an answer is noted behind it.
type conn struct {
	net.Conn
	w  *Watcher
	id int64

	writing  sync.Mutex
	requests frames.Cutter
	reading  sync.Mutex
	replies  frames.Cutter

	mu      sync.Mutex
	pending map[int32]*exchange // by correlation id
}

// The fields before the body: size int32 | key int16 | version int16 | correlation id int32, and in an answer size and correlation id.
const (
	requestHead = 4 + 2 + 2 + 4
	replyHead   = 4 + 4
)

func newConn(w *Watcher, inner net.Conn, id int64) *conn {
	c := &conn{Conn: inner, w: w, id: id, pending: map[int32]*exchange{}}
	c.requests = frames.Cutter{HeadLength: requestHead, Take: c.takeRequest, IsWanted: func(head []byte) bool {
		return isWatched(kmsg.Key(int16(binary.BigEndian.Uint16(head[4:]))))
	}}
	c.replies = frames.Cutter{HeadLength: replyHead, Take: c.takeReply, IsWanted: func(head []byte) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.pending[int32(binary.BigEndian.Uint32(head[4:]))] != nil
	}}
	return c
}

// Write notes the requests that end in p, and forwards p.
func (c *conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	c.requests.Feed(p)
	c.noteForeign(&c.requests)
	c.writing.Unlock()
	return c.Conn.Write(p)
}

// Read notes the answers that end in what it reads.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.reading.Lock()
	c.replies.Feed(p[:n])
	c.noteForeign(&c.replies)
	c.reading.Unlock()
	return n, err
}

func (c *conn) noteForeign(f *frames.Cutter) {
	if f.IsForeign() {
		c.w.cannotRead(errors.New("what is sent is not Kafka's protocol"))
	}
}

func (c *conn) takeRequest(frame []byte) {
	key, version := kmsg.Key(int16(binary.BigEndian.Uint16(frame[4:]))), int16(binary.BigEndian.Uint16(frame[6:]))
	client, req, err := parseRequest(key, version, frame[requestHead:])
	if err != nil {
		c.w.cannotRead(fmt.Errorf("%s v%d: %w", key.Name(), version, err))
		return
	}
	e := &exchange{request: req, conn: c.id}
	if e.events, err = c.w.eventsOf(req, client); err != nil {
		c.w.cannotRead(fmt.Errorf("%s v%d: %w", key.Name(), version, err))
		return
	}
	c.w.sent(e)
	if produce, ok := req.(*kmsg.ProduceRequest); ok && produce.Acks == 0 {
		return // nobody answers
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending[int32(binary.BigEndian.Uint32(frame[8:]))] = e
}

func (c *conn) takeReply(frame []byte) {
	c.mu.Lock()
	id := int32(binary.BigEndian.Uint32(frame[4:]))
	e := c.pending[id]
	delete(c.pending, id)
	c.mu.Unlock()
	resp := e.request.ResponseKind()
	body := frame[replyHead:]
	var err error
	if resp.IsFlexible() {
		body, err = frames.SkipTags(body)
	}
	if err == nil {
		err = resp.ReadFrom(body)
	}
	if err != nil {
		c.w.cannotRead(fmt.Errorf("answer to %s v%d: %w", kmsg.Key(resp.Key()).Name(), resp.GetVersion(), err))
		return
	}
	c.w.answered(e, c.w.answer(e.events, resp))
}

// parseRequest reads a request behind its correlation id: the client's id, tags, and the body.
func parseRequest(key kmsg.Key, version int16, src []byte) (client string, req kmsg.Request, err error) {
	req = kmsg.RequestForKey(key.Int16())
	if version < 0 || version > req.MaxVersion() {
		return "", nil, errors.New("this version is not known")
	}
	req.SetVersion(version)
	if client, src, err = frames.ClientID(src); err != nil {
		return "", nil, err
	}
	if req.IsFlexible() {
		if src, err = frames.SkipTags(src); err != nil {
			return "", nil, err
		}
	}
	return client, req, req.ReadFrom(src)
}
