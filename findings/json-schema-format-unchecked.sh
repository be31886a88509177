#!/usr/bin/env bash
# Python's JSON Schema serializer and deserializer do not look at "format", in no draft: a date that is none is written and read. Types and patterns are checked.
. "$(dirname "$(readlink -f "$0")")/lib.sh"
python 'confluent-kafka[json,schemaregistry]==2.16.1'
about "confluent-kafka 2.16.1 for Python" \
  'The schema says {"type": "string", "format": "date-time"}. "yesterday" is written all the same, whichever draft the schema names;' \
  'a number, which is no string, is refused. A reader that checks formats then refuses what this writer was allowed to write.'
cat >"$work/main.py" <<'PYTHON'
import json
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

client = SchemaRegistryClient.new_client({"url": "mock://"})
for draft in ["http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"]:
    schema = {"$schema": draft, "title": "T", "type": "object", "properties": {"at": {"type": "string", "format": "date-time"}}}
    ctx = SerializationContext(draft.split("/")[-2], MessageField.VALUE)
    for value in ["yesterday", 5]:
        try:
            print(JSONSerializer(json.dumps(schema), client)({"at": value}, ctx)[5:].decode())
        except Exception as e:
            print(type(e).__name__)
PYTHON
"$python" "$work/main.py" >"$work/out"
for draft in draft-04 draft-07 2020-12; do
  seen "$draft, \"yesterday\"" '{"at":"yesterday"}' "$(sed -n 1p "$work/out")"
  seen "$draft, the number 5" SerializationError "$(sed -n 2p "$work/out")"
  sed -i 1,2d "$work/out"
done
