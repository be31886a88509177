package monitor

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

//go:embed page.html
var pageText string

// page is the live page: complete as it is served, and kept up to date by its script, which asks /api/status.
var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"count": groupDigits, "rate": formatRate, "ago": formatAgo, "curve": curve, "lagged": lagged,
}).Parse(pageText))

// pageData is what page is rendered from.
type pageData struct {
	Status
	Nonce  string // of the one script and the one style that the browser may use
	Last   Sample // the newest of the history
	Curves []curveOf
}

// curveOf is one curve of the page. Its Key is the field of Sample as JSON has it.
type curveOf struct {
	Key, Name, Unit string
	Of              func(Sample) float64
}

var curves = []curveOf{
	{"transactions_per_second", "Committed", "transactions/s", func(s Sample) float64 { return s.TransactionsPerSec }},
	{"records_in_per_second", "Records in", "records/s", func(s Sample) float64 { return s.RecordsPerSec }},
	{"flush_ms", "Flush", "ms, mean", func(s Sample) float64 { return s.FlushMillis }},
	{"end_ms", "End", "ms, mean", func(s Sample) float64 { return s.EndMillis }},
	{"last_stable_offset_lag", "Lag", "offsets, stable", func(s Sample) float64 { return float64(s.StableLag) }},
	{"aborted_per_second", "Aborted", "transactions/s", func(s Sample) float64 { return s.AbortedPerSec }},
}

func (m *Monitor) servePage(w http.ResponseWriter, _ *http.Request) {
	d := pageData{Status: m.Status(), Nonce: rand.Text(), Curves: curves}
	if n := len(d.History); n > 0 {
		d.Last = d.History[n-1]
	}
	var text bytes.Buffer
	if err := page.Execute(&text, d); err != nil {
		m.cfg.Logger.Error("the page cannot be rendered; metrics and health are not affected", "err", err)
		http.Error(w, "the page cannot be rendered", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", fmt.Sprintf(
		"default-src 'none'; connect-src 'self'; script-src 'nonce-%s'; style-src 'nonce-%s'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", d.Nonce, d.Nonce))
	_, _ = w.Write(text.Bytes()) // who does not read the answer has gone
}

// groupDigits writes 1234567 as 1,234,567, and what is not known as a dash.
func groupDigits(n any) string {
	text := fmt.Sprint(n)
	if strings.HasPrefix(text, "-") {
		return "–"
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// formatRate writes a figure with one digit behind the point if it is small.
func formatRate(v float64) string {
	if v < 100 && v != math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return groupDigits(int64(v + 0.5))
}

// formatAgo writes how long it is from then to now.
func formatAgo(now, then time.Time) string {
	switch s := int64(now.Sub(then).Seconds()); {
	case s < 120:
		return fmt.Sprintf("%d s", max(s, 0))
	case s < 7200:
		return fmt.Sprintf("%d min", s/60)
	default:
		return fmt.Sprintf("%d h", s/3600)
	}
}

// lagged says that a partition waits behind a transaction that is open on the input.
func lagged(p PartitionStatus) bool { return p.StableLag == 0 && p.HighLag > 0 }

// curve returns the points of a curve in a box of 100 to 24, the newest sample at its right.
func curve(history []Sample, c curveOf) string {
	top := 0.0
	for _, s := range history {
		top = max(top, c.Of(s))
	}
	if top == 0 {
		top = 1
	}
	points := make([]string, len(history))
	for i, s := range history {
		x := 100 - float64(len(history)-1-i)*100/float64(samples-1)
		points[i] = fmt.Sprintf("%.1f,%.1f", x, 23-22*c.Of(s)/top)
	}
	return strings.Join(points, " ")
}

// NothingWentWrong says that every transaction was committed at once.
func (d pageData) NothingWentWrong() bool {
	for _, n := range d.Totals.InDoubt {
		if n > 0 {
			return false
		}
	}
	return len(d.Totals.Aborted) == 0
}

// Value is the newest value of the curve.
func (c curveOf) Value(last Sample) float64 { return c.Of(last) }
