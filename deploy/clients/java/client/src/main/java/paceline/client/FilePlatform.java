package paceline.client;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/** Stands for your ad platform's API: values in a JSON file. */
public record FilePlatform(Path file) implements Subscriber.Platform {
    public JsonNode read(JsonNode target, String what) throws IOException {
        return values().path(target.get("id").asText() + "/" + what);
    }

    public void write(JsonNode target, String what, JsonNode value) throws IOException {
        ObjectNode values = values();
        values.set(target.get("id").asText() + "/" + what, value);
        Path unfinished = file.resolveSibling("platform.json.new");
        Files.writeString(unfinished, values.toString());
        Files.move(unfinished, file, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
    }

    private ObjectNode values() throws IOException {
        // Before the first write there is no file.
        return Files.exists(file)
            ? (ObjectNode) Subscriber.JSON.readTree(Files.readString(file))
            : Subscriber.JSON.createObjectNode();
    }
}
