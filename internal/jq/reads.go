package jq

import (
	"slices"

	"github.com/itchyny/gojq"
)

// This file decides, before anything runs, whether a program can read the record's value. If it cannot, the value is
// not parsed: the program runs over any bytes, and faster.
//
// The answer errs on the side of yes. The reasoning for a no: the only way to the value leads through the record
// itself, so every part of the program that is evaluated with the record as its input is looked at, and each must be
// one of the forms below. What follows a pipe has the output of its left side as input; if the left side cannot
// read the value, neither its outputs nor what is made of them hold it.

// otherFields are the fields of a record without the value.
var otherFields = []string{"key", "headers", "topic", "partition", "offset", "timestamp"}

// safeOperators read no more than their two sides do. The others, assignments, pass the whole record on.
var safeOperators = []gojq.Operator{
	gojq.OpComma, gojq.OpAdd, gojq.OpSub, gojq.OpMul, gojq.OpDiv, gojq.OpMod, gojq.OpEq, gojq.OpNe,
	gojq.OpGt, gojq.OpLt, gojq.OpGe, gojq.OpLe, gojq.OpAnd, gojq.OpOr, gojq.OpAlt,
}

// mayReadValue reports whether q, with a record as its input, may read the record's value or pass the record on.
func mayReadValue(q *gojq.Query) bool {
	switch {
	case q == nil:
		return false
	case len(q.FuncDefs) > 0:
		return true
	case q.Term != nil:
		return termMayReadValue(q.Term)
	case q.Op == gojq.OpPipe && len(q.Patterns) == 0:
		return mayReadValue(q.Left)
	default:
		return len(q.Patterns) > 0 || !slices.Contains(safeOperators, q.Op) || mayReadValue(q.Left) || mayReadValue(q.Right)
	}
}

func termMayReadValue(t *gojq.Term) bool {
	for _, s := range t.SuffixList {
		if indexArgsMayReadValue(s.Index) {
			return true
		}
	}
	switch t.Type {
	case gojq.TermTypeNull, gojq.TermTypeTrue, gojq.TermTypeFalse, gojq.TermTypeNumber:
		return false
	case gojq.TermTypeIndex:
		return !slices.Contains(otherFields, fieldName(t.Index))
	case gojq.TermTypeFunc:
		return t.Func.Name[0] != '$' && t.Func.Name != "empty"
	case gojq.TermTypeObject:
		return slices.ContainsFunc(t.Object.KeyVals, memberMayReadValue)
	case gojq.TermTypeArray:
		return mayReadValue(t.Array.Query)
	case gojq.TermTypeUnary:
		return termMayReadValue(t.Unary.Term)
	case gojq.TermTypeString:
		return stringMayReadValue(t.Str)
	case gojq.TermTypeFormat:
		return t.Str == nil || stringMayReadValue(t.Str)
	case gojq.TermTypeIf:
		return ifMayReadValue(t.If)
	case gojq.TermTypeTry:
		return mayReadValue(t.Try.Body) // what follows catch has the error as its input
	case gojq.TermTypeQuery:
		return mayReadValue(t.Query)
	default: // . and .. and everything that is not worth the reasoning
		return true
	}
}

// fieldName is the field that .name or ."name" reads, or "" if it is not written out.
func fieldName(i *gojq.Index) string {
	if i.Str != nil && i.Str.Queries == nil {
		return i.Str.Str
	}
	return i.Name
}

// indexArgsMayReadValue looks at what stands between the brackets of a suffix: its input is the record, too.
func indexArgsMayReadValue(i *gojq.Index) bool {
	return i != nil && (mayReadValue(i.Start) || mayReadValue(i.End) || i.Str != nil && stringMayReadValue(i.Str))
}

// memberMayReadValue looks at one member of an object: {key}, {a: .key}, {"a": .key}, {(.key): 1}, {$x}.
func memberMayReadValue(m *gojq.ObjectKeyVal) bool {
	if m.Val == nil {
		return m.Key == "" || m.Key[0] != '$' && !slices.Contains(otherFields, m.Key)
	}
	return mayReadValue(m.Val) || mayReadValue(m.KeyQuery) || m.KeyString != nil && stringMayReadValue(m.KeyString)
}

func stringMayReadValue(s *gojq.String) bool { return slices.ContainsFunc(s.Queries, mayReadValue) }

func ifMayReadValue(i *gojq.If) bool {
	if i.Else == nil { // a missing else passes the record on
		return true
	}
	for _, e := range i.Elif {
		if mayReadValue(e.Cond) || mayReadValue(e.Then) {
			return true
		}
	}
	return mayReadValue(i.Cond) || mayReadValue(i.Then) || mayReadValue(i.Else)
}
