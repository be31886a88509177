import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Kafka's own client as a writer and a reader: README.md says what goes in and out. Run with: java -cp 'JARS/*' Client.java */
public class Client {
    static final ObjectMapper json = new ObjectMapper();

    public static void main(String[] args) throws Exception {
        if (args[0].equals("write")) {
            write(args[1], args[2], args[3], args.length > 4 ? args[4] : "");
        } else {
            read(args[1], args[2], args[3]);
        }
    }

    static void write(String brokers, String topic, String codec, String id) throws Exception {
        Map<String, Object> conf = new java.util.HashMap<>(Map.of("bootstrap.servers", brokers, "compression.type", codec, "linger.ms", 5));
        if (!id.isEmpty()) {
            conf.put("transactional.id", id);
        }
        var in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        var sent = new ArrayList<Future<RecordMetadata>>();
        try (var producer = new KafkaProducer<>(conf, new ByteArraySerializer(), new ByteArraySerializer())) {
            if (!id.isEmpty()) {
                producer.initTransactions();
            }
            boolean open = false;
            for (String line; (line = in.readLine()) != null; ) {
                JsonNode r = json.readTree(line);
                if (!open && !id.isEmpty()) {
                    producer.beginTransaction();
                }
                open = !r.has("end");
                if (open) {
                    sent.add(producer.send(record(topic, r)));
                    continue;
                }
                producer.flush();
                if (!id.isEmpty() && r.get("end").asText().equals("commit")) {
                    producer.commitTransaction();
                } else if (!id.isEmpty()) {
                    producer.abortTransaction();
                }
            }
        }
        for (var each : sent) {
            System.out.printf("{\"partition\":%d,\"offset\":%d}%n", each.get().partition(), each.get().offset());
        }
    }

    static ProducerRecord<byte[], byte[]> record(String topic, JsonNode r) throws Exception {
        List<Header> headers = new ArrayList<>();
        for (JsonNode h : r.get("headers")) {
            headers.add(new RecordHeader(h.get(0).asText(), bytes(h.get(1))));
        }
        Integer partition = r.get("partition").asInt() < 0 ? null : r.get("partition").asInt();
        return new ProducerRecord<>(topic, partition, r.get("timestamp").asLong(), bytes(r.get("key")), bytes(r.get("value")), headers);
    }

    static byte[] bytes(JsonNode text) throws Exception {
        return text.isNull() ? null : text.binaryValue();
    }

    static void read(String brokers, String topic, String group) throws Exception {
        Map<String, Object> conf = Map.of("bootstrap.servers", brokers, "group.id", group, "isolation.level", "read_committed",
            "auto.offset.reset", "earliest", "enable.auto.commit", false);
        try (var consumer = new KafkaConsumer<>(conf, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            var partitions = consumer.partitionsFor(topic).stream().map(p -> new TopicPartition(topic, p.partition())).toList();
            consumer.assign(partitions);
            var ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
                for (var r : consumer.poll(Duration.ofSeconds(1))) {
                    System.out.println(json.writeValueAsString(shown(r)));
                }
            }
            consumer.commitSync();
            ObjectNode committed = json.createObjectNode();
            consumer.committed(java.util.Set.copyOf(partitions)).forEach((p, o) -> committed.put("" + p.partition(), o.offset()));
            System.out.println(json.writeValueAsString(json.createObjectNode().set("committed", committed)));
        }
    }

    static ObjectNode shown(ConsumerRecord<byte[], byte[]> r) {
        ObjectNode shown = json.createObjectNode().put("partition", r.partition()).put("offset", r.offset()).put("timestamp", r.timestamp())
            .put("key", r.key()).put("value", r.value());
        ArrayNode headers = shown.putArray("headers");
        for (Header h : r.headers()) {
            headers.addArray().add(h.key()).add(h.value());
        }
        return shown;
    }
}
