import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import paceline.client.FilePlatform;
import paceline.client.Frames;
import paceline.client.Subscriber;

/** Applies commands of ads.adjustments to a platform and answers on ads.feedback. Settings: see deploy/clients/README.md. */
final class Consumer {
    public static void main(String[] arguments) throws Exception {
        String brokers = setting("BROKERS", "127.0.0.1:9092");
        Path state = Path.of(setting("STATE", "."));
        Frames frames = new Frames(setting("REGISTRY", null), Path.of(setting("SCHEMAS", "schemas")));
        Subscriber.Platform platform = new FilePlatform(state.resolve("platform.json")); // yours: read, write
        // Keeps the rule: state, sequence, expiry, requires, expected previous value; its memory survives a crash.
        Subscriber subscriber = new Subscriber(platform, state.resolve("memory.json"));
        Map<String, Object> reading = Map.of("bootstrap.servers", brokers, "group.id", setting("GROUP", "ad-buyer"),
            "isolation.level", "read_committed", "enable.auto.commit", false, "auto.offset.reset", "earliest");
        Map<String, Object> writing = Map.of("bootstrap.servers", brokers, "enable.idempotence", true, "acks", "all");
        try (var consumer = new KafkaConsumer<>(reading, new StringDeserializer(), new ByteArrayDeserializer());
                var producer = new KafkaProducer<>(writing, new StringSerializer(), new StringSerializer())) {
            consumer.subscribe(List.of(setting("ADJUSTMENTS", "ads.adjustments")));
            while (true) {
                for (ConsumerRecord<String, byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    answer(producer, subscriber.handle(frames.decode(record.value()), System.currentTimeMillis()));
                    // Only now: after a crash the command comes again, and is known.
                    consumer.commitSync(Map.of(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1)));
                }
                answer(producer, subscriber.tick(System.currentTimeMillis()));
            }
        }
    }

    private static void answer(KafkaProducer<String, String> producer, List<ObjectNode> acks) throws Exception {
        for (ObjectNode ack : acks) {
            String campaign = ack.get("campaign_id").asText();
            producer.send(new ProducerRecord<>(setting("FEEDBACK", "ads.feedback"), campaign, ack.toString())).get();
            System.out.println(campaign + " " + ack.get("sequence") + " " + ack.get("result").asText());
        }
    }

    private static String setting(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }
}
