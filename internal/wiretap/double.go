package wiretap

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/eos-pipe/eos-pipe/internal/broker/frames"
)

// copyTimeout is how long a broker may take to answer a copy; Kafka answers whatever is doubled in tests within seconds.
const copyTimeout = time.Minute

// copied is a request that is delivered again.
type copied struct {
	fault            *Fault
	network, address string
	request          outgoing
	event            Event
	end              context.CancelFunc // discards it
}

// double has the rules deliver a request again that was just forwarded. Its bytes are the same, and so are not changed by other rules.
func (c *conn) double(faults []*Fault, o outgoing) {
	for _, f := range faults {
		ctx, cancel := context.WithCancel(context.Background())
		d := &copied{fault: f, network: c.network, address: c.address, request: o, event: c.event(PhaseRequest, o.exchange(), len(o.frame)), end: cancel}
		d.event.Copy = true
		d.event.note(f)
		c.tap.mu.Lock()
		ok := !c.tap.down
		if ok {
			c.tap.copies[d] = struct{}{}
			c.tap.work.Go(func() { c.tap.deliver(ctx, d) })
		}
		c.tap.mu.Unlock()
		if !ok {
			cancel()
			refund([]*Fault{f})
		}
	}
}

// deliver delivers a copy when it is time. If that cannot be done, the rule gets its match back.
func (t *Tap) deliver(ctx context.Context, d *copied) {
	defer d.end()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.copies, d)
	}()
	err := d.await(ctx)
	if err == nil {
		err = t.admit(ctx, d.network)
	}
	if err == nil {
		err = t.send(ctx, d)
	}
	if err != nil {
		refund([]*Fault{d.fault})
		return
	}
	d.fault.hit()
}

// await waits for Release, or for the delay to be over.
func (d *copied) await(ctx context.Context) error {
	var alarm <-chan time.Time
	released := d.fault.released
	if d.fault.rule.Action == DoubleRequest {
		timer := time.NewTimer(d.fault.rule.Delay)
		defer timer.Stop()
		alarm, released = timer.C, nil
	}
	select {
	case <-alarm:
	case <-released:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// send delivers a copy over a connection of its own, and reads the answer.
func (t *Tap) send(ctx context.Context, d *copied) error {
	conn, err := t.dial(ctx, d.network, d.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_ = conn.SetDeadline(time.Now().Add(copyTimeout)) // a connection without deadlines ends with the tap
	t.mu.Lock()
	t.lastID++
	d.event.Conn = t.lastID
	t.mu.Unlock()
	d.event.Time = time.Now()
	t.log.record(d.event)
	if _, err := conn.Write(d.request.frame); err != nil || !d.request.answer {
		return err
	}
	frame, err := readWhole(conn)
	if err != nil {
		return err
	}
	e := d.event
	e.Phase, e.Time, e.Bytes, e.Dropped = PhaseReply, time.Now(), len(frame), true
	t.log.record(e)
	answer, err := decodeReply(frame, e.API, e.Version)
	if err == nil {
		d.fault.note(answer)
	}
	return nil // also if kmsg cannot read the answer: it was delivered
}

// readWhole reads one frame.
func readWhole(conn net.Conn) ([]byte, error) {
	frame := make([]byte, replyHeader)
	if _, err := io.ReadFull(conn, frame); err != nil {
		return nil, err
	}
	length, ok := frameSize(frame)
	if !ok || length < replyHeader {
		return nil, frames.ErrShort
	}
	rest, err := io.ReadAll(io.LimitReader(conn, int64(length-replyHeader)))
	frame = append(frame, rest...)
	if err == nil && len(frame) < length {
		err = io.ErrUnexpectedEOF
	}
	return frame, err
}
