"""client.py LIBRARY write|read ...: confluent (confluent-kafka), aiokafka or kafka-python as a writer and a reader; ../README.md says what goes in
and out."""

import asyncio
import base64
import json
import sys


def decoded(text):
    return None if text is None else base64.b64decode(text)


def encoded(data):
    return None if data is None else base64.b64encode(data).decode()


def lines():
    """Yields records and ends: ("record", partition or None, ...) and ("end", "commit" or "abort")."""
    for line in sys.stdin:
        r = json.loads(line)
        if "end" in r:
            yield r["end"], None
            continue
        yield "record", {
            "partition": None if r["partition"] < 0 else r["partition"], "timestamp": r["timestamp"],
            "key": decoded(r["key"]), "value": decoded(r["value"]), "headers": [(k, decoded(v)) for k, v in r["headers"]],
        }


def tell(partition, offset):
    print(json.dumps({"partition": partition, "offset": offset}))


def show(partition, offset, timestamp, key, value, headers):
    headers = [[k, encoded(v)] for k, v in headers or []]
    print(json.dumps({"partition": partition, "offset": offset, "timestamp": timestamp, "key": encoded(key), "value": encoded(value), "headers": headers}))


class Confluent:
    @staticmethod
    def write(brokers, topic, codec, transactional_id=""):
        from confluent_kafka import Producer

        conf = {"bootstrap.servers": brokers, "compression.type": codec, "linger.ms": 5}
        if transactional_id:
            conf["transactional.id"] = transactional_id
        producer, sent, opened = Producer(conf), [], False
        if transactional_id:
            producer.init_transactions()
        for kind, r in lines():
            if transactional_id and not opened:
                producer.begin_transaction()
            opened = kind == "record"
            if opened:
                place = {} if r["partition"] is None else {"partition": r["partition"]}
                sent.append(slot := [])
                producer.produce(topic, value=r["value"], key=r["key"], timestamp=r["timestamp"], headers=r["headers"],
                                 on_delivery=lambda err, m, slot=slot: slot.append((err, m)), **place)
                continue
            producer.flush()
            if transactional_id:
                producer.commit_transaction() if kind == "commit" else producer.abort_transaction()
        producer.flush()
        for [(err, m)] in sent:
            if err:
                raise SystemExit(err)
            tell(m.partition(), m.offset())

    @staticmethod
    def read(brokers, topic, group):
        from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

        # isolation.level is read_committed by default
        consumer = Consumer({"bootstrap.servers": brokers, "group.id": group, "enable.auto.commit": False})
        numbers = consumer.list_topics(topic).topics[topic].partitions
        consumer.assign([TopicPartition(topic, n, OFFSET_BEGINNING) for n in numbers])
        ends = {n: consumer.get_watermark_offsets(TopicPartition(topic, n))[1] for n in numbers}
        while any(p.offset < ends[p.partition] for p in consumer.position([TopicPartition(topic, n) for n in numbers])):
            m = consumer.poll(1)
            if m is not None and m.error():
                raise SystemExit(m.error())
            if m is not None:
                show(m.partition(), m.offset(), m.timestamp()[1], m.key(), m.value(), m.headers())
        committed = consumer.commit(offsets=consumer.position([TopicPartition(topic, n) for n in numbers]), asynchronous=False)
        consumer.close()
        return {p.partition: p.offset for p in committed}


class AIOKafka:
    @staticmethod
    def write(brokers, topic, codec, transactional_id=""):
        asyncio.run(AIOKafka.produce(brokers, topic, codec, transactional_id))

    @staticmethod
    async def produce(brokers, topic, codec, transactional_id):
        from aiokafka import AIOKafkaProducer

        producer = AIOKafkaProducer(bootstrap_servers=brokers, compression_type=None if codec == "none" else codec, linger_ms=5,
                                    transactional_id=transactional_id or None)
        await producer.start()
        sent, opened = [], False
        for kind, r in lines():
            if transactional_id and not opened:
                await producer.begin_transaction()
            opened = kind == "record"
            if opened:
                sent.append(await producer.send(topic, value=r["value"], key=r["key"], partition=r["partition"],
                                                timestamp_ms=r["timestamp"], headers=r["headers"]))
                continue
            await producer.flush()
            if transactional_id:
                await (producer.commit_transaction() if kind == "commit" else producer.abort_transaction())
        await producer.stop()
        for each in sent:
            told = await each
            tell(told.partition, told.offset)

    @staticmethod
    def read(brokers, topic, group):
        return asyncio.run(AIOKafka.consume(brokers, topic, group))

    @staticmethod
    async def consume(brokers, topic, group):
        from aiokafka import AIOKafkaConsumer, TopicPartition

        consumer = AIOKafkaConsumer(bootstrap_servers=brokers, group_id=group, enable_auto_commit=False, isolation_level="read_committed",
                                    auto_offset_reset="earliest")
        await consumer.start()
        await consumer._client.add_topic(topic)  # before partitions are assigned by hand nothing else asks for the topic
        partitions = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(p) < ends[p] for p in partitions]):
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for r in records:
                    show(r.partition, r.offset, r.timestamp, r.key, r.value, r.headers)
        await consumer.commit()
        committed = {p.partition: await consumer.committed(p) for p in partitions}
        await consumer.stop()
        return committed


class KafkaPython:
    @staticmethod
    def read(brokers, topic, group):
        from kafka import KafkaConsumer, TopicPartition

        consumer = KafkaConsumer(bootstrap_servers=brokers, group_id=group, enable_auto_commit=False, isolation_level="read_committed",
                                 auto_offset_reset="earliest")
        partitions = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(p) < ends[p] for p in partitions):
            for records in consumer.poll(timeout_ms=1000).values():
                for r in records:
                    show(r.partition, r.offset, r.timestamp, r.key, r.value, r.headers)
        consumer.commit()
        committed = {p.partition: consumer.committed(p) for p in partitions}
        consumer.close()
        return committed


library = {"confluent": Confluent, "aiokafka": AIOKafka, "kafka-python": KafkaPython}[sys.argv[1]]
if sys.argv[2] == "write":
    library.write(*sys.argv[3:])
else:
    print(json.dumps({"committed": library.read(*sys.argv[3:])}))
