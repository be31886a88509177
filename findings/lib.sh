# What the scripts of this folder share; sourced, never run. CONTRIBUTING.md describes the form of a finding.
# shellcheck shell=bash
set -euo pipefail
work=$(mktemp -d)
project=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
differs=0
finding_name=$(basename "$0" .sh)
ending=(rm -rf "$work")
finish() {
  local status=$?
  "${ending[@]}"
  if ((status == 0 && differs)); then
    echo "$finding_name: CHANGED: the software no longer behaves as described" >&2
    status=1
  fi
  exit "$status"
}
trap finish EXIT

# python PACKAGE==VERSION...: makes a virtual environment with them; $python is its Python.
python() {
  python3 -m venv "$work/python"
  "$work/python/bin/pip" install -q --disable-pip-version-check --only-binary :all: "$@"
  python=$work/python/bin/python
}

# golang MODULE@VERSION...: makes a Go module that requires them, in $work/go; put main.go there and call run_go.
golang() {
  mkdir "$work/go"
  (cd "$work/go" && go mod init finding && go get "$@") >"$work/go.log" 2>&1 || { cat "$work/go.log" >&2; exit 1; }
}
run_go() { (cd "$work/go" && go mod tidy >"$work/go.log" 2>&1 && go run . "$@"); }

# kafka: after python, starts Apache Kafka 4.4.0, from its published jars on Java, until the script ends; $brokers is where.
kafka() {
  local port
  port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(20000 + s.getsockname()[1] % 12000)')
  ending=(kafka_down)
  brokers=$(EOS_TEST_KAFKA_VERSION=4.4.0 "$project/docker/kafka/native" up --port "$port" --dir "$work/kafka")
}
kafka_down() {
  "$project/docker/kafka/native" down --dir "$work/kafka"
  rm -rf "$work"
}

# about TEXT...: what the software is, in which version, and what it does, in words.
about() { printf '%s: %s\n' "$finding_name" "$1"; printf '  %s\n' "${@:2}"; }

# seen WHAT WANT GOT: prints what came, and notes if it is not what is described.
seen() {
  echo "  $1: $3"
  [[ $3 == "$2" ]] || { echo "  DIFFERENT, described is: $2"; differs=1; }
}
