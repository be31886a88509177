#!/usr/bin/env bash
# The end of a partition for readers of committed records (its last stable offset) may lie before its beginning: where DeleteRecords has cut into a batch of an open transaction,
# the one stays at the first record of the batch and the other moves. Whoever begins "at the end" begins at an offset that is not there.
. "$(dirname "$(readlink -f "$0")")/lib.sh"
python confluent-kafka==2.16.1
kafka
about "Apache Kafka 4.4.0, asked by confluent-kafka 2.16.1 (ListOffsets, DeleteRecords)" \
  "Six records stand as one batch of an open transaction, and the first four are deleted. The earliest offset then is 4, and the latest one for" \
  "read_committed is 0. When the transaction is committed, the latest is behind its marker."
cat >"$work/main.py" <<'PYTHON'
import sys
import time
from confluent_kafka import IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

admin = AdminClient({"bootstrap.servers": sys.argv[1]})
admin.create_topics([NewTopic("t", 1, 1)])["t"].result()
producer = Producer({"bootstrap.servers": sys.argv[1], "transactional.id": "id", "linger.ms": 1000, "log_level": 3})
producer.init_transactions()
producer.begin_transaction()
for i in range(6):
    producer.produce("t", value=str(i))
producer.flush()

def offset(spec, isolation):
    p = TopicPartition("t", 0)
    return admin.list_offsets({p: spec}, isolation_level=isolation)[p].result().offset

def show():
    print(offset(OffsetSpec.earliest(), IsolationLevel.READ_COMMITTED), offset(OffsetSpec.latest(), IsolationLevel.READ_COMMITTED),
          offset(OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED))

show()
list(admin.delete_records([TopicPartition("t", 0, 4)]).values())[0].result()
show()
producer.commit_transaction()
deadline = time.monotonic() + 60  # markers follow the answer
while offset(OffsetSpec.latest(), IsolationLevel.READ_COMMITTED) < 7 and time.monotonic() < deadline:
    pass
show()
PYTHON
"$python" "$work/main.py" "$brokers" >"$work/out"
seen "earliest, latest committed, latest: open transaction" "0 0 6" "$(sed -n 1p "$work/out")"
seen "the same after DeleteRecords up to 4" "4 0 6" "$(sed -n 2p "$work/out")"
seen "the same after the commit" "4 7 7" "$(sed -n 3p "$work/out")"
