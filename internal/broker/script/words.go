package script

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/eos-pipe/eos-pipe/trace"
)

// Expand turns a line with bars into the lines it stands for.
func Expand(line string) ([]string, error) {
	words := strings.Fields(line)
	count := 1
	for _, w := range words {
		n := strings.Count(w, "|") + 1
		if n > 1 && count > 1 && n != count {
			return nil, fmt.Errorf("%q: %d alternatives here, %d before", w, n, count)
		}
		count = max(count, n)
	}
	lines := make([]string, count)
	for i := range lines {
		chosen := slices.Clone(words)
		for j, w := range words {
			chosen[j] = choose(w, i)
		}
		lines[i] = strings.Join(chosen, " ")
	}
	return lines, nil
}

// choose takes the i-th alternative of a word: "seq=0|1" is seq=0 or seq=1.
func choose(word string, i int) string {
	if !strings.Contains(word, "|") {
		return word
	}
	key, values, ok := strings.Cut(word, "=")
	if !ok {
		return strings.Split(word, "|")[i]
	}
	return key + "=" + strings.Split(values, "|")[i]
}

// words are those of one request. Each method takes what it reads out; what is left at the end is an error. The first error
// stays in err, and what is read after it is of no use.
type words struct {
	r    *Runner
	rest []string
	err  error
}

func (w *words) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

// next takes the first word; what says what it should be.
func (w *words) next(what string) string {
	if len(w.rest) == 0 {
		w.fail("%s is missing", what)
		return ""
	}
	first := w.rest[0]
	w.rest = w.rest[1:]
	return first
}

// name takes a word that may be the empty string, written "".
func (w *words) name(what string) string {
	s := w.next(what)
	if s == `""` {
		return ""
	}
	return s
}

// null takes a name, of which "-" is none.
func (w *words) null(what string) trace.NullString {
	if s := w.name(what); s != "-" {
		return trace.Some(s)
	}
	return trace.NullString{}
}

func (w *words) version() int16 {
	s := w.next("version")
	n, err := strconv.ParseInt(strings.TrimPrefix(s, "v"), 10, 16)
	if err != nil || s[0] != 'v' {
		w.fail("%q: write the version of the request, such as v5", s)
	}
	return int16(n)
}

func (w *words) number(what string) int64 {
	n, err := strconv.ParseInt(w.next(what), 10, 64)
	if err != nil {
		w.fail("%s: %w", what, err)
	}
	return n
}

// flag takes a word if it is there.
func (w *words) flag(word string) bool {
	i := slices.Index(w.rest, word)
	if i >= 0 {
		w.rest = slices.Delete(slices.Clone(w.rest), i, i+1)
	}
	return i >= 0
}

// option takes key=value if it is there, else it gives the default.
func (w *words) option(key, value string) string {
	for i, word := range w.rest {
		if v, ok := strings.CutPrefix(word, key+"="); ok {
			w.rest = slices.Delete(slices.Clone(w.rest), i, i+1)
			return v
		}
	}
	return value
}

func (w *words) integer(key string, value int64) int64 {
	n, err := strconv.ParseInt(w.option(key, strconv.FormatInt(value, 10)), 10, 64)
	if err != nil {
		w.fail("%s: %w", key, err)
	}
	return n
}

// must takes an option that has no default.
func (w *words) must(key string) int64 {
	s := w.option(key, "")
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		w.fail("%s=<number> is missing or wrong", key)
	}
	return n
}

func (w *words) isCommit() bool {
	switch s := w.next("commit or abort"); s {
	case "commit":
		return true
	case "abort":
		return false
	default:
		w.fail("%q: write commit or abort", s)
		return false
	}
}

// producer takes P/0, P+100000/0 or 8000000000/5.
func (w *words) producer() trace.Producer { return w.parseProducer(w.next("producer, such as P/0")) }

func (w *words) parseProducer(s string) trace.Producer {
	name, epoch, _ := strings.Cut(s, "/")
	e, err := strconv.ParseInt(epoch, 10, 16)
	if err != nil {
		w.fail("producer %q: write it as P/0", s)
		return trace.NoProducer
	}
	symbol, add, _ := strings.Cut(name, "+")
	id, ok := w.r.ids[symbol]
	if !ok {
		if id, err = strconv.ParseInt(symbol, 10, 64); err != nil {
			w.fail("producer %q: no request has bound %s", s, symbol)
		}
	}
	if add != "" {
		n, err := strconv.ParseInt(add, 10, 64)
		if err != nil {
			w.fail("producer %q: %w", s, err)
		}
		id += n
	}
	return trace.Producer{ID: id, Epoch: int16(e)}
}

// partition takes @0, or topic@0.
func (w *words) partition() trace.Partition { return w.parsePartition(w.next("partition, such as @0")) }

func (w *words) parsePartition(s string) trace.Partition {
	if group, ok := strings.CutPrefix(s, "offsets("); ok {
		p, err := w.r.broker.OffsetsPartition(strings.TrimSuffix(group, ")"))
		if err != nil {
			w.fail("%s: %w", s, err)
		}
		return p
	}
	topic, number, ok := strings.Cut(s, "@")
	n, err := strconv.ParseInt(number, 10, 32)
	if !ok || err != nil {
		w.fail("%q: write a partition as @0", s)
	}
	if topic == "" {
		topic = w.r.topic
	}
	return trace.Partition{Topic: topic, Number: int32(n)}
}

// partitions takes all words that are left and begin like a partition.
func (w *words) partitions() []trace.Partition {
	var list []trace.Partition
	for len(w.rest) > 0 && strings.Contains(w.rest[0], "@") {
		list = append(list, w.partition())
	}
	return list
}

// finish reports what went wrong, or what nobody asked for.
func (w *words) finish() error {
	if len(w.rest) > 0 {
		w.fail("%q is not understood here", w.rest[0])
	}
	return w.err
}
