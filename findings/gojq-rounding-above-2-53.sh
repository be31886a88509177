#!/usr/bin/env bash
# gojq computes with integers of any size, and rounds them to 53 bits as soon as they go through floor, ceil, round or trunc, which change no integer.
. "$(dirname "$(readlink -f "$0")")/lib.sh"
golang github.com/itchyny/gojq@v0.12.20
about "itchyny/gojq 0.12.20" \
  "2^53 + 1 goes through +, *, - and comparisons as it is. floor, ceil, round and trunc give 2^53: they compute in floating point also" \
  "where they are given an integer. An amount or an id that is floored \"to be safe\" is another one afterwards."
cat >"$work/go/main.go" <<'GO'
package main

import (
	"fmt"
	"math/big"

	"github.com/itchyny/gojq"
)

func main() {
	for _, program := range []string{".", ". + 1 - 1", ". * 1", ". == 9007199254740992", "floor", "ceil", "round", "trunc"} {
		query, err := gojq.Parse(program)
		if err != nil {
			panic(err)
		}
		input, _ := new(big.Int).SetString("9007199254740993", 10)
		v, _ := query.Run(input).Next()
		switch v := v.(type) {
		case float64:
			fmt.Printf("%.0f\n", v)
		default:
			fmt.Println(v)
		}
	}
}
GO
run_go >"$work/out"
while read -r want got program; do seen "9007199254740993 | $program" "$want" "$got"; done < <(paste -d ' ' \
  <(printf '9007199254740993\n%.0s' 1 2 3; echo false; printf '9007199254740992\n%.0s' 1 2 3 4) "$work/out" \
  <(printf '%s\n' . '. + 1 - 1' '. * 1' '. == 9007199254740992' floor ceil round trunc))
