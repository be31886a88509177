package jq

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/itchyny/gojq"
)

// Compile checks expr and makes it ready to run. An error is one line that shows the place in expr.
func Compile(expr string) (*Program, error) {
	if strings.TrimSpace(expr) == "" {
		return nil, errors.New("the jq program is empty; write . for the record as it is")
	}
	query, err := gojq.Parse(expr)
	if err != nil {
		return nil, parseError(expr, err)
	}
	if err := refuse(expr, query); err != nil {
		return nil, err
	}
	readsValue := mayReadValue(query)
	if err := keepExact(query); err != nil {
		return nil, err
	}
	code, err := gojq.Compile(query, integers)
	if err != nil {
		return nil, compileError(expr, err)
	}
	return &Program{
		source: expr, code: code, readsValue: readsValue, value: JSON, key: Text, maxRun: maxRun, maxOutputs: maxOutputs,
	}, nil
}

// refused names what would read something else than the record, or end more than the program. gojq leaves most of it
// out by itself, but some silently (the environment is empty, halt ends the run without an error).
var refused = map[string]string{
	"env": "reads the environment", "$ENV": "reads the environment",
	"input": "reads another input", "inputs": "reads other inputs",
	"input_filename": "reads another input", "input_line_number": "reads another input",
	"debug": "writes to the terminal", "stderr": "writes to the terminal",
	"halt": "ends the process", "halt_error": "ends the process",
	"modulemeta": "reads a file", "get_search_list": "reads the module path",
}

func refuse(expr string, query *gojq.Query) error {
	if len(query.Imports) > 0 {
		return fmt.Errorf("import and include are not available in a jq program over records, %s", mark(expr, indexOfAny(expr, "import", "include"), 7))
	}
	var fault error
	eachFunc(reflect.ValueOf(query), func(f *gojq.Func) {
		if why, ok := refused[f.Name]; ok && fault == nil {
			fault = fmt.Errorf("%s is not available in a jq program over records (it %s), %s",
				f.Name, why, mark(expr, indexWord(expr, f.Name), len(f.Name)))
		}
	})
	return fault
}

// eachFunc calls visit with every function call below v, which is part of a parsed program. gojq offers no walk over
// its syntax tree.
func eachFunc(v reflect.Value, visit func(*gojq.Func)) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		if f, ok := reflect.TypeAssert[*gojq.Func](v); ok {
			visit(f)
		}
		eachFunc(v.Elem(), visit)
	case reflect.Struct:
		for _, field := range v.Fields() {
			eachFunc(field, visit)
		}
	case reflect.Slice:
		for i := range v.Len() {
			eachFunc(v.Index(i), visit)
		}
	default:
	}
}

func parseError(expr string, err error) error {
	parse, ok := errors.AsType[*gojq.ParseError](err)
	if !ok {
		return errors.New(oneLine(err.Error()))
	}
	return fmt.Errorf("%s %s", oneLine(err.Error()), mark(expr, parse.Offset-len(parse.Token), len(parse.Token)))
}

// compileError finds the place of a name that is not defined; gojq's error has the name but not the place.
func compileError(expr string, err error) error {
	_, name, found := strings.Cut(err.Error(), "not defined: ")
	if !found {
		return errors.New(oneLine(err.Error()))
	}
	name, _, _ = strings.Cut(name, "/")
	at := indexWord(expr, name)
	if at < 0 {
		return errors.New(oneLine(err.Error()))
	}
	return fmt.Errorf("%s %s", oneLine(err.Error()), mark(expr, at, len(name)))
}

// mark shows the n bytes of expr from the byte at on: "at line 2, column 5: .value | >>>foo<<<".
func mark(expr string, at, n int) string {
	if at < 0 || at > len(expr) {
		return "in: " + oneLine(expr)
	}
	start := strings.LastIndexByte(expr[:at], '\n') + 1
	end := len(expr)
	if i := strings.IndexByte(expr[at:], '\n'); i >= 0 {
		end = at + i
	}
	n = min(n, end-at)
	place := fmt.Sprintf("column %d", utf8.RuneCountInString(expr[start:at])+1)
	if strings.Contains(expr, "\n") {
		place = fmt.Sprintf("line %d, %s", strings.Count(expr[:at], "\n")+1, place)
	}
	return fmt.Sprintf("at %s: %s>>>%s<<<%s", place, expr[start:at], expr[at:at+n], expr[at+n:end])
}

func indexOfAny(s string, words ...string) int {
	for _, w := range words {
		if i := indexWord(s, w); i >= 0 {
			return i
		}
	}
	return -1
}

// indexWord is where the identifier word first stands in s by itself, or -1. It may hit a string literal or a
// comment: good enough to point at.
func indexWord(s, word string) int {
	for from := 0; ; {
		i := strings.Index(s[from:], word)
		if i < 0 {
			return -1
		}
		at, after := from+i, from+i+len(word)
		if (at == 0 || !isIdent(s[at-1]) && s[at-1] != '.') && (after == len(s) || !isIdent(s[after])) {
			return at
		}
		from = after
	}
}

func isIdent(c byte) bool {
	return c == '_' || c == '$' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
