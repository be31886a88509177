package jq

import (
	"encoding/json"
	"math/big"
	"reflect"
	"strings"

	"github.com/itchyny/gojq"
)

// This file keeps integers exact where gojq takes each number for a float64: in the functions that give an integer back as it is.
// A definition takes the place of gojq's own function in programs that call it, and calls that for numbers that are no integers.

// exact has the definitions, by name and number of arguments. In each the first _name is still gojq's.
var exact = map[string]string{
	"floor/0":     `def _floor: floor; def floor: if _integer then . else _floor end;`,
	"ceil/0":      `def _ceil: ceil; def ceil: if _integer then . else _ceil end;`,
	"round/0":     `def _round: round; def round: if _integer then . else _round end;`,
	"trunc/0":     `def _trunc: trunc; def trunc: if _integer then . else _trunc end;`,
	"rint/0":      `def _rint: rint; def rint: if _integer then . else _rint end;`,
	"nearbyint/0": `def _nearbyint: nearbyint; def nearbyint: if _integer then . else _nearbyint end;`,
	"fabs/0":      `def _fabs: fabs; def fabs: if _integer then abs else _fabs end;`,
	"modf/0":      `def _modf: modf; def modf: if _integer then [(_modf | .[0]), .] else _modf end;`,
	"fmin/2":      `def _fmin($a; $b): fmin($a; $b); def fmin(a; b): b as $b | a as $a | if ([$a, $b] | all(_integer)) then [$a, $b] | min else _fmin($a; $b) end;`,
	"fmax/2":      `def _fmax($a; $b): fmax($a; $b); def fmax(a; b): b as $b | a as $a | if ([$a, $b] | all(_integer)) then [$a, $b] | max else _fmax($a; $b) end;`,
}

var integers = gojq.WithFunction("_integer", 0, 0, func(v any, _ []any) any {
	switch v := v.(type) {
	case int, *big.Int:
		return true
	case json.Number:
		return !strings.ContainsAny(v.String(), ".eE")
	}
	return false
})

// keepExact puts the definitions that the program needs before it. A function that the program defines itself is not
// touched: the definition that is nearer counts.
func keepExact(query *gojq.Query) error {
	var text strings.Builder
	defined := map[string]bool{}
	eachFunc(reflect.ValueOf(query), func(f *gojq.Func) {
		name := f.Name + "/" + string(rune('0'+len(f.Args)))
		if def, ok := exact[name]; ok && !defined[name] {
			defined[name] = true
			text.WriteString(def)
		}
	})
	if len(defined) == 0 {
		return nil
	}
	definitions, err := gojq.Parse(text.String() + ".")
	if err != nil {
		return err
	}
	query.FuncDefs = append(definitions.FuncDefs, query.FuncDefs...)
	return nil
}
