package wiretap

import (
	"io"
	"net"
	"os"
	"time"
)

// deadline is a read deadline that can be changed while a Read waits for it.
type deadline struct {
	at      time.Time
	changed chan struct{} // closed at the next change; nil if nobody waits
}

// set changes the deadline.
func (d *deadline) set(t time.Time) {
	d.at = t
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

// watch returns the deadline, and a channel that is closed when that changes.
func (d *deadline) watch() (time.Time, <-chan struct{}) {
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.at, d.changed
}

// await is how Read waits: until ready is closed or, unless zero, until at. It fails at the read deadline, when the client closes the
// connection, and after Cut.
func (c *conn) await(ready <-chan struct{}, at time.Time) error {
	for {
		c.mu.Lock()
		limit, changed := c.readDeadline.watch()
		c.mu.Unlock()
		switch {
		case past(limit):
			return os.ErrDeadlineExceeded
		case past(at):
			return nil
		}
		alarm, stop := alarmAt(earlier(limit, at))
		select {
		case <-ready:
			stop()
			return nil
		case <-alarm:
		case <-changed:
		case <-c.closed:
			stop()
			return net.ErrClosed
		case <-c.gone:
			stop()
			return io.EOF
		}
		stop()
	}
}

// alarmAt returns a channel that speaks at t, never if t is zero, and what stops its timer.
func alarmAt(t time.Time) (<-chan time.Time, func()) {
	if t.IsZero() {
		return nil, func() {}
	}
	timer := time.NewTimer(time.Until(t))
	return timer.C, func() { timer.Stop() }
}

// past reports whether t has come, where zero is never.
func past(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

// earlier returns the earlier time, where zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
