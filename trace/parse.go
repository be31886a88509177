package trace

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"strings"
)

// Parse reads one line as Event.String writes it; fields may stand in any order on their side of the arrow. A field that is
// missing, given twice, or unknown is an error, which names it.
func Parse(text string) (Event, error) {
	kind, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	read, ok := readers[kind]
	if !ok {
		return nil, fmt.Errorf("trace %q: no kind of event is called %q", shorten(text), kind)
	}
	l, err := scan(rest)
	if err != nil {
		return nil, fmt.Errorf("trace %q: %w", shorten(text), err)
	}
	e := read(l)
	if err := l.finish(); err != nil {
		return nil, fmt.Errorf("trace %q: %w", shorten(text), err)
	}
	return e, nil
}

// readers has a line for each kind.
var readers = map[string]func(*line) Event{
	InitProducerID{}.Kind(): func(l *line) Event { return readAs(l, (*InitProducerID).line) },
	Produce{}.Kind():        func(l *line) Event { return readAs(l, (*Produce).line) },
	AddPartitions{}.Kind():  func(l *line) Event { return readAs(l, (*AddPartitions).line) },
	AddOffsets{}.Kind():     func(l *line) Event { return readAs(l, (*AddOffsets).line) },
	OffsetCommit{}.Kind():   func(l *line) Event { return readAs(l, (*OffsetCommit).line) },
	OffsetFetch{}.Kind():    func(l *line) Event { return readAs(l, (*OffsetFetch).line) },
	EndTxn{}.Kind():         func(l *line) Event { return readAs(l, (*EndTxn).line) },
	Marker{}.Kind():         func(l *line) Event { return readAs(l, (*Marker).line) },
	Complete{}.Kind():       func(l *line) Event { return readAs(l, (*Complete).line) },
	Drop{}.Kind():           func(l *line) Event { return readAs(l, (*Drop).line) },
	Fetch{}.Kind():          func(l *line) Event { return readAs(l, (*Fetch).line) },
	Log{}.Kind():            func(l *line) Event { return readAs(l, (*Log).line) },
	Time{}.Kind():           func(l *line) Event { return readAs(l, (*Time).line) },
	Restart{}.Kind():        func(l *line) Event { return readAs(l, (*Restart).line) },
	Reload{}.Kind():         func(l *line) Event { return readAs(l, (*Reload).line) },
}

func readAs[E Event](l *line, fields func(*E, *line)) E {
	var e E
	fields(&e, l)
	return e
}

// Read yields the events of r, one a line, up to the first error. Empty lines and lines that begin with '#' are passed over.
// An error says the number of the line.
func Read(r io.Reader) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, maxLine)
		number := 0
		for lines.Scan() {
			number++
			text := strings.TrimSpace(lines.Text())
			if text == "" || text[0] == '#' {
				continue
			}
			e, err := Parse(text)
			if err != nil {
				yield(nil, fmt.Errorf("line %d: %w", number, err))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(nil, fmt.Errorf("line %d: %w", number+1, err))
		}
	}
}

// maxLine is the longest line that is read: a fetch of many batches is the longest kind.
const maxLine = 16 << 20

// shorten keeps an error's message readable.
func shorten(s string) string {
	if len(s) > 120 {
		return s[:120] + "…"
	}
	return s
}
