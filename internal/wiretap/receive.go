package wiretap

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// reader is the state of Read. Once a receiver runs, it is the receiver's.
type reader struct {
	buf     *bufio.Reader
	rest    int      // bytes of the current reply that the client has not read yet
	current exchange // what the current reply answers
	known   bool     // current is set: the reply answers a request
	length  int      // of the current reply
	copied  []byte   // what has passed of the current reply, if its topic names are to be learned
	opaque  bool     // the stream is not Kafka's: it is no longer cut
}

// incoming is a reply that has been received and not yet read by the client.
type incoming struct {
	frame []byte // what is left to read
	at    time.Time
	holds []*Fault // that must be released first
	after []afterCall
}

// afterCall is a function to be run once the client has read a reply, with the rule that asks for it.
type afterCall struct {
	fault *Fault
	event Event
}

// Read hands the client the broker's replies, and no more than one at a time. It returns io.EOF once a rule has closed the connection
// and what came before has been read.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	for {
		if isClosed(c.closed) || isClosed(c.gone) {
			return 0, c.readError(nil)
		}
		c.callAfter()
		if c.isReceiving() {
			return c.readInbox(p)
		}
		if c.reader.rest == 0 {
			if err := c.nextReply(); err != nil {
				return 0, c.readError(err)
			}
			continue
		}
		return c.readReply(p)
	}
}

// readReply passes on bytes of the current reply.
func (c *conn) readReply(p []byte) (int, error) {
	r := &c.reader
	if _, err := r.buf.Peek(1); err != nil {
		return 0, c.readError(err)
	}
	// The bytes stay in the buffer until they may pass: a deadline that ends the wait loses none.
	if err := c.awaitThaw(); err != nil {
		return 0, err
	}
	n, err := r.buf.Read(p[:min(len(p), r.rest)])
	r.rest -= n
	if r.copied != nil {
		r.copied = append(r.copied, p[:n]...)
	}
	if r.rest == 0 && r.known {
		c.replied(r.current, r.length, r.copied)
	}
	return n, err
}

// replied logs a reply that passed with no rule acting on it.
func (c *conn) replied(x exchange, length int, copied []byte) {
	if copied != nil {
		c.tap.topics.learn(copied, x.version)
	}
	c.tap.log.record(c.event(PhaseReply, x, length))
}

// nextReply waits for the next reply's header. If a rule acts on the reply it starts a receiver, which finds it in the buffer.
func (c *conn) nextReply() error {
	r := &c.reader
	length, id, err := r.peekHeader()
	switch {
	case err != nil && r.buf.Buffered() > 0 && !errors.Is(err, os.ErrDeadlineExceeded):
		r.rest, r.known = r.buf.Buffered(), false // the stream ends within a header: the client gets what there is
		return nil
	case err != nil:
		return err
	}
	x, known := exchange{}, false
	if !r.opaque && length >= replyHeader {
		x, known = c.answered(id, false)
	}
	if len(x.faults) > 0 {
		if c.startReceiving() && !c.spawn(c.receive) {
			return io.EOF
		}
		return nil
	}
	r.current, r.known, r.rest, r.length, r.copied = x, known, length, length, nil
	if known && x.api == kmsg.Metadata {
		r.copied = make([]byte, 0, min(length, 1<<20))
	}
	return nil
}

// peekHeader waits for the next reply's length and correlation id, and leaves them in the buffer. An opaque stream is one endless reply.
func (r *reader) peekHeader() (length int, correlationID int32, err error) {
	if r.opaque {
		return endless, 0, nil
	}
	size, err := r.buf.Peek(4)
	if err != nil {
		return 0, 0, err
	}
	length, ok := frameSize(size)
	if !ok {
		r.opaque = true
		return endless, 0, nil
	}
	if length < replyHeader {
		return length, 0, nil
	}
	header, err := r.buf.Peek(replyHeader)
	if err != nil {
		return 0, 0, err
	}
	return length, int32(binary.BigEndian.Uint32(header[4:])), nil
}

