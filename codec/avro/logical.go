package avro

import (
	"fmt"
	"math"
	"math/bits"
)

// unit is what the number of a logical type counts: since when, and how many nanoseconds each.
type unit struct {
	of    string
	nanos int64
}

// units are the logical types whose numbers can be converted, within what they count. A date is no instant, nor is a local
// time: where on earth is not known.
var units = map[string]unit{
	"timestamp-millis": {"instant", 1e6}, "timestamp-micros": {"instant", 1e3}, "timestamp-nanos": {"instant", 1},
	"local-timestamp-millis": {"local time", 1e6}, "local-timestamp-micros": {"local time", 1e3}, "local-timestamp-nanos": {"local time", 1},
	"time-millis": {"time of day", 1e6}, "time-micros": {"time of day", 1e3},
	"date": {"date", 24 * 3600 * 1e9},
}

// convertible reports whether the writer's number can become the reader's.
func convertible(w, r *node) bool {
	from, ok := units[w.logical]
	to, also := units[r.logical]
	return ok && also && from.of == to.of
}

// agree says why values of one type must not be taken for values of the other though their bytes could be: what they mean
// differs. A type without a logical type says nothing of what it means, and agrees with all.
func agree(w, r *node) error {
	switch {
	case w.kind == "bytes" && r.kind == "string" && w.logical != "", w.kind == "string" && r.kind == "bytes" && r.logical != "":
		return misfit("it was written as %s, and is to be read as %s: a number in bytes is no text", w, r)
	case w.logical == "" || r.logical == "":
		return nil
	case w.logical != r.logical:
		return misfit("it was written as %s, which is no %s", w, r)
	case w.precision != r.precision || w.scale != r.scale:
		return misfit("it was written as decimal(%d,%d), and the schema it is read with has decimal(%d,%d)", w.precision, w.scale, r.precision, r.scale)
	}
	return nil
}

// convert is the step from one unit to another. A number that has no exact one in the reader's unit is refused.
func convert(w, r *node) step {
	from, to := units[w.logical].nanos, units[r.logical].nanos
	return func(p *pass) error {
		n, err := p.number()
		if err != nil {
			return err
		}
		if w.kind == "int" && n != int64(int32(n)) {
			return damaged("an int is %d", n)
		}
		m, exact := scale(n, from, to)
		if !exact || r.kind == "int" && m != int64(int32(m)) {
			return misfit("it was written as %s, and %d has no exact value as %s", w, n, r)
		}
		p.put(m)
		return nil
	}
}

// scale returns n·from/to, and whether it is a whole number that an int64 holds. One of from and to divides the other.
func scale(n, from, to int64) (int64, bool) {
	if from <= to {
		return n / (to / from), n%(to/from) == 0
	}
	factor := from / to
	high, low := bits.Mul64(magnitude(n), uint64(factor))
	if high != 0 || low > math.MaxInt64 && (n >= 0 || low != 1<<63) {
		return 0, false
	}
	return n * factor, true
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

// wayOut tells how a Go type can hold a null.
func wayOut(r *node) string {
	for _, known := range [...]struct{ kind, goType string }{
		{"boolean", "bool"}, {"int", "int32"}, {"long", "int64"}, {"float", "float32"}, {"double", "float64"}, {"string", "string"},
	} {
		if known.kind == r.kind && r.logical == "" {
			return fmt.Sprintf("make the Go field a pointer (*%s), or the type a union with null in the Schema of the codec's Config", known.goType)
		}
	}
	return "make the Go field a pointer, or the type a union with null in the Schema of the codec's Config"
}
