package jsonschema

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
	"unicode"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// lineError is the validator's error in one line, whatever the names and values in it.
type lineError struct {
	text string
	err  error
}

func (e *lineError) Error() string { return e.text }

func (e *lineError) Unwrap() error { return e.err }

func inOneLine(err error) error {
	validation, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return &lineError{visible(err.Error()), err}
	}
	return &lineError{strings.Join(faults(validation), "; "), err}
}

// faults lists what a value does not keep, outermost first.
func faults(e *jsonschema.ValidationError) []string {
	var all []string
	switch e.ErrorKind.(type) {
	case *kind.Schema, *kind.Reference: // names the schema only
	default:
		var place strings.Builder
		for _, name := range e.InstanceLocation {
			place.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
		}
		all = append(all, visible("at '"+place.String()+"': "+text(e.ErrorKind)))
	}
	for _, cause := range e.Causes {
		all = append(all, faults(cause)...)
	}
	return all
}

var english = message.NewPrinter(language.English)

// text says what is wrong. The validator itself rounds numbers, so that the two which differ may look the same.
func text(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Minimum:
		return bounds("minimum", k.Got, k.Want)
	case *kind.Maximum:
		return bounds("maximum", k.Got, k.Want)
	case *kind.ExclusiveMinimum:
		return bounds("exclusiveMinimum", k.Got, k.Want)
	case *kind.ExclusiveMaximum:
		return bounds("exclusiveMaximum", k.Got, k.Want)
	case *kind.MultipleOf:
		return bounds("multipleOf", k.Got, k.Want)
	}
	return k.LocalizedString(english)
}

func bounds(keyword string, got, want *big.Rat) string {
	return fmt.Sprintf("%s: got %s, want %s", keyword, number(got), number(want))
}

// maxBits is up to where numbers are written out.
const maxBits = 512

// number writes a number with all its digits, unless they are very many.
func number(r *big.Rat) string {
	if r.Num().BitLen() > maxBits || r.Denom().BitLen() > maxBits {
		return new(big.Float).SetPrec(maxBits).SetRat(r).Text('g', 40)
	}
	digits, exact := r.FloatPrec()
	if !exact {
		return r.RatString()
	}
	return r.FloatString(digits)
}

// visible writes control characters, and line breaks among them, as Go does.
func visible(s string) string {
	var out strings.Builder
	for _, r := range s {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			quoted := fmt.Sprintf("%q", r)
			out.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}
