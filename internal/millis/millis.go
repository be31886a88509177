// Package millis is Kafka's timestamps, which are milliseconds since 1970 in 64 bits, beside Go's times.
//
// franz-go (v1.22.3) holds a timestamp as an int64 of nanoseconds where it reads a record and where it writes one. So what lies before September 1677 or
// after April 2262 comes out of it as another time, and so does what was written in microseconds by mistake. This package says which times
// these are, and restores what was read.
package millis

import (
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// None is the timestamp of a record that has none: RecordBatch.NO_TIMESTAMP in Kafka.
const None = -1

// last is the last millisecond that the client can write; -last is the first.
const last = math.MaxInt64 / int64(time.Millisecond)

// Of returns t in milliseconds, as the client would write it if it could. Go's zero time is None.
func Of(t time.Time) int64 {
	if t.IsZero() {
		return None
	}
	return t.UnixMilli()
}

// CanWrite says whether the client writes t as it is.
func CanWrite(t time.Time) bool {
	ms := Of(t)
	return -last <= ms && ms <= last
}

// Restore gives r, as the client has fetched it, the timestamp that it has in the log: None where the format of its batch (v0) has no timestamps.
//
// What the client hands out is the product of the milliseconds and 10⁶, modulo 2⁶⁴. As 10⁶ is 2⁶ times an odd number, this holds the milliseconds modulo
// 2⁵⁸. So they are restored where they lie within 4.5 million years of 1970. Beyond that the result is another time. For nanoseconds in the place of
// milliseconds the client cannot write that either, but for those of five hours in October 2024; the greatest int64 comes out as None, and the least as 0.
func Restore(r *kgo.Record) {
	if r.Timestamp.IsZero() {
		r.Timestamp = time.UnixMilli(None)
		return
	}
	const twos = 6                            // 10⁶ = 2⁶ × 15625
	const inverse = 8_723_391_485_480_952_121 // of 15625, modulo 2⁶⁴
	ns := r.Timestamp.UnixNano()
	if ns%int64(time.Millisecond) == 0 || ns%(1<<twos) != 0 {
		return
	}
	r.Timestamp = time.UnixMilli(((ns >> twos) * inverse) << twos >> twos)
}
