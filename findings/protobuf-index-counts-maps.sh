#!/usr/bin/env bash
# The index that Python's Protobuf serializer writes before a nested message counts the messages that protoc makes for map fields. Java's serializer
# does not count them, so the two name the same message by other numbers. No broker and no registry is needed: the client has one in memory.
. "$(dirname "$(readlink -f "$0")")/lib.sh"
python 'confluent-kafka[protobuf,schemaregistry]==2.16.1' grpcio-tools==1.85.1
about "confluent-kafka 2.16.1 for Python" \
  "message Order { map<string, string> labels = 1; message Line { string article = 1; } }" \
  "Line is the only message that is written inside Order, so its index is [0, 0]; Python writes [0, 1], for LabelsEntry is 0." \
  "The value that Java writes for Line's own nested message cannot be read by Python."
cat >"$work/order.proto" <<'PROTO'
syntax = "proto3";
message Order {
  map<string, string> labels = 1;
  message Line {
    string article = 1;
    message Part { string name = 1; }
  }
}
PROTO
"$python" -m grpc_tools.protoc -I "$work" --python_out "$work" "$work/order.proto"
cat >"$work/main.py" <<'PYTHON'
import sys
sys.path.insert(0, sys.argv[1])
import order_pb2
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

client = SchemaRegistryClient.new_client({"url": "mock://"})
ctx = SerializationContext("lines", MessageField.VALUE)
Line = order_pb2.Order.Line
data = ProtobufSerializer(Line, client)(Line(article="x"), ctx)
print(data[5:8].hex())
Part = Line.Part
java = data[:5] + bytes([6, 0, 0, 0]) + Part(name="x").SerializeToString()
try:
    print(ProtobufDeserializer(Part, {}, client)(java, ctx))
except Exception as e:
    print(e)
PYTHON
"$python" "$work/main.py" "$work" >"$work/out"
seen "index of Order.Line, as length and zigzag numbers (Java: 040000)" 040002 "$(sed -n 1p "$work/out")"
seen "reading Java's index of Order.Line.Part, [0, 0, 0]" "message index 0 out of range, message has 0 nested message(s)" "$(sed -n 2p "$work/out")"
