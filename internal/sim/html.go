package sim

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"slices"
	"strings"

	"github.com/eos-pipe/eos-pipe/trace"
)

// maxArrows is how many requests are drawn: a page with more is slow to look at, and nobody does.
const maxArrows = 4000

// The measures of the drawing, in pixels.
const (
	laneWidth  = 118
	marginLeft = 92
	headHeight = 40
	maxGap     = 40 // a pause is drawn no longer than this
)

// WriteHTML draws the history as a page that needs nothing else: a lane for each client and each broker, time downwards, requests and
// answers as arrows between them. Reads that found nothing are left out. It needs a result with its history.
func (r *Result) WriteHTML(w io.Writer) error {
	d := drawing{out: bufio.NewWriter(w), laneOf: map[string]int{}, seen: map[string]int64{}, labels: map[string]int{}}
	if r.History != nil {
		d.prepare(r.History)
	}
	d.page(r)
	return d.out.Flush()
}

// drawing is a page in the making.
type drawing struct {
	out     *bufio.Writer
	lanes   []string
	laneOf  map[string]int
	drawn   []*Record
	times   []int64 // all that are drawn, sorted
	ys      []int   // where they are
	isShort bool    // not everything is drawn
	seen    map[string]int64
	labels  map[string]int // by lane: where the last label is, so that none is written over another
}

