package wiretap

import (
	"bytes"
	"os"
	"time"
)

// writer is the state of Write.
type writer struct {
	frames assembler
	rest   int // bytes of the current frame that a failed Write of the real connection left: they pass unseen
}

// outgoing is a request that has been written and not yet forwarded.
type outgoing struct {
	frame   []byte
	request Request // its frame field is not used; zero if opaque
	opaque  bool    // not a request: forwarded as it is
	written time.Time
	answer  bool     // the broker will answer it
	err     error    // why a rule could not act
	faults  []*Fault // that act on the request, each with a reserved hit
	onReply []*Fault
}

// exchange returns what is to be known when the answer comes.
func (o outgoing) exchange() exchange {
	return exchange{o.request.API, o.request.Version, o.request.CorrelationID, o.onReply}
}

// Write cuts p into requests and forwards them. It returns when the real connection has taken them or the tap has queued them; the
// start of a request is kept until its rest is written.
func (c *conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	done := 0
	for done < len(p) {
		n, err := c.writeSome(p[done:])
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// writeSome takes the next request, or part of one, from p.
func (c *conn) writeSome(p []byte) (int, error) {
	if err := c.writeError(); err != nil {
		return 0, err
	}
	if c.writer.rest > 0 {
		n, err := c.inner.Write(p[:min(len(p), c.writer.rest)])
		c.writer.rest -= n
		return n, err
	}
	kept := len(c.writer.frames.partial) > 0
	frame, used := c.writer.frames.next(p)
	if frame == nil {
		return used, nil
	}
	o := c.judge(frame)
	switch queued, err := c.enqueue(o); {
	case err != nil || queued:
		return used, err
	case !c.forward(o):
		return 0, c.writeError()
	}
	n, err := c.inner.Write(frame)
	switch {
	case err == nil:
		return used, nil
	case kept: // The caller cannot be told which bytes of p were not sent, for some were taken before: nothing more can be sent.
		c.sever()
		return 0, err
	case !o.opaque:
		c.writer.rest = len(frame) - n
	}
	return n, err
}

// judge finds the rules that apply to a frame.
func (c *conn) judge(frame []byte) outgoing {
	o := outgoing{frame: frame}
	req, ok := parseRequest(frame, &c.tap.topics)
	req.Addr = c.addr
	if o.opaque = c.writer.frames.opaque || !ok; o.opaque {
		return o
	}
	o.answer = req.answered()
	o.faults, o.onReply = c.tap.match(req)
	o.request = Request{API: req.API, Version: req.Version, CorrelationID: req.CorrelationID}
	return o
}

// enqueue gives a request to the sender if it must wait: for a rule, for Thaw, or for others that wait.
func (c *conn) enqueue(o outgoing) (queued bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.sending && len(o.faults) == 0 && c.tap.thawed() == nil {
		return false, nil
	}
	if !c.writeDeadline.IsZero() && !time.Now().Before(c.writeDeadline) {
		refund(o.faults)
		refund(o.onReply)
		return false, os.ErrDeadlineExceeded
	}
	o.frame, o.written = bytes.Clone(o.frame), time.Now()
	c.queue = append(c.queue, o)
	if !c.sending {
		c.sending = c.spawn(c.send)
		_ = c.inner.SetWriteDeadline(time.Time{})
	}
	return true, nil
}

// forward registers and logs a request whose bytes go to the broker next; false means that the connection has ended.
func (c *conn) forward(o outgoing) bool {
	if o.opaque {
		return !isClosed(c.severed)
	}
	if !c.expect(o.exchange(), o.answer) {
		return false
	}
	e := c.event(PhaseRequest, o.exchange(), len(o.frame))
	e.Err = o.err
	for _, f := range o.faults {
		e.note(f)
	}
	c.tap.log.record(e)
	return true
}

// send is the sender: it forwards the queue in order, each request when its rules allow, and ends when the queue is empty.
func (c *conn) send() {
	defer c.finish()
	for {
		o, ok := c.dequeue()
		if !ok {
			return
		}
		doubles, left, ok := c.holdUp(&o)
		if !ok {
			refund(left)
			refund(doubles)
			refund(o.onReply)
			continue // dequeue sees that the connection has ended
		}
		if !c.forward(o) {
			refund(doubles)
			continue
		}
		if _, err := c.inner.Write(o.frame); err != nil {
			c.sever()
		}
		c.double(doubles, o)
	}
}

// dequeue returns the next request to forward. If there is none, or the connection has ended, the sender has ended too.
func (c *conn) dequeue() (outgoing, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) > 0 && !isClosed(c.severed) {
		o := c.queue[0]
		c.queue = c.queue[1:]
		return o, true
	}
	for _, o := range c.queue {
		refund(o.faults)
		refund(o.onReply)
	}
	c.queue, c.sending = nil, false
	if !isClosed(c.severed) {
		_ = c.inner.SetWriteDeadline(c.writeDeadline)
	}
	return outgoing{}, false
}

// holdUp has the rules on a request act, and returns when it may be forwarded, with the rules that double it. If the connection ends
// first it returns false, and the rules that have not acted.
func (c *conn) holdUp(o *outgoing) (doubles, left []*Fault, ok bool) {
	if !c.passFreeze() {
		return nil, o.faults, false
	}
	e := c.event(PhaseRequest, o.exchange(), len(o.frame))
	for i, f := range o.faults {
		e.note(f)
		switch f.rule.Action {
		case DropRequest, CutRequest, HangRequest:
			c.stopAt(f, o, e)
			return doubles, o.faults[i+1:], false
		case DelayRequest:
			f.hit()
			ok = c.passTime(o.written.Add(f.rule.Delay))
		case HoldRequest:
			f.hit()
			ok = c.pass(f.released)
		case CallOnRequest:
			f.rule.Call(e)
			f.hit()
			ok = !isClosed(c.severed)
		case DoubleRequest, HoldDouble:
			doubles, ok = append(doubles, f), true
		case FlipRequest:
			o.flip(f)
			ok = true
		default: // match gives no action on replies
			panic("wiretap: " + f.text + " does not act on a request")
		}
		if !ok {
			return doubles, o.faults[i+1:], false
		}
	}
	return doubles, nil, c.passFreeze()
}

// stopAt has a rule act that lets neither this request pass nor any after it. It returns when the connection has ended.
func (c *conn) stopAt(f *Fault, o *outgoing, e Event) {
	e.Dropped = true
	c.tap.log.record(e)
	if f.rule.Call != nil {
		f.rule.Call(e)
	}
	f.count()
	switch f.rule.Action {
	case CutRequest:
		_, _ = c.inner.Write(o.frame[:len(o.frame)/2]) // it is closed all the same
	case HangRequest:
		f.tell()
		select {
		case <-c.severed:
		case <-c.closed:
		}
		c.sever()
		return
	default: // DropRequest: not a byte
	}
	c.sever()
	f.tell()
}

// passFreeze waits until the tap is not frozen; false means that the connection has ended first.
func (c *conn) passFreeze() bool {
	for {
		thawed := c.tap.thawed()
		if thawed == nil {
			return true
		}
		if !c.pass(thawed) {
			return false
		}
	}
}

// pass waits until ready is closed; false means that the connection has ended first.
func (c *conn) pass(ready <-chan struct{}) bool {
	select {
	case <-ready:
		return true
	case <-c.severed:
		return false
	}
}

// passTime waits until t; false means that the connection has ended first.
func (c *conn) passTime(t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.severed:
		return false
	}
}
