#!/usr/bin/env bash
# The Avro specification resolves a writer's union or enum by the value at hand: a reader that wants a string reads each value of ["null", "string"] that is one. twmb/avro
# refuses the two schemas instead, so that no value is read. fastavro reads what can be read.
. "$(dirname "$(readlink -f "$0")")/lib.sh"
python fastavro==1.13.1
golang github.com/twmb/avro@v1.9.1
about "twmb/avro 1.9.1, beside fastavro 1.13.1" \
  'Writer: {"name": "s", "type": ["null", "string"]}, and an enum with one symbol more. Reader: string, and the enum without it. fastavro' \
  "reads \"x\" and the known symbol. twmb/avro refuses both pairs of schemas before a value is seen."
cat >"$work/main.py" <<'PYTHON'
import io
import fastavro

def record(t):
    return fastavro.parse_schema({"type": "record", "name": "R", "fields": [{"name": "s", "type": t}]})

def enum(symbols):
    return {"type": "enum", "name": "E", "symbols": symbols}

for writer, reader, value in [(["null", "string"], "string", "x"), (enum(["A", "B", "C"]), enum(["A", "B"]), "A")]:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, record(writer), {"s": value})
    out.seek(0)
    print(fastavro.schemaless_reader(out, record(writer), record(reader))["s"])
PYTHON
cat >"$work/go/main.go" <<'GO'
package main

import (
	"fmt"

	"github.com/twmb/avro"
)

func main() {
	for _, pair := range [][2]string{
		{`["null","string"]`, `"string"`},
		{`{"type":"enum","name":"E","symbols":["A","B","C"]}`, `{"type":"enum","name":"E","symbols":["A","B"]}`},
	} {
		var schemas []*avro.Schema
		for _, t := range pair {
			schemas = append(schemas, avro.MustParse(`{"type":"record","name":"R","fields":[{"name":"s","type":`+t+`}]}`))
		}
		if _, err := avro.Resolve(schemas[0], schemas[1]); err != nil {
			fmt.Println("refused")
		} else {
			fmt.Println("accepted")
		}
	}
}
GO
"$python" "$work/main.py" >"$work/python.out"
run_go >"$work/go.out"
seen 'fastavro, "x" of ["null", "string"] as string' x "$(sed -n 1p "$work/python.out")"
seen 'twmb/avro, ["null", "string"] to string' refused "$(sed -n 1p "$work/go.out")"
seen "fastavro, symbol A of [A, B, C] as [A, B]" A "$(sed -n 2p "$work/python.out")"
seen "twmb/avro, [A, B, C] to [A, B]" refused "$(sed -n 2p "$work/go.out")"
