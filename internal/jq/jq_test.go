package jq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
)

// The behaviour of programs over records, as text: testdata/*.txt. Each case is a command (map, filter, id, compile),
// lines that give the program and the record, and what comes out. Rewrite with: go test ./internal/jq -rewrite
func TestPrograms(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/programs", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			expr, record := parseCase(t, d)
			p, err := Compile(expr)
			if err != nil {
				return "compile error: " + err.Error() + "\n"
			}
			return runCase(t, d.Cmd, p, record)
		})
	})
}

func runCase(t *testing.T, command string, p *Program, r Record) string {
	switch command {
	case "compile":
		return fmt.Sprintf("ok, reads the value: %v\n", p.readsValue)
	case "filter":
		keep, err := p.Filter(t.Context(), r)
		return answer(strconv.FormatBool(keep), err)
	case "id":
		id, err := p.ID(t.Context(), r)
		return answer(id, err)
	case "map":
		out, err := p.Map(t.Context(), r)
		if err == nil && len(out) == 0 {
			return "no record\n"
		}
		lines := make([]string, len(out))
		for i, o := range out {
			lines[i] = show(o)
		}
		return answer(strings.Join(lines, "\n"), err)
	default:
		t.Fatalf("unknown command %s", command)
		return ""
	}
}

func answer(s string, err error) string {
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	return s + "\n"
}

// parseCase reads "name: rest" lines. Bytes are as they stand, Go-quoted where they begin with a quote, or <nil>.
func parseCase(t *testing.T, d *datadriven.TestData) (expr string, r Record) {
	r = Record{
		Key: []byte("k"), Value: []byte("{}"), Topic: "orders", Partition: 3, Offset: 41,
		Timestamp: time.UnixMilli(1_700_000_000_123),
	}
	for line := range strings.Lines(d.Input) {
		name, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		rest = strings.TrimPrefix(rest, " ")
		switch name {
		case "program":
			expr = strings.ReplaceAll(rest, "⏎", "\n")
		case "key":
			r.Key = literal(t, rest)
		case "value":
			r.Value = literal(t, rest)
		case "header":
			k, v, _ := strings.Cut(rest, "=")
			r.Headers = append(r.Headers, Header{Key: k, Value: literal(t, v)})
		default:
			d.Fatalf(t, "unknown line %q", line)
		}
	}
	return expr, r
}

func literal(t *testing.T, s string) []byte {
	switch {
	case s == "<nil>":
		return nil
	case strings.HasPrefix(s, `"`):
		s, err := strconv.Unquote(s)
		require.NoError(t, err)
		return []byte(s)
	default:
		return []byte(s)
	}
}

func show(r Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "key=%s value=%s", showBytes(r.Key), showBytes(r.Value))
	for _, h := range r.Headers {
		fmt.Fprintf(&b, " %s=%s", h.Key, showBytes(h.Value))
	}
	if r.To != "" {
		fmt.Fprintf(&b, " to=%s", r.To)
	}
	return b.String()
}

func showBytes(b []byte) string {
	if b == nil {
		return "nil"
	}
	return fmt.Sprintf("%#q", b)
}

func mustCompile(t testing.TB, expr string) *Program {
	t.Helper()
	p, err := Compile(expr)
	require.NoError(t, err)
	return p
}

// A program that never ends is stopped: by its caller's context, whose cause stays visible, and by its own bound
// where the caller set none. A program without end of outputs is stopped, too, and one that makes more bytes than it may.
func TestRunawayProgramsAreStopped(t *testing.T) {
	t.Parallel()
	loop := mustCompile(t, "def f: f; f")

	cause := errors.New("partition was revoked")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	_, err := loop.Filter(ctx, Record{})
	require.ErrorIs(t, err, cause)

	loop.maxRun = time.Millisecond
	_, err = loop.Map(t.Context(), Record{})
	require.EqualError(t, err, "the jq program ran longer than 1ms on one record; does it loop?")

	many := mustCompile(t, "repeat({key: 1})")
	many.maxOutputs = 5
	out, err := many.Map(t.Context(), Record{})
	require.EqualError(t, err, "the jq program makes more than 5 records of one")
	require.Empty(t, out)

	large := mustCompile(t, `repeat({value: "0123456789"})`).WithMaxBytes(100)
	out, err = large.Map(t.Context(), Record{})
	require.EqualError(t, err, "the jq program makes more than 100 bytes of one record; --buffer-memory bounds it")
	require.Empty(t, out)
}

