package paceline.client;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;

/** Confluent frames: 0, the schema's id in four bytes, the record. */
public final class Frames {
    private static final int FIXED_ID = 16; // of Adjustment in schemas/index.toml
    private final Map<Integer, Schema> writers = new HashMap<>();
    private final String registry;
    private final Schema ours;

    public Frames(String registry, Path schemas) throws IOException {
        this.registry = registry;
        ours = new Schema.Parser().parse(schemas.resolve("adjustment.avsc").toFile());
    }

    public JsonNode decode(byte[] payload) throws IOException, InterruptedException {
        ByteBuffer frame = ByteBuffer.wrap(payload);
        if (frame.get() != 0) throw new IOException("no Confluent frame");
        GenericDatumReader<GenericRecord> reader = new GenericDatumReader<>(writerOf(frame.getInt()), ours);
        GenericRecord record = reader.read(null, DecoderFactory.get().binaryDecoder(payload, 5, payload.length - 5, null));
        return Subscriber.JSON.readTree(record.toString()); // a record's text is JSON, instants as they are written
    }

    /** The schema a record was written with: from the registry, or ours under its fixed id. */
    private Schema writerOf(int id) throws IOException, InterruptedException {
        if (registry == null && id != FIXED_ID) throw new IOException("schema id " + id + " is not ours, and no registry is set");
        if (registry == null) return ours;
        if (!writers.containsKey(id)) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(registry + "/schemas/ids/" + id)).timeout(Duration.ofSeconds(10)).build();
            HttpResponse<String> answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
            if (answer.statusCode() != 200) throw new IOException("the registry says " + answer.statusCode() + " to schema id " + id);
            writers.put(id, new Schema.Parser().parse(Subscriber.JSON.readTree(answer.body()).get("schema").asText()));
        }
        return writers.get(id);
    }
}
