package frames

import (
	"encoding/binary"
	"slices"
)

// maxFrame is longer than any frame of Kafka's: socket.request.max.bytes is 100 MiB.
const maxFrame = 1 << 30

// Cutter cuts one direction of a connection into frames. It keeps only the frames that are wanted. One goroutine feeds it.
type Cutter struct {
	HeadLength int                    // bytes of a frame that tell whether it is wanted, its size field included
	IsWanted   func(head []byte) bool // called once for each frame
	Take       func(frame []byte)     // gets each wanted frame, and may keep it

	frame     []byte // the head, and all of a wanted frame
	left      int    // bytes to come, once the head is there
	isKept    bool
	isForeign bool
}

// IsForeign reports whether the stream is not Kafka's. Nothing is cut from such a stream any more.
func (f *Cutter) IsForeign() bool { return f.isForeign }

// Feed takes the next bytes of the stream, which stay the caller's.
func (f *Cutter) Feed(p []byte) {
	for len(p) > 0 && !f.isForeign {
		if missing := f.HeadLength - len(f.frame); missing > 0 && f.left == 0 {
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
func (f *Cutter) begin() {
	size := int(int32(binary.BigEndian.Uint32(f.frame)))
	f.left = 4 + size - f.HeadLength
	if f.left < 0 || size > maxFrame {
		f.isForeign = true
		return
	}
	f.isKept = f.IsWanted(f.frame)
	f.end()
}

// end hands over a frame that is whole.
func (f *Cutter) end() {
	if f.left > 0 {
		return
	}
	if f.isKept {
		f.Take(slices.Clone(f.frame))
	}
	f.frame, f.isKept = f.frame[:0], false
}
