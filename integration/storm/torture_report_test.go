package storm

import (
	"cmp"
	"fmt"
	htmltemplate "html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	texttemplate "text/template"
	"time"

	"github.com/stretchr/testify/require"
)

// This file is the report that `make torture` ends in, as Markdown and as HTML.

// tortureReport is what a run of `make torture` has to tell.
type tortureReport struct {
	Version string // of eos-pipe, by git
	Kafka   string
	Machine string
	Began   time.Time
	Took    time.Duration
	Seed    uint64
	Command string // that repeats it
	Rounds  []*tortureRound
}

// tortureRound is one cluster and what happened on it.
type tortureRound struct {
	Name         string
	Version      int // transaction.version
	Took         time.Duration
	Records      int64
	Transactions int64 // whose outputs were committed, each counted once per partition that it wrote to
	Aborted      int64 // likewise
	Committed    int64 // transactions counted once, where the brokers let them be told apart (transaction.version 2)
	Producers    int   // producer ids that these had: one more for each roll-over of the epochs of a transactional id
	Counts       faultCounts
	Recovery     map[string][]time.Duration
	Anomalies    []anomaly
	Note         string
	IsJudged     bool // everything was read and judged; without that, nothing here is proven
}

// anomaly is a class of what must not be, and how often it was.
type anomaly struct {
	Name  string
	Count int64
}

// anomalies returns all classes in the report of a storm.
func (j judged) anomalies() []anomaly {
	return []anomaly{
		{"lost", j.Lost},
		{"doubled", j.Doubled},
		{"phantom", j.Phantom},
		{"reordered", j.Reordered},
		{"torn fan-out", j.Torn},
		{"without provenance", j.Foreign},
		{"aborted record read", j.log.AbortedRead},
		{"open record read", j.log.OpenRead},
		{"read and not in the log", j.log.Invented},
		{"committed and not read", j.log.Hidden},
		{"hole in the log", j.log.Gaps},
		{"zombie's batch", j.log.Zombies},
		{"transaction left open", j.log.Stuck},
		{"reader goes back", j.log.Backward},
		{"committed offset goes back", j.commits.Backward},
		{"output of another transaction than its offset", j.commits.Astray},
		{"output without a committed offset", j.commits.Early},
	}
}

// Passed reports whether every round was judged and nothing was wrong.
func (r tortureReport) Passed() bool {
	return len(r.Rounds) > 0 && !slices.ContainsFunc(r.Rounds, func(one *tortureRound) bool { return !one.IsJudged || one.Wrong() > 0 })
}

// Wrong is how many anomalies a round has.
func (r *tortureRound) Wrong() (n int64) {
	for _, a := range r.Anomalies {
		n += a.Count
	}
	return n
}

// row is a line of a table.
type row struct {
	Name  string
	Cells []string
}

// Faults lists the kinds of faults, and how often each was in all rounds.
func (r tortureReport) Faults() []row {
	var all faultCounts
	for _, one := range r.Rounds {
		all.add(one.Counts)
	}
	return []row{
		{"kill -9 of a process", []string{fmt.Sprint(all.Kills)}},
		{"of these, while a broker was away", []string{fmt.Sprint(all.KillsBeside)}},
		{"of these, in an open transaction and never started again", []string{fmt.Sprint(all.Vanished)}},
		{"kill -9 of a broker, with a process at the same time", []string{fmt.Sprint(all.BrokerKills)}},
		{"SIGSTOP in a transaction beyond the session timeout, then SIGCONT", []string{fmt.Sprint(all.Zombies)}},
		{"rolling restart of all brokers", []string{fmt.Sprint(all.Rolling)}},
		{"coordinators moved to other brokers", []string{fmt.Sprint(all.Moves)}},
		{"member joined", []string{fmt.Sprint(all.Joins)}},
		{"member left by SIGTERM", []string{fmt.Sprint(all.Leaves)}},
	}
}

func (c *faultCounts) add(o faultCounts) {
	for _, pair := range [][2]*int{
		{&c.Kills, &o.Kills},
		{&c.KillsBeside, &o.KillsBeside},
		{&c.BrokerKills, &o.BrokerKills},
		{&c.Zombies, &o.Zombies},
		{&c.Rolling, &o.Rolling},
		{&c.Moves, &o.Moves},
		{&c.Joins, &o.Joins},
		{&c.Leaves, &o.Leaves},
		{&c.Vanished, &o.Vanished},
		{&c.Steps, &o.Steps},
	} {
		*pair[0] += *pair[1]
	}
}

