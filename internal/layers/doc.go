// Package layers holds no code, only tests that keep the shape of the module: who may import whom, how long files
// and functions may be, and that every exported name says what it promises. A failure names the place and the rule.
//
// The table of imports is in rules_test.go.
package layers
