package eostest

import (
	"encoding/binary"
	"slices"
)

// maxFrame is longer than any frame of Kafka's: socket.request.max.bytes is 100 MiB.
const maxFrame = 1 << 30

// frames cuts one direction of a connection into frames. Frames that nobody wants are passed over without being kept.
type frames struct {
	headLength int                    // bytes of a frame that say whether it is wanted, its size field included
	isWanted   func(head []byte) bool // asked once for each frame
	take       func(frame []byte)     // gets each wanted frame, which it may keep

	frame     []byte // the head, and all of a wanted frame
	left      int    // bytes to come, once the head is there
	isKept    bool
	isForeign bool // the stream is not Kafka's
}

// feed takes the next bytes of the stream, which stay the caller's.
func (f *frames) feed(p []byte) {
	for len(p) > 0 && !f.isForeign {
		if missing := f.headLength - len(f.frame); missing > 0 && f.left == 0 {
			n := min(missing, len(p))
			f.frame, p = append(f.frame, p[:n]...), p[n:]
			if n == missing {
				f.begin()
			}
			continue
		}
		n := min(f.left, len(p))
		if f.isKept {
			f.frame = append(f.frame, p[:n]...)
		}
		f.left -= n
		p = p[n:]
		f.end()
	}
}

// begin reads the head of a frame.
func (f *frames) begin() {
	size := int(int32(binary.BigEndian.Uint32(f.frame)))
	f.left = 4 + size - f.headLength
	if f.left < 0 || size > maxFrame {
		f.isForeign = true
		return
	}
	f.isKept = f.isWanted(f.frame)
	f.end()
}

// end hands over a frame that is whole.
func (f *frames) end() {
	if f.left > 0 {
		return
	}
	if f.isKept {
		f.take(slices.Clone(f.frame))
	}
	f.frame, f.isKept = f.frame[:0], false
}
