package trace

import (
	"fmt"
	"strconv"
	"strings"
)

// line is one event's text, being written or being read. The fields are told to it in order, each by its key.
// Once one field could not be read, err stays, and the rest does nothing.
type line struct {
	isReading bool
	isSilent  bool // behind a reply that is "?": fields are neither written nor read
	err       error

	out []byte // written so far

	words    []word // to read; those that were read are taken out
	answer   []word // those behind the arrow
	hasArrow bool   // the fields behind the arrow have begun
}

type word struct{ key, value string }

func format(e interface{ line(*line) }, kind string) string {
	l := line{out: append(make([]byte, 0, 160), kind...)}
	e.line(&l)
	return string(l.out)
}

// scan cuts a line into its words.
func scan(text string) (*line, error) {
	l := &line{isReading: true}
	into := &l.words
	for text = strings.TrimLeft(text, " "); text != ""; text = strings.TrimLeft(text, " ") {
		if rest, ok := strings.CutPrefix(text, "->"); ok && into == &l.words {
			text, into = rest, &l.answer
			continue
		}
		w, rest, err := cutWord(text)
		if err != nil {
			return nil, err
		}
		*into = append(*into, w)
		text = rest
	}
	return l, nil
}

// cutWord takes key=value, key="quoted value", or a bare word (a reply's code, with no key) off the front.
func cutWord(text string) (word, string, error) {
	end := strings.IndexAny(text, " =")
	if end < 0 {
		return word{value: text}, "", nil
	}
	if text[end] == ' ' {
		return word{value: text[:end]}, text[end:], nil
	}
	key, rest := text[:end], text[end+1:]
	if strings.HasPrefix(rest, `"`) {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return word{}, "", fmt.Errorf("%s: the quote does not end", key)
		}
		value, err := strconv.Unquote(quoted)
		return word{key, value}, rest[len(quoted):], err
	}
	value, rest, _ := strings.Cut(rest, " ")
	return word{key, value}, rest, nil
}

// finish reports the first error of reading, and words that nobody asked for.
func (l *line) finish() error {
	for _, w := range append(l.words, l.answer...) {
		if l.err == nil {
			l.err = fmt.Errorf("%q is not a field here, or is given twice", strings.TrimPrefix(w.key+"="+w.value, "="))
		}
	}
	return l.err
}

// take removes the word with the key from those to read. It reports false if there is none.
func (l *line) take(key string) (string, bool) {
	from := &l.words
	if l.hasArrow {
		from = &l.answer
	}
	for i, w := range *from {
		if w.key == key {
			*from = append((*from)[:i], (*from)[i+1:]...)
			return w.value, true
		}
	}
	return "", false
}

// mustTake is take for a field that has to be there.
func (l *line) mustTake(key string) (string, bool) {
	if l.err != nil || l.isSilent {
		return "", false
	}
	v, ok := l.take(key)
	if !ok {
		l.err = fmt.Errorf("%s is missing", key)
	}
	return v, ok
}

// put writes a field; value must hold no space.
func (l *line) put(key, value string) {
	if !l.isSilent {
		l.out = append(append(append(append(l.out, ' '), key...), '='), value...)
	}
}

// fail keeps the first error.
func (l *line) fail(key string, err error) {
	if err != nil && l.err == nil {
		l.err = fmt.Errorf("%s: %w", key, err)
	}
}

// value is a field whose text has no spaces.
func value[T any](l *line, key string, v *T, text func(T) string, parse func(string) (T, error)) {
	if !l.isReading {
		l.put(key, text(*v))
		return
	}
	if s, ok := l.mustTake(key); ok {
		read, err := parse(s)
		l.fail(key, err)
		*v = read
	}
}

func integer[T int8 | int16 | int32 | int64](l *line, key string, v *T) {
	value(l, key, v, func(n T) string { return strconv.FormatInt(int64(n), 10) }, func(s string) (T, error) {
		n, err := strconv.ParseInt(s, 10, 64)
		if err == nil && int64(T(n)) != n {
			err = fmt.Errorf("%s is out of range", s)
		}
		return T(n), err
	})
}

// list is a field of elements with commas between; a nil list is left out, an empty one is "[]".
func list[T any](l *line, key string, v *[]T, text func(T) string, parse func(string) (T, error)) {
	if l.isReading {
		if s, ok := l.take(key); ok && !l.isSilent && l.err == nil {
			l.fail(key, readList(v, s, parse))
		}
		return
	}
	if *v == nil {
		return
	}
	l.put(key, joinList(*v, text))
}

func joinList[T any](v []T, text func(T) string) string {
	if len(v) == 0 {
		return "[]"
	}
	parts := make([]string, len(v))
	for i, e := range v {
		parts[i] = text(e)
	}
	return strings.Join(parts, ",")
}

func readList[T any](v *[]T, s string, parse func(string) (T, error)) error {
	*v = []T{}
	if s == "[]" {
		return nil
	}
	for part := range strings.SplitSeq(s, ",") {
		e, err := parse(part)
		if err != nil {
			return err
		}
		*v = append(*v, e)
	}
	return nil
}

func (l *line) boolean(key string, v *bool) { value(l, key, v, strconv.FormatBool, strconv.ParseBool) }

// digest is written in hexadecimal, and left out when it is not known.
func (l *line) digest(key string, v *uint64) {
	switch {
	case !l.isReading && *v != 0:
		l.put(key, strconv.FormatUint(*v, 16))
	case l.isReading && l.err == nil:
		if s, ok := l.take(key); ok {
			n, err := strconv.ParseUint(s, 16, 64)
			l.fail(key, err)
			*v = n
		}
	}
}

// text is a string, quoted where it has to be.
func (l *line) text(key string, v *string) {
	if !l.isReading {
		l.put(key, quote(*v))
		return
	}
	*v, _ = l.mustTake(key)
}

// client is a text that is left out when empty.
func (l *line) client(v *string) {
	if l.isReading && l.err == nil {
		*v, _ = l.take("client")
	} else if !l.isReading && *v != "" {
		l.put("client", quote(*v))
	}
}

// null is a text that is left out when absent.
func (l *line) null(key string, v *NullString) {
	if l.isReading && l.err == nil {
		v.Value, v.Valid = l.take(key)
	} else if !l.isReading && v.Valid {
		l.put(key, quote(v.Value))
	}
}

// reply is the arrow and the code behind it.
func (l *line) reply(code *Code) {
	if !l.isReading {
		l.out = append(append(l.out, " -> "...), code.String()...)
	}
	if l.isReading && l.err == nil {
		*code = l.readReply(ParseCode)
	}
	l.isSilent = *code == NoReply
}

// replies is the arrow and one code for each thing asked for.
func (l *line) replies(codes *[]Code) {
	if !l.isReading {
		text := NoReply.String()
		if *codes != nil {
			text = joinList(*codes, Code.String)
		}
		l.out = append(append(l.out, " -> "...), text...)
	} else if l.err == nil {
		l.readReply(func(s string) (Code, error) {
			if s == NoReply.String() {
				return NoReply, nil
			}
			return None, readList(codes, s, ParseCode)
		})
	}
}

func (l *line) readReply(parse func(string) (Code, error)) Code {
	l.hasArrow = true
	s, ok := l.take("")
	if !ok {
		l.err = fmt.Errorf("no reply: write -> and an error code, or ? if there was none")
		return NoReply
	}
	code, err := parse(s)
	l.fail("reply", err)
	return code
}

// quote leaves plain words as they are.
func quote(s string) string {
	if s == "" || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c == '"' || c > '~' }) {
		return strconv.Quote(s)
	}
	return s
}
