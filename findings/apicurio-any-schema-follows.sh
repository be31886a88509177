#!/usr/bin/env bash
# Apicurio Registry takes any schema as the next version of a subject: its rule of compatibility is NONE until somebody sets one. Confluent's registry has BACKWARD.
. "$(dirname "$(readlink -f "$0")")/lib.sh"
python 'confluent-kafka[schemaregistry]==2.16.1'
folder=$("$project/docker/neighbours/provide" registry)
coproc REGISTRY { exec "$project/docker/neighbours/registry" "${folder#registry=}"; }
url=
exec {log}<&"${REGISTRY[0]}"
while [[ -z $url ]] && read -r line <&"$log"; do url=$(grep -o 'Listening on: http://127\.0\.0\.1:[0-9]*' <<<"$line" | cut -d' ' -f3 || true); done
cat <&"$log" >/dev/null &
about "Apicurio Registry 3.0.9, by the interface that is Confluent's" \
  "A subject's second schema changes the only field from string to int, which no reader can resolve. It is registered without a word." \
  "Where BACKWARD is set, the same is refused."
cat >"$work/main.py" <<'PYTHON'
import sys
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

client = SchemaRegistryClient({"url": sys.argv[1]})
def record(t):
    return Schema('{"type":"record","name":"R","fields":[{"name":"s","type":"%s"}]}' % t, "AVRO")
def versions(subject):
    try:
        client.register_schema(subject, record("int"))
    except Exception as e:
        print("refused", getattr(e, "http_status_code", e))
        return
    print("versions", *client.get_versions(subject))

print(client.get_compatibility())
client.register_schema("plain", record("string"))
versions("plain")
client.register_schema("guarded", record("string"))
client.set_compatibility("guarded", "BACKWARD")
versions("guarded")
PYTHON
"$python" "$work/main.py" "$url/apis/ccompat/v7" >"$work/out"
exec {REGISTRY[1]}>&-
seen "compatibility of a new registry" NONE "$(sed -n 1p "$work/out")"
seen "string, then int" "versions 1 2" "$(sed -n 2p "$work/out")"
seen "string, then int, after BACKWARD was set" "refused 409" "$(sed -n 3p "$work/out")"
