package wiretap

import (
	"encoding/binary"
	"math"
)

// maxFrame is the longest frame taken for Kafka's: above socket.request.max.bytes (100 MiB) and the client's limit on reads.
const maxFrame = 1 << 30

// frameSize reads a frame's size field and returns the frame's whole length; false if that cannot be a Kafka frame.
func frameSize(size []byte) (int, bool) {
	n := int32(binary.BigEndian.Uint32(size))
	return 4 + int(n), n >= 0 && n <= maxFrame
}

// assembler cuts a stream of written bytes into frames.
type assembler struct {
	partial []byte // the start of a frame whose rest is to come
	opaque  bool   // the stream is not Kafka's: it is no longer cut
}

// next takes bytes from p, used of them, and returns a frame if they complete one. The frame is part of p if it began in p, and else
// belongs to the caller. An opaque stream gives back what it is given.
func (a *assembler) next(p []byte) (frame []byte, used int) {
	if a.opaque {
		return p, len(p)
	}
	if len(a.partial) == 0 && len(p) >= 4 {
		length, ok := frameSize(p)
		if !ok {
			a.opaque = true
			return p, len(p)
		}
		if len(p) >= length {
			return p[:length:length], length
		}
		a.partial = make([]byte, 0, min(length, 1<<20)) // a size field alone must not cost a GiB
	}
	for used < len(p) {
		n := min(a.missing(), len(p)-used)
		a.partial = append(a.partial, p[used:used+n]...)
		used += n
		if len(a.partial) < 4 {
			continue
		}
		switch length, ok := frameSize(a.partial); {
		case !ok:
			return a.giveUp(p[used:], used)
		case len(a.partial) == length:
			frame, a.partial = a.partial, nil
			return frame, used
		}
	}
	return nil, used
}

// missing returns how many bytes partial needs to have its size field, or then to be whole.
func (a *assembler) missing() int {
	if len(a.partial) < 4 {
		return 4 - len(a.partial)
	}
	length, _ := frameSize(a.partial) // next has checked it
	return length - len(a.partial)
}

// giveUp makes the stream opaque, and returns all that was kept with the rest of it.
func (a *assembler) giveUp(rest []byte, used int) ([]byte, int) {
	all := append(a.partial, rest...)
	a.partial, a.opaque = nil, true
	return all, used + len(rest)
}

// endless is the length of what is left of an opaque stream.
const endless = math.MaxInt