// prepare chooses what is drawn, and where: lanes from left to right, times from top to bottom.
func (d *drawing) prepare(h *History) {
	names := map[string]bool{}
	for i := range h.Records {
		r := &h.Records[i]
		if !isDrawn(r) {
			continue
		}
		if len(d.drawn) == maxArrows {
			d.isShort = true
			break
		}
		d.drawn = append(d.drawn, r)
		d.times = append(d.times, r.AtUs)
		if r.From != "" {
			names[r.From] = true
			d.times = append(d.times, r.SentUs)
		}
		if r.RepliedUs > 0 {
			d.times = append(d.times, r.RepliedUs)
		}
		if r.To != "" {
			names[r.To] = true
		}
	}
	for name := range names {
		d.lanes = append(d.lanes, name)
	}
	slices.SortFunc(d.lanes, func(a, b string) int {
		if c := laneOrder(a) - laneOrder(b); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	for i, name := range d.lanes {
		d.laneOf[name] = i
	}
	d.layTimes()
}

// laneOrder puts writers left, then brokers, instances and readers.
func laneOrder(name string) int {
	for i, prefix := range []string{"writer", "broker", "app", "reader"} {
		if strings.HasPrefix(name, prefix) {
			return i
		}
	}
	return 9
}

// isDrawn leaves out what is no event in somebody's lane, and reads without result.
func isDrawn(r *Record) bool {
	switch e := r.Event.(type) {
	case nil:
		return true
	case trace.Fetch:
		return len(e.Delivered) > 0 && r.Fate != RequestLost
	case trace.Time, trace.Complete, trace.Restart, trace.Reload, trace.Drop:
		return false
	}
	return r.To != ""
}

// layTimes gives every time a height: proportional, but never too close to the one before and never far from it.
func (d *drawing) layTimes() {
	slices.Sort(d.times)
	d.times = slices.Compact(d.times)
	y := headHeight + 20
	for i, at := range d.times {
		if i > 0 {
			gap := int(at-d.times[i-1]) / 60
			y += min(max(gap, 4), maxGap)
		}
		d.ys = append(d.ys, y)
	}
}

func (d *drawing) y(at int64) int {
	i, _ := slices.BinarySearch(d.times, at)
	return d.ys[i]
}

func (d *drawing) x(lane string) int { return marginLeft + d.laneOf[lane]*laneWidth + laneWidth/2 }

func (d *drawing) page(r *Result) {
	height := headHeight + 60
	if len(d.ys) > 0 {
		height = d.ys[len(d.ys)-1] + 60
	}
	width := marginLeft + len(d.lanes)*laneWidth + 20
	fmt.Fprintf(d.out, pageHead, r.Config.Seed, r.Config.Mode, r.Config.Seed, r.Config.Mode, r.Config.Steps, html.EscapeString(r.Config.faultsText()))
	d.verdict(r)
	if d.isShort {
		fmt.Fprintf(d.out, "<p class=\"note\">Only the first %d things are drawn; fewer --steps show less time whole.</p>\n", maxArrows)
	}
	fmt.Fprint(d.out, pageLegend)
	fmt.Fprintf(d.out, "<div class=\"heads\" style=\"width:%dpx\">", width)
	for i, name := range d.lanes {
		fmt.Fprintf(d.out, "<b style=\"left:%dpx\">%s</b>", marginLeft+i*laneWidth, html.EscapeString(name))
	}
	fmt.Fprintf(d.out, "</div>\n<svg width=\"%d\" height=\"%d\" xmlns=\"http://www.w3.org/2000/svg\">%s", width, height, arrowHeads)
	for i, name := range d.lanes {
		x := d.x(name)
		if i%2 == 0 {
			fmt.Fprintf(d.out, "<rect class=\"stripe\" x=\"%d\" y=\"0\" width=\"%d\" height=\"%d\"/>", x-laneWidth/2, laneWidth, height)
		}
		fmt.Fprintf(d.out, "<line class=\"lane\" x1=\"%d\" y1=\"0\" x2=\"%d\" y2=\"%d\"/>", x, x, height)
	}
	d.clock()
	for _, record := range d.drawn {
		d.draw(record)
	}
	fmt.Fprint(d.out, "</svg>\n</body></html>\n")
}

func (c Config) faultsText() string {
	if c.Only == nil {
		return "faults " + c.Faults.String()
	}
	keys := make([]string, len(c.Only))
	for i, k := range c.Only {
		keys[i] = k.String()
	}
	return "only these faults: " + strings.Join(keys, ", ")
}

func (d *drawing) verdict(r *Result) {
	c := r.Counts
	fmt.Fprintf(d.out, "<p>In %d batches, out %d: lost <b>%d</b>, doubled <b>%d</b>, reordered <b>%d</b>.</p>\n", c.In, c.Out, c.Lost, c.Doubled, c.Reordered)
	for _, f := range r.Findings {
		fmt.Fprintf(d.out, "<p class=\"finding\">%s</p>\n", html.EscapeString(f.String()))
	}
	if len(r.Findings) == 0 {
		fmt.Fprintf(d.out, "<p class=\"kept\">All promises of %s are kept.</p>\n", r.Config.Mode)
	}
}

// clock writes times at the left, where there is room.
func (d *drawing) clock() {
	last := -100
	for i, at := range d.times {
		if d.ys[i]-last >= 28 {
			last = d.ys[i]
			fmt.Fprintf(d.out, "<text class=\"time\" x=\"%d\" y=\"%d\">%s</text>", marginLeft-12, last+4, clockText(at))
		}
	}
}

// draw draws one record.
func (d *drawing) draw(r *Record) {
	switch e := r.Event.(type) {
	case nil:
		d.dot(r, "said", r.Text)
	case trace.Marker:
		d.dot(r, "marker "+strings.ToLower(endName(e.Commit)), endName(e.Commit)+" "+e.Partition.String())
	default:
		d.arrow(r)
	}
}

// dot is something that happens in one lane.
func (d *drawing) dot(r *Record, class, text string) {
	x, y := d.x(r.To), d.y(r.AtUs)
	if !d.hasRoom(r.To, y) {
		text = ""
	}
	fmt.Fprintf(d.out, "<g class=\"%s\"><circle cx=\"%d\" cy=\"%d\" r=\"4\"/><text x=\"%d\" y=\"%d\">%s</text><title>%s %s</title></g>\n", class, x, y, x+7, y+3,
		html.EscapeString(text), clockText(r.AtUs), html.EscapeString(r.line()))
}

// arrow is a request, and its answer.
func (d *drawing) arrow(r *Record) {
	class, label := d.classify(r)
	x1, y1, x2, y2 := d.x(r.From), d.y(r.SentUs), d.x(r.To), d.y(r.AtUs)
	fmt.Fprintf(d.out, "<g class=\"%s\">", class)
	if r.Fate == RequestLost {
		x2, y2 = x1+(x2-x1)*2/3, y1+(y2-y1)*2/3+4
		fmt.Fprintf(d.out, "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/><text class=\"cross\" x=\"%d\" y=\"%d\">✕</text>", x1, y1, x2, y2, x2-4, y2+4)
	} else {
		fmt.Fprintf(d.out, "<line class=\"tip\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>", x1, y1, x2, y2)
		d.reply(r, x1, x2, y2)
	}
	if label != "" && d.hasRoom(r.From, y1) {
		side := 8
		anchor := "start"
		if x2 < x1 {
			side, anchor = -8, "end"
		}
		fmt.Fprintf(d.out, "<text x=\"%d\" y=\"%d\" text-anchor=\"%s\">%s</text>", x1+side, y1-2, anchor, html.EscapeString(label))
	}
	if isFar := y2-y1 > 3*maxGap; isFar && (class == "duplicate" || class == "fenced") && d.hasRoom(r.To, y2) {
		fmt.Fprintf(d.out, "<text x=\"%d\" y=\"%d\">%s</text>", x2+7, y2-2, html.EscapeString(label+" of "+r.From))
	}
	fmt.Fprintf(d.out, "<title>%s %s</title></g>\n", clockText(r.AtUs), html.EscapeString(r.line()))
}

// hasRoom reports whether a label fits in the lane there, and takes the place.
func (d *drawing) hasRoom(lane string, y int) bool {
	last, ok := d.labels[lane]
	if ok && y < last+9 {
		return false
	}
	d.labels[lane] = y
	return true
}

func (d *drawing) reply(r *Record, x1, x2, y2 int) {
	switch {
	case r.Fate == ReplyLost:
		x := x2 + (x1-x2)/3
		fmt.Fprintf(d.out, "<line class=\"reply\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/><text class=\"cross\" x=\"%d\" y=\"%d\">✕</text>", x2, y2, x, y2+6, x-4, y2+10)
	case r.RepliedUs > 0:
		fmt.Fprintf(d.out, "<line class=\"reply tip\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>", x2, y2, x1, d.y(r.RepliedUs))
	}
}

// classify says how a request is drawn, and what is written on it.
func (d *drawing) classify(r *Record) (class, label string) {
	code, isAgain := d.codeOf(r), d.isAgain(r)
	switch {
	case r.Fate == RequestLost:
		return "lost " + r.Event.Kind(), labelOf(r.Event)
	case isAgain:
		return "duplicate", "duplicate of " + labelOf(r.Event)
	case isFence(code):
		return "fenced", "fenced " + labelOf(r.Event)
	case code == trace.IllegalGeneration || code == trace.UnknownMemberID || code == trace.FencedInstanceID:
		return "fenced", code.String()
	case code != trace.None:
		return "refused", code.String()
	case r.Fate == ReplyLost:
		return "replylost " + r.Event.Kind(), labelOf(r.Event)
	}
	return r.Event.Kind(), labelOf(r.Event)
}

func labelOf(e trace.Event) string {
	switch e := e.(type) {
	case trace.Produce:
		return name(e.Digest) + " → " + e.Partition.String()
	case trace.EndTxn:
		return strings.ToLower(endName(e.Commit)) + " " + e.Producer.String()
	case trace.OffsetCommit:
		return "offsets"
	case trace.InitProducerID:
		return "init"
	case trace.AddPartitions, trace.AddOffsets:
		return "add"
	}
	return ""
}

func (d *drawing) codeOf(r *Record) trace.Code {
	switch e := r.Event.(type) {
	case trace.Produce:
		return e.Code
	case trace.EndTxn:
		return e.Code
	case trace.InitProducerID:
		return e.Code
	case trace.OffsetFetch:
		return e.Code
	case trace.Fetch:
		return e.Code
	case trace.OffsetCommit:
		for _, c := range e.Codes {
			if c != trace.None {
				return c
			}
		}
	}
	return trace.None
}

// isAgain reports whether a broker knew the batch already and wrote nothing.
func (d *drawing) isAgain(r *Record) bool {
	p, ok := r.Event.(trace.Produce)
	if !ok || r.Fate == RequestLost || p.Code != trace.None || p.BaseSequence < 0 {
		return false
	}
	key := fmt.Sprint(p.Producer, p.Partition, p.BaseSequence)
	at, isKnown := d.seen[key]
	d.seen[key] = p.BaseOffset
	return isKnown && at == p.BaseOffset
}