// startReceiving gives the read side to a receiver; false means that there is one already. The caller holds reading, and runs receive.
func (c *conn) startReceiving() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.receiving {
		return false
	}
	c.receiving = true
	if !isClosed(c.severed) {
		_ = c.inner.SetReadDeadline(time.Time{})
	}
	return true
}

// isReceiving reports whether the read side is a receiver's.
func (c *conn) isReceiving() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.receiving
}

// receive is the receiver: it reads the broker's replies as they come, has the rules act on them, and puts them into the inbox. It ends
// when the connection does.
func (c *conn) receive() {
	for {
		frame, whole, err := c.reader.readFrame()
		switch {
		case err != nil:
			if len(frame) > 0 {
				c.deliver(&incoming{frame: frame})
			}
			c.endInbox(err)
			return
		case !whole:
			c.deliver(&incoming{frame: frame})
		case !c.act(frame):
			c.endInbox(io.EOF)
			return
		}
	}
}

// readFrame returns the next whole reply, or, with whole false, bytes that are none: the rest of a reply that the client had begun to
// read, or of an opaque stream. With an error it returns what there was before.
func (r *reader) readFrame() (frame []byte, whole bool, err error) {
	length := r.rest
	if length == 0 {
		if length, _, err = r.peekHeader(); err != nil {
			frame, _ = r.buf.Peek(r.buf.Buffered())
			return bytes.Clone(frame), false, err
		}
		whole = length >= replyHeader
	}
	if r.opaque {
		if _, err = r.buf.Peek(1); err != nil {
			return nil, false, err
		}
		length, whole = r.buf.Buffered(), false
	}
	var b bytes.Buffer
	_, err = io.CopyN(&b, r.buf, int64(length))
	r.rest = 0
	return b.Bytes(), whole, err
}

// act has the rules act on a reply; false means that a rule has closed the connection, or that it has ended.
func (c *conn) act(frame []byte) bool {
	x, known := c.answered(int32(binary.BigEndian.Uint32(frame[4:])), true)
	if !known {
		return c.deliver(&incoming{frame: frame})
	}
	e := c.event(PhaseReply, x, len(frame))
	if isClosed(c.closed) { // the client will not read it
		refund(x.faults)
		e.Dropped = true
		c.tap.log.record(e)
		c.finish()
		return true
	}
	if x.api == kmsg.Metadata {
		c.tap.topics.learn(frame, x.version)
	}
	if !c.passFreeze() {
		refund(x.faults)
		return false
	}
	in := &incoming{frame: frame, at: e.Time}
	for i, f := range x.faults {
		e.note(f)
		switch f.rule.Action {
		case DropReply, CutReply, HangReply:
			c.endAt(f, in, e)
			refund(x.faults[i+1:])
			return false
		default:
			c.apply(f, x, in, &e)
		}
	}
	c.tap.log.record(e)
	return c.deliver(in)
}

// endAt has a rule act that lets no more replies pass. It returns when the connection has ended.
func (c *conn) endAt(f *Fault, in *incoming, e Event) {
	e.Dropped = true
	c.tap.log.record(e)
	refundAfter(in.after)
	if f.rule.Call != nil {
		f.rule.Call(e)
	}
	f.count()
	if f.rule.Action == HangReply {
		f.tell()
		c.hang()
		return
	}
	if f.rule.Action == CutReply {
		in.frame, in.after = in.frame[:len(in.frame)/2], nil
		c.deliver(in)
	}
	c.sever()
	f.tell()
}

// hang throws away what the broker sends. That the broker closes the connection does not reach the client either.
func (c *conn) hang() {
	_, _ = io.Copy(io.Discard, c.reader.buf) // ends with the connection, one way or the other
	select {
	case <-c.severed:
		if !isClosed(c.gone) {
			<-c.closed // severed by a rule or an error: the client sees nothing of that
		}
	case <-c.closed:
	case <-c.gone:
	}
}

