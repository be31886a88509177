"""Writes values with fastavro, and reads them again with another schema.

    python3 -m venv v && v/bin/pip install fastavro==1.13.1
    v/bin/python make.py > resolution.json
"""
import datetime
import io
import json
import sys

import fastavro

UTC = datetime.timezone.utc


def logical(kind, name, **more):
    return {"type": kind, "logicalType": name, **more}


def enum(*symbols, **more):
    return {"type": "enum", "name": "E", "symbols": list(symbols), **more}


def record(name, *fields, **more):
    return {"type": "record", "name": name, "fields": [dict(zip(("name", "type", "default"), f)) for f in fields], **more}


noon = datetime.datetime(2026, 11, 30, 12, 0, 0, 1000, tzinfo=UTC)
old, new = enum("A", "B"), enum("A", "B", "C")
A, B = record("A", ("x", "int")), record("B", ("x", "int"))
money = record("Money", ("cents", "long"))
node = lambda *more: record("Node", ("v", "int"), *more, ("next", ["null", "Node"]))
ns = lambda s: {**s, "namespace": "com.shop"}

# name, the writer's type, the reader's type, values
cases = [
    ("a union into one of its types", ["null", "string"], "string", ["x", None]),
    ("a union with one branch more", ["null", "string", "int"], ["null", "string"], [None, "x", 7]),
    ("a union's branch that is promoted", ["int", "long", "float"], "double", [1, 2**40, 0.5]),
    ("a type into a union, the exact one first", "int", ["double", "int"], [7]),
    ("a type into a union, promoted", "int", ["null", "double"], [7]),
    ("an enum with one symbol more", new, old, ["A", "B", "C"]),
    ("an enum's symbols in another order", enum("B", "A"), old, ["A", "B"]),
    ("an enum's default", new, enum("A", "B", default="B"), ["A", "C"]),
    ("an enum in an array", {"type": "array", "items": new}, {"type": "array", "items": old}, [[], ["A", "B"], ["A", "C"]]),
    ("a union in a map", {"type": "map", "values": ["null", "string"]}, {"type": "map", "values": "string"}, [{}, {"k": "v"}, {"k": None}]),
    ("a union of records", [A, B], [B], [("A", {"x": 1}), ("B", {"x": 2})]),
    ("int to long", "int", "long", [-1, 2**31 - 1]),
    ("long to double", "long", "double", [2**53]),
    ("float to double", "float", "double", [0.5]),
    ("string to bytes", "string", "bytes", ["x"]),
    ("bytes to string", "bytes", "string", [b"x"]),
    ("string to int", "string", "int", ["x"]),
    ("long to int", "long", "int", [1]),
    ("fields in another order, one gone, one with a default",
     record("R", ("a", "int"), ("gone", {"type": "array", "items": [ "null", A ]}), ("b", "string")),
     record("R", ("n", enum("P", "Q"), "Q"), ("b", "string"), ("d", ["null", "E"], None), ("a", "long")),
     [{"a": 1, "gone": [None, {"x": 2}], "b": "x"}]),
    ("defaults of every type",
     record("R"),
     record("R", ("i", "int", 7), ("d", "double", 0.5), ("s", "string", "x"), ("u", ["string", "null"], "y"), ("l", {"type": "array", "items": "int"}, [1, 2]),
            ("m", {"type": "map", "values": "long"}, {"k": 3}), ("r", money, {"cents": 4}), ("q", "Money", {"cents": 5})),
     [{}]),
    ("a field that has no default", record("R", ("a", "int")), record("R", ("a", "int"), ("b", "int")), [{"a": 1}]),
    ("a type that contains itself", node(), node(("n", "string", "new")), [{"v": 1, "next": {"v": 2, "next": None}}]),
    ("a name with a namespace", ns(record("R", ("a", "int"))), record("R", ("a", "int")), [{"a": 1}]),
]
same_unit = [
    ("timestamp-millis as micros", logical("long", "timestamp-millis"), logical("long", "timestamp-micros"), [noon]),
    ("timestamp-micros as millis", logical("long", "timestamp-micros"), logical("long", "timestamp-millis"), [noon]),
    ("time-millis as micros", logical("int", "time-millis"), logical("long", "time-micros"), [datetime.time(12, 0, 1)]),
]


def plain(v):
    """As the Go test has values: what JSON does not have is text."""
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()}
    if isinstance(v, (list, tuple)):
        return [plain(x) for x in v]
    if isinstance(v, bytes):
        return v.decode("latin-1")
    if isinstance(v, datetime.datetime):
        return v.astimezone(UTC).isoformat(timespec="milliseconds")
    if isinstance(v, datetime.time):
        return v.isoformat()
    return v


def attempt(f):
    try:
        return {"is": plain(f())}
    except Exception:
        return {"refused": True}


out = {"fastavro": fastavro.__version__, "cases": []}
for name, w, r, values in cases + same_unit:
    W, R = record("Outer", ("f", w)), record("Outer", ("f", r))
    for v in values:
        raw = io.BytesIO()
        fastavro.schemaless_writer(raw, W, {"f": v})
        data = raw.getvalue()
        case = {"name": name, "writer": W, "reader": R, "bytes": data.hex()}
        case["fastavro"] = attempt(lambda: fastavro.schemaless_reader(io.BytesIO(data), W, R)["f"])
        out["cases"].append(case)
json.dump(out, sys.stdout, indent=1)
print()
