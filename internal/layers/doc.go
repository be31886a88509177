// Package layers holds no code, only tests that keep the shape of the module: which package may import which, and that the docs name
// tests that exist. A failure names the place and the rule. golangci-lint (.golangci.yaml) sees to lengths and comments.
//
// The table of imports is in rules_test.go.
package layers
