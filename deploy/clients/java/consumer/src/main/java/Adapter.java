import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import paceline.client.Subscriber;

/** The same subscriber under `paceline conformance`: JSON lines instead of Kafka and of an ad platform. */
final class Adapter implements Subscriber.Platform {
    private final BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));

    public static void main(String[] arguments) throws IOException {
        Adapter kit = new Adapter();
        Subscriber subscriber = new Subscriber(kit, Path.of(System.getenv("PACELINE_CONFORMANCE_STATE"), "memory.json"));
        for (JsonNode message; (message = kit.hear()) != null; ) {
            long now = message.get("now").asLong();
            JsonNode command = message.get("command");
            for (ObjectNode ack : command == null ? subscriber.tick(now) : subscriber.handle(command, now))
                say(ack.put("type", "ack"));
            say(Subscriber.JSON.createObjectNode().put("type", "done"));
        }
    }

    public JsonNode read(JsonNode target, String what) throws IOException {
        say(Subscriber.JSON.createObjectNode().put("type", "read").put("what", what).set("target", target));
        return hear().get("value");
    }

    public void write(JsonNode target, String what, JsonNode value) throws IOException {
        ObjectNode message = Subscriber.JSON.createObjectNode().put("type", "write").put("what", what);
        message.set("target", target);
        say(message.set("value", value));
        hear();
    }

    private JsonNode hear() throws IOException {
        String line = lines.readLine();
        return line == null ? null : Subscriber.JSON.readTree(line);
    }

    private static void say(JsonNode message) {
        System.out.println(message);
        System.out.flush();
    }
}
