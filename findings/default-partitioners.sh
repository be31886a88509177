#!/usr/bin/env bash
# The same keys, the same number of partitions, and three clients with their default settings: each places them elsewhere. No broker is needed: librdkafka has a
# mock of one, and the partitioners of the others are called.
. "$(dirname "$(readlink -f "$0")")/lib.sh"
python confluent-kafka==2.16.1 aiokafka==0.14.0
golang github.com/IBM/sarama@v1.61.1
about "confluent-kafka 2.16.1 (librdkafka), IBM/sarama 1.61.1, and aiokafka 0.14.0, which places keys as Java does" \
  "librdkafka hashes keys with CRC32, sarama with FNV-1a, Java with murmur2. What two of them write cannot be joined by partition."
cat >"$work/go/main.go" <<'GO'
package main

import (
	"fmt"

	"github.com/IBM/sarama"
)

func main() {
	p := sarama.NewHashPartitioner("t")
	for i := range 500 {
		at, err := p.Partition(&sarama.ProducerMessage{Key: sarama.StringEncoder(fmt.Sprint("customer-", i))}, 4)
		if err != nil {
			panic(err)
		}
		fmt.Println(at)
	}
}
GO
cat >"$work/main.py" <<'PYTHON'
from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka import Producer

java, all4 = DefaultPartitioner(), list(range(4))  # the topics of the mock have four partitions
producer = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1, "log_level": 3})
got = {}
for i in range(500):
    key = f"customer-{i}".encode()
    producer.produce("t", key=key, on_delivery=lambda err, m: got.update({m.key(): m.partition()}))
producer.flush()
for i in range(500):
    key = f"customer-{i}".encode()
    print(java(key, all4, all4), got[key])
PYTHON
"$python" "$work/main.py" >"$work/python.out"
run_go >"$work/go.out"
paste -d ' ' "$work/python.out" "$work/go.out" >"$work/out" # murmur2, CRC32, FNV-1a
seen "keys, on 4 partitions" 500 "$(wc -l <"$work/out")"
seen "librdkafka as Java" 133 "$(awk '$1 == $2' "$work/out" | wc -l)"
seen "sarama as Java" 123 "$(awk '$1 == $3' "$work/out" | wc -l)"
seen "librdkafka as sarama" 119 "$(awk '$2 == $3' "$work/out" | wc -l)"
