package jq

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What gives integers back, or computes with them, is exact beyond 2^53, where a float64 has no odd numbers, and beyond 64 bits.
func TestIntegersAreExact(t *testing.T) {
	t.Parallel()
	const (
		a = "9007199254740993"     // 2^53+1
		b = "-9223372036854775809" // -2^63-1
		A = "9223372036854775809"  // 2^63+1
	)
	for expr, want := range map[string][2]string{
		"floor": {a, b}, "ceil": {a, b}, "round": {a, b}, "trunc": {a, b}, "rint": {a, b}, "nearbyint": {a, b},
		"fabs": {a, A}, "abs": {a, A}, "length": {a, A}, "modf | .[1]": {a, b},
		"fmin(.; 0)": {"0", b}, "fmax(.; 0)": {a, "0"}, "fmin(.; . + 1)": {a, b}, "fmax(. - 1; .)": {a, b},
		".": {a, b}, "+.": {a, b}, "-.": {"-" + a, A}, ". + 1": {"9007199254740994", "-9223372036854775808"}, ". - 1": {"9007199254740992", "-9223372036854775810"},
		". * 3": {"27021597764222979", "-27670116110564327427"}, "(. * 7) / 7": {a, b}, ". % 1000": {"993", "-809"}, "add(., 0)": {a, b}, "[., 1] | add": {"9007199254740994", "-9223372036854775808"},
		"[., 5] | min": {"5", b}, "[., 5] | max": {a, "5"}, "[., . + 1] | max - min": {"1", "1"}, "[. + 1, .] | sort | .[0]": {a, b}, "[., ., . + 1] | unique | length": {"2", "2"},
		"[., . + 1] | group_by(.) | length": {"2", "2"}, "[{n: (. + 1)}, {n: .}] | min_by(.n) | .n": {a, b}, "[., . + 1] | index(.[1])": {"1", "1"}, "[., . + 1] | bsearch(.[1])": {"1", "1"},
		"tostring | tonumber": {a, b}, "tojson | fromjson": {a, b}, "@text | tonumber": {a, b}, "@json | fromjson": {a, b}, "[.] | @csv | tonumber": {a, b}, "[.] | @tsv | tonumber": {a, b}, "@sh | tonumber": {a, b}, "@html | tonumber": {a, b}, "@uri | tonumber": {a, b}, "@base64 | @base64d | tonumber": {a, b},
		". == . + 1": {"false", "false"}, ". < . + 1": {"true", "true"}, "[range(.; . + 2)] | last - first": {"1", "1"}, "[range(.; . + 4; 2)] | .[0]": {a, b}, "[limit(1; ., 0)] | first": {a, b},
		"[.] | map(floor) | first": {a, b}, ". as $n | {n: $n} | .n |= round | .n": {a, b}, "reduce (., 1) as $n (0; . + $n) - 1": {a, b}, "until(true; .)": {a, b}, "[.] | tostream | select(length == 2) | .[1]": {a, b}, "walk(.)": {a, b}, "{a: .} | to_entries | from_entries | .a": {a, b}, "{a: .} | pick(.a) | .a": {a, b}, "[[.]] | flatten | first": {a, b}, "[.] | transpose? // .[0]": {a, b}, "getpath([])": {a, b}, "[.] | join(\"\") | tonumber": {a, b}, "[splits(\"x\")?] | length": {"0", "0"}, "{} | .a += 0": {"{\"a\":0}", "{\"a\":0}"},
		"9007199254740993 | floor": {a, a}, "def floor: 1; floor": {"1", "1"}, "def f: floor; f": {a, b}, "1.7 | floor, ceil, round, trunc, rint": {"1", "1"}, "-1.5 | fabs": {"1.5", "1.5"}, "1.5 | modf": {"[0.5,1]", "[0.5,1]"}, "1.5 | fmax(.; 1)": {"1.5", "1.5"},
	} {
		for i, n := range []string{a, b} {
			out, err := mustCompile(t, "{value: (.value | "+expr+")}").Map(t.Context(), Record{Value: []byte(n)})
			require.NoError(t, err, expr)
			require.Equal(t, want[i], string(out[0].Value), "%s | %s", n, expr)
		}
	}
}

// The other functions of C's mathematics compute with a float64, as the package says: the list of those that have an integer for an
// integer here and do not keep it.
func TestFunctionsOfFloats(t *testing.T) {
	t.Parallel()
	for _, expr := range []string{"ldexp(.; 0)", "scalb(.; 0)", "scalbln(.; 0)", "pow(.; 1)", "fmod(.; 9007199254740999)", "fdim(.; 0)", "copysign(.; 1)", "drem(.; 18446744073709551616)", "remainder(.; 18446744073709551616)", "fma(.; 1; 0)", "hypot(.; 0)", "nexttoward(.; .)", ". + 0.0", ". * 1.0", "frexp | .[0] * 9007199254740992"} {
		out, err := mustCompile(t, "{value: (.value | "+expr+")}").Map(t.Context(), Record{Value: []byte("9007199254740993")})
		require.NoError(t, err, expr)
		require.NotEqual(t, "9007199254740993", string(out[0].Value), expr)
	}
}

// What is not a number is refused as before, by the function's own name.
func TestExactFunctionsOfOtherThings(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"floor", "ceil", "round", "trunc", "rint", "nearbyint", "fabs", "modf", "fmin(.; 1)", "fmax(1; .)"} {
		_, err := mustCompile(t, "{value: (.value | "+name+")}").Map(t.Context(), Record{Value: []byte(`"x"`)})
		require.ErrorContains(t, err, "cannot be applied to: string (\"x\")", name)
	}
	// Several outputs of the arguments come in the order that gojq has them in.
	for name, want := range map[string]string{"fmin": "[1,2,0,0]", "fmax": "[3,3,1,2]", "fdim": "[0,0,1,2]"} {
		out, err := mustCompile(t, "{value: ["+name+"(1, 2; 3, 0)]}").Map(t.Context(), Record{})
		require.NoError(t, err)
		require.Equal(t, want, string(out[0].Value), name)
	}
}