// callAfter runs the functions that wait for the client to have read the reply before. The caller holds reading.
func (c *conn) callAfter() {
	c.mu.Lock()
	after := c.after
	c.after = nil
	c.mu.Unlock()
	for _, a := range after {
		a.fault.rule.Call(a.event)
		a.fault.hit()
	}
}

// refundAfter gives hits back that will not happen.
func refundAfter(after []afterCall) {
	for _, a := range after {
		refund([]*Fault{a.fault})
	}
}

// apply has one rule act on a reply that goes on.
func (c *conn) apply(f *Fault, x exchange, in *incoming, e *Event) {
	switch f.rule.Action {
	case DelayReply:
		in.at = in.at.Add(f.rule.Delay)
	case HoldReply:
		in.holds = append(in.holds, f)
	case CallOnReply:
		f.rule.Call(*e)
	case CallAfterReply:
		in.after = append(in.after, afterCall{f, *e}) // and a hit then
		return
	case FlipReply:
		if err := flipReply(in.frame, x.api, x.version); err != nil {
			e.Err = err
			refund([]*Fault{f})
			return
		}
	case RewriteError:
		rewritten, err := rewriteError(in.frame, x.api, x.version, f.rule.ErrorCode)
		if err != nil {
			e.Err = err
			refund([]*Fault{f})
			return
		}
		in.frame = rewritten
	case UnlistAborted:
		rewritten, found, err := unlistAborted(in.frame, x.version)
		if !found {
			e.Err = err
			refund([]*Fault{f})
			return
		}
		in.frame = rewritten
	default: // match gives no action on requests, and act has done those that end the line
		panic("wiretap: " + f.text + " does not act on a reply that goes on")
	}
	f.hit()
}

// deliver puts a reply into the inbox; false means that the connection has ended.
func (c *conn) deliver(in *incoming) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inbox = append(c.inbox, in)
	c.wake()
	return !isClosed(c.severed)
}

// endInbox ends the read side: the client gets what the inbox holds, then err.
func (c *conn) endInbox(err error) {
	err = c.readError(err)
	c.mu.Lock()
	c.readErr = err
	c.wake()
	closed := isClosed(c.closed)
	c.mu.Unlock()
	if closed { // nobody else will find the connection broken
		c.sever()
	}
}

// wake wakes a Read that waits for the inbox. The caller holds mu.
func (c *conn) wake() {
	close(c.news)
	c.news = make(chan struct{})
}

// readInbox hands the client the oldest reply in the inbox, once its rules allow.
func (c *conn) readInbox(p []byte) (int, error) {
	for {
		c.mu.Lock()
		in, news, err := c.head(), c.news, c.readErr
		c.mu.Unlock()
		switch {
		case in != nil:
			if err := c.awaitReply(in); err != nil {
				return 0, err
			}
			n := copy(p, in.frame)
			if in.frame = in.frame[n:]; len(in.frame) == 0 {
				c.mu.Lock()
				c.inbox = c.inbox[1:]
				c.after = append(c.after, in.after...)
				c.mu.Unlock()
			}
			return n, nil
		case err != nil:
			return 0, err
		}
		if err := c.await(news, time.Time{}); err != nil {
			return 0, err
		}
	}
}

// head returns the oldest reply in the inbox, or nil. The caller holds mu.
func (c *conn) head() *incoming {
	if len(c.inbox) == 0 {
		return nil
	}
	return c.inbox[0]
}

// awaitReply waits until the client may read the reply.
func (c *conn) awaitReply(in *incoming) error {
	for _, f := range in.holds {
		if err := c.await(f.released, time.Time{}); err != nil {
			return err
		}
	}
	if time.Until(in.at) > 0 {
		if err := c.await(nil, in.at); err != nil {
			return err
		}
	}
	return c.awaitThaw()
}

// awaitThaw waits until the tap is not frozen.
func (c *conn) awaitThaw() error {
	for {
		thawed := c.tap.thawed()
		if thawed == nil {
			return nil
		}
		if err := c.await(thawed, time.Time{}); err != nil {
			return err
		}
	}
}
