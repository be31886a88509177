#!/usr/bin/env bash
# With transaction.version 2 (KIP-890, the default of Kafka 4) each transaction has a producer epoch of its own, so that a request that was delayed from an earlier transaction
# is refused. librdkafka does not take part: it ends transactions by EndTxn v1, and all of them have one epoch.
. "$(dirname "$(readlink -f "$0")")/lib.sh"
python confluent-kafka==2.16.1
kafka
about "confluent-kafka 2.16.1 (librdkafka) on Apache Kafka 4.4.0, where transaction.version is 2" \
  "Three transactions of one producer have the same epoch in the log; EndTxn goes out as version 1, though the broker offers 5." \
  "Clients that send version 5 (Java, franz-go) have three."
cat >"$work/main.py" <<'PYTHON'
import logging
import re
import sys
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

said = []
class Keep(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())
logger = logging.Logger("librdkafka")
logger.addHandler(Keep())
admin = AdminClient({"bootstrap.servers": sys.argv[1]})
admin.create_topics([NewTopic("t", 1, 1)])["t"].result()
producer = Producer({"bootstrap.servers": sys.argv[1], "transactional.id": "id", "debug": "protocol"}, logger=logger)
producer.init_transactions()
for i in range(3):
    producer.begin_transaction()
    producer.produce("t", value=str(i))
    producer.commit_transaction()
producer.poll(0)
print(*sorted(set(re.findall(r"Sent EndTxnRequest \((v[0-9]+)", "\n".join(said)))))
PYTHON
"$python" "$work/main.py" "$brokers" >"$work/out"
log=$(echo "$work"/kafka/node-1/data/t-0/00000000000000000000.log)
jars=$("$project/docker/kafka/jars" 4.4.0)
java -cp "$jars/*" kafka.tools.DumpLogSegments --files "$log" >"$work/dump" 2>/dev/null ||
  java -cp "$jars/*" org.apache.kafka.tools.DumpLogSegments --files "$log" >"$work/dump"
java -cp "$jars/*" org.apache.kafka.tools.FeatureCommand --bootstrap-server "$brokers" describe >"$work/features"
seen "transaction.version of the broker" 2 "$(sed -n 's/^Feature: transaction.version.*FinalizedVersionLevel: \([0-9]*\).*/\1/p' "$work/features")"
seen "versions of EndTxn sent" v1 "$(sed -n 1p "$work/out")"
seen "batches in the log, with records and markers" 6 "$(grep -c 'producerEpoch:' "$work/dump")"
seen "epochs among them" 1 "$(grep -o 'producerEpoch: [0-9]*' "$work/dump" | sort -u | wc -l)"