// Times lists each recovery time: how often it was measured, median, 99th percentile, greatest.
func (r tortureReport) Times() (rows []row) {
	all := map[string][]time.Duration{}
	for _, one := range r.Rounds {
		for kind, list := range one.Recovery {
			all[kind] = append(all[kind], list...)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(all)) {
		list := slices.Sorted(slices.Values(all[kind]))
		rows = append(rows, row{kind, []string{
			fmt.Sprint(len(list)), inSeconds(percentile(list, 50)), inSeconds(percentile(list, 99)), inSeconds(list[len(list)-1]),
		}})
	}
	return rows
}

// Summary is the whole run in one line: what was verified, what happened to it, and what was wrong.
func (r tortureReport) Summary() string {
	var records, committed, wrong int64
	var all faultCounts
	for _, one := range r.Rounds {
		records, committed, wrong = records+one.Records, committed+one.Committed, wrong+one.Wrong()
		all.add(one.Counts)
	}
	return fmt.Sprintf("Kafka %s, %v, seed %d: %d records in %d rounds, %d transactions told apart; kill -9 of %d processes and %d brokers, %d SIGSTOP; %d anomalies",
		r.Kafka, r.Took.Round(time.Minute), r.Seed, records, len(r.Rounds), committed, all.Kills, all.BrokerKills, all.Zombies, wrong)
}

func inSeconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// percentile returns the smallest value that n of a hundred do not exceed; the list is sorted and not empty.
func percentile(list []time.Duration, n int) time.Duration {
	return list[max(0, (len(list)*n+99)/100-1)]
}

// Wrongs lists the anomalies of all rounds.
func (r tortureReport) Wrongs() (rows []row) {
	counts, order := map[string]int64{}, []string{}
	for _, one := range r.Rounds {
		for _, a := range one.Anomalies {
			if _, known := counts[a.Name]; !known {
				order = append(order, a.Name)
			}
			counts[a.Name] += a.Count
		}
	}
	for _, name := range order {
		rows = append(rows, row{name, []string{fmt.Sprint(counts[name])}})
	}
	return rows
}

// Runs lists the rounds.
func (r tortureReport) Runs() (rows []row) {
	for _, one := range r.Rounds {
		verdict := "not judged"
		if one.IsJudged {
			verdict = fmt.Sprintf("%d anomalies", one.Wrong())
		}
		ids := "-"
		if one.Committed > 0 {
			ids = fmt.Sprintf("%d on %d producer ids", one.Committed, one.Producers)
		}
		rows = append(rows, row{one.Name, []string{
			fmt.Sprint(one.Version), one.Took.Round(time.Second).String(), fmt.Sprint(one.Records), fmt.Sprint(one.Transactions), fmt.Sprint(one.Aborted),
			ids, verdict, cmp.Or(one.Note, "-"),
		}})
	}
	return rows
}

// Verdict is the report in two words.
func (r tortureReport) Verdict() string {
	if r.Passed() {
		return "no anomaly"
	}
	return "NOT PASSED"
}

// Day is when it began.
func (r tortureReport) Day() string { return r.Began.UTC().Format("2006-01-02 15:04 UTC") }

// Rest is how long it took.
func (r tortureReport) Rest() string { return r.Took.Round(time.Second).String() }

const tortureMarkdown = `# Torture: {{.Verdict}}

eos-pipe {{.Version}}, Kafka {{.Kafka}}, {{.Machine}}. Began {{.Day}}, took {{.Rest}}. Seed {{.Seed}}. Again: ` + "`{{.Command}}`" + `

## Rounds

| round | transaction.version | took | records | transactions committed, per partition | aborted, per partition | committed, each once | verdict | note |
|---|---|---|---|---|---|---|---|---|
{{range .Runs}}| {{.Name}} |{{range .Cells}} {{.}} |{{end}}
{{end}}
## Faults

| fault | times |
|---|---|
{{range .Faults}}| {{.Name}} |{{range .Cells}} {{.}} |{{end}}
{{end}}
## Anomalies

| anomaly | times |
|---|---|
{{range .Wrongs}}| {{.Name}} |{{range .Cells}} {{.}} |{{end}}
{{end}}
## Recovery

Session timeout 3 s, transaction timeout 8 s. Measured from outside by the group's committed offsets, and not asserted.

| time | measured | p50 | p99 | max |
|---|---|---|---|---|
{{range .Times}}| {{.Name}} |{{range .Cells}} {{.}} |{{end}}
{{end}}`

const tortureHTML = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Torture: {{.Verdict}}</title>
<style>body{font:15px/1.5 sans-serif;max-width:75em;margin:2em auto;padding:0 1em}table{border-collapse:collapse;margin:1em 0}
td,th{border:1px solid #bbb;padding:.2em .6em;text-align:left}td+td{text-align:right}th{background:#eee}</style>
<h1>Torture: {{.Verdict}}</h1>
<p>eos-pipe {{.Version}}, Kafka {{.Kafka}}, {{.Machine}}. Began {{.Day}}, took {{.Rest}}. Seed {{.Seed}}. Again: <code>{{.Command}}</code></p>
{{define "rows"}}{{range .}}<tr><td>{{.Name}}</td>{{range .Cells}}<td>{{.}}</td>{{end}}</tr>
{{end}}</table>{{end}}
<h2>Rounds</h2><table><tr><th>round<th>transaction.version<th>took<th>records<th>transactions committed, per partition<th>aborted, per partition` +
	`<th>committed, each once<th>verdict<th>note</tr>
{{template "rows" .Runs}}
<h2>Faults</h2><table><tr><th>fault<th>times</tr>
{{template "rows" .Faults}}
<h2>Anomalies</h2><table><tr><th>anomaly<th>times</tr>
{{template "rows" .Wrongs}}
<h2>Recovery</h2><p>Session timeout 3 s, transaction timeout 8 s. Measured from outside by the group's committed offsets, and not asserted.</p>
<table><tr><th>time<th>measured<th>p50<th>p99<th>max</tr>
{{template "rows" .Times}}
</html>
`

func (r tortureReport) markdown(w io.Writer) error {
	return texttemplate.Must(texttemplate.New("md").Parse(tortureMarkdown)).Execute(w, r)
}

func (r tortureReport) html(w io.Writer) error {
	return htmltemplate.Must(htmltemplate.New("html").Parse(tortureHTML)).Execute(w, r)
}

// The report tells what was measured and what was found, and does not pass a round that was not judged.
func TestTortureReport(t *testing.T) {
	round := &tortureRound{
		Name: "storm 1", Version: 2, Took: time.Minute, Records: 1000, Transactions: 70, Aborted: 7, Committed: 50, Producers: 3, IsJudged: true,
		Counts: faultCounts{Kills: 41, BrokerKills: 3}, Anomalies: judged{}.anomalies(),
		Recovery: map[string][]time.Duration{restartInPlace: {3 * time.Second, time.Second, 2 * time.Second}},
	}
	r := tortureReport{Version: "v0", Kafka: "4.3.1", Seed: 7, Command: "make torture <1>", Rounds: []*tortureRound{round, round}}
	text := func() string {
		var md, page strings.Builder
		require.NoError(t, r.markdown(&md))
		require.NoError(t, r.html(&page))
		require.Contains(t, page.String(), r.Verdict())
		require.Contains(t, page.String(), "make torture &lt;1&gt;")
		require.NotContains(t, page.String(), "http", "it is whole by itself")
		return md.String()
	}
	md := text()
	require.Contains(t, md, "# Torture: no anomaly")
	require.Contains(t, md, "| kill -9 of a process | 82 |")
	require.Contains(t, md, "| "+restartInPlace+" | 6 | 2.00 s | 3.00 s | 3.00 s |")
	require.Contains(t, md, "| lost | 0 |")
	require.Equal(t, "Kafka 4.3.1, 0s, seed 7: 2000 records in 2 rounds, 100 transactions told apart; kill -9 of 82 processes and 6 brokers, 0 SIGSTOP; 0 anomalies", r.Summary())
	round.Anomalies[0].Count = 1
	md = text()
	require.Contains(t, md, "# Torture: NOT PASSED")
	require.Contains(t, md, "| lost | 2 |")
	round.Anomalies[0].Count, round.IsJudged = 0, false
	require.Contains(t, text(), "# Torture: NOT PASSED")
}