// The environment of the process does not reach a program, by whatever way it asks.
func TestProgramsDoNotReachOutside(t *testing.T) {
	t.Setenv("EOS_PIPE_SECRET", "s3cret")
	for _, expr := range []string{
		"env.EOS_PIPE_SECRET", "$ENV.EOS_PIPE_SECRET", "[1 | env]", "def f: env; f", `"\($ENV)"`, "{a: (if . then env else 1 end)}",
		"input", "[inputs]", "debug", "debug(.)", "stderr", "halt", `"x" | halt_error`, "halt_error(1)", "input_line_number",
		`import "a" as a; .`, `include "a"; .`, `"a" | modulemeta`, "get_search_list", `import "data" as $d; $d`,
	} {
		_, err := Compile(expr)
		require.Error(t, err, expr)
		require.NotContains(t, err.Error(), "\n", expr)
	}
}

// One Program serves many goroutines at once, each with its own record (run with -race).
func TestProgramIsSafeForManyGoroutines(t *testing.T) {
	t.Parallel()
	p := mustCompile(t, `.value.n += 1 | .value.s |= test("^a.*z$") | .headers.seen = "yes"`)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				n := g*1000 + i
				out, err := p.Map(t.Context(), Record{Value: fmt.Appendf(nil, `{"n":%d,"s":"abcz"}`, n)})
				if err != nil || len(out) != 1 || string(out[0].Value) != fmt.Sprintf(`{"n":%d,"s":true}`, n+1) {
					t.Errorf("record %d became %v, %v", n, out, err)
				}
			}
		})
	}
	wg.Wait()
}

// reading sees the value.
var reading = &Program{readsValue: true, value: JSON, key: Text}

// One record may be read by many goroutines at once: a run writes neither to the record nor to its bytes.
func TestProgramsDoNotWriteToTheirInput(t *testing.T) {
	t.Parallel()
	const value = `{"a":[3,1,2],"o":{"x":1.10,"y":[{"z":null}]},"s":"t"}`
	for _, expr := range []string{
		".value.a |= sort", ".value.a[0] = 9", "del(.value.o.x)", ".value.o.y[0].z += 1", ".value |= with_entries(.value |= tostring)",
		"reduce range(3) as $i (.; .value.a[$i] = 0)", ".value.a |= (. + . | reverse)", ".value |= walk(if type == \"number\" then 0 else . end)",
		"{value: ([.value.a, .value.a] | add)}", ".value.o *= {x: {}}", "delpaths([[\"value\", \"a\"]])", "{value: (.value | to_entries | add)}",
	} {
		r := Record{Value: []byte(value), Headers: []Header{{Key: "h", Value: []byte("v")}}}
		in, err := reading.newInput(r)
		require.NoError(t, err)
		p := mustCompile(t, expr)
		for _, err := range p.outputs(t.Context(), in) {
			require.NoError(t, err, expr)
		}
		fresh, err := reading.newInput(r)
		require.NoError(t, err)
		require.Equal(t, fresh.object, in.object, expr)
		require.Equal(t, value, string(r.Value), expr)
	}
}

// What is not JSON in a number has a fixed reading: NaN becomes null, infinities the largest float64.
func TestNumbersThatJSONDoesNotHave(t *testing.T) {
	t.Parallel()
	out, err := mustCompile(t, "{value: [nan, infinite, -infinite]}").Map(t.Context(), Record{})
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("[null,%[1]v,-%[1]v]", math.MaxFloat64), string(out[0].Value))
}

func BenchmarkMapIdentity(b *testing.B)     { benchmarkMap(b, ".") }
func BenchmarkMapChange(b *testing.B)       { benchmarkMap(b, ".value.amount += 1") }
func BenchmarkMapWithoutValue(b *testing.B) { benchmarkMap(b, "{topic: .headers.route}") }

func benchmarkMap(b *testing.B, expr string) {
	p, r := mustCompile(b, expr), benchmarkRecord()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Map(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFilterValue(b *testing.B)  { benchmarkFilter(b, ".value.amount > 10") }
func BenchmarkFilterHeader(b *testing.B) { benchmarkFilter(b, `.headers.route == "audit"`) }

func benchmarkFilter(b *testing.B, expr string) {
	p, r := mustCompile(b, expr), benchmarkRecord()
	b.ReportAllocs()
	for b.Loop() {
		if keep, err := p.Filter(b.Context(), r); err != nil || !keep {
			b.Fatal(keep, err)
		}
	}
}

func benchmarkRecord() Record {
	return Record{
		Key:     []byte("account-17"),
		Value:   []byte(`{"id":"9f2c","amount":120.50,"currency":"EUR","from":"DE01","to":"FR02","tags":["a","b"],"at":"2026-01-02T03:04:05Z"}`),
		Headers: []Header{{Key: "route", Value: []byte("audit")}}, Topic: "orders", Timestamp: time.UnixMilli(1_700_000_000_123),
	}
}
