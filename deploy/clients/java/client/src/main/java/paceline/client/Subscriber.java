package paceline.client;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** The subscriber's rule, without Kafka. Its memory is a file, so that it survives a crash. */
public final class Subscriber {
    /** The ad platform's API. A value is micros, or the text active or paused. */
    public interface Platform {
        JsonNode read(JsonNode target, String what) throws IOException;
        void write(JsonNode target, String what, JsonNode value) throws IOException;
    }

    public static final ObjectMapper JSON = new ObjectMapper();
    private static final Map<String, String> WHAT =
        Map.of("set_bid", "bid", "set_daily_budget", "daily_budget", "pause", "status", "resume", "status");
    private static final long KEPT_MS = 7 * 86_400_000L; // answers are remembered so long after their command expired
    private final Platform platform;
    private final Path file;
    private final ObjectNode memory;

    public Subscriber(Platform platform, Path file) throws IOException {
        this.platform = platform;
        this.file = file;
        memory = Files.exists(file) ? (ObjectNode) JSON.readTree(Files.readString(file)) : JSON.createObjectNode();
        memory.withArray("/waiting");
        for (String part : List.of("/last", "/highest", "/answers", "/leases")) memory.withObject(part);
    }

    /** Deals with one command; returns the answers for ads.feedback, also to commands that waited for it. */
    public List<ObjectNode> handle(JsonNode command, long now) throws IOException {
        List<ObjectNode> acks = new ArrayList<>(List.of(decide(command, now)));
        acks.addAll(tick(now));
        return acks;
    }

    /** Lets time pass: ends leases, tries what waits. */
    public List<ObjectNode> tick(long now) throws IOException {
        ObjectNode leases = (ObjectNode) memory.get("leases");
        for (Map.Entry<String, JsonNode> entry : List.copyOf(leases.properties())) {
            JsonNode lease = entry.getValue(), target = lease.get("target");
            String what = lease.get("what").asText();
            if (lease.get("when").asLong() > now) continue;
            if (same(platform.read(target, what), lease.get("ours"))) // else a person changed it
                platform.write(target, what, lease.get("fallback"));
            leases.remove(entry.getKey());
            save(now);
        }
        List<ObjectNode> acks = new ArrayList<>();
        List<JsonNode> waiting = new ArrayList<>();
        memory.get("waiting").forEach(waiting::add);
        for (JsonNode command : waiting) {
            ObjectNode ack = decide(command, now);
            if (!ack.get("result").asText().equals("deferred")) acks.add(ack);
        }
        return acks;
    }

    private ObjectNode decide(JsonNode c, long now) throws IOException {
        String id = c.get("command_id").asText(), kind = c.get("kind").asText(), what = WHAT.get(kind);
        String campaign = c.get("campaign_id").asText();
        JsonNode target = c.get("target"), known = memory.get("answers").get(id);
        if (known != null) return (ObjectNode) known.get("ack").deepCopy(); // a copy gets the same answer
        if (!c.get("state").asText().equals("issued")) return answer(c, now, "rejected", "not_issued", null);
        if (what == null || !c.get("dimension").isNull() || !target.get("level").asText().equals("campaign"))
            return answer(c, now, "rejected", "unknown_kind", null);
        String key = String.join("/", c.get("account_id").asText(), campaign, target.get("id").asText(), what);
        long sequence = c.get("sequence").asLong(), highest = memory.get("highest").path(campaign).asLong(0);
        if (sequence <= memory.get("last").path(key).asLong(0)) return answer(c, now, "superseded", null, null);
        JsonNode wanted = what.equals("status")
            ? JSON.valueToTree(kind.equals("pause") ? "paused" : "active") : c.get("value_micros");
        JsonNode found = platform.read(target, what);
        if (!memory.path("doing").asText().equals(id) || !same(found, wanted)) { // else we crashed after the write
            if (now >= c.get("expires_at").asLong()) return answer(c, now, "expired", null, null);
            if (now < c.get("effective_from").asLong() || !allApplied(c.get("requires"))) {
                if (!isWaiting(id)) ((ArrayNode) memory.get("waiting")).add(c);
                return answer(c, now, "deferred", "requires", null);
            }
            JsonNode expected = c.get("expected_previous"), value = expected.get("value_micros");
            if (!value.isNull() && !same(value, found) || expected.get("sequence").asLong() > highest)
                return answer(c, now, "conflict", null, found);
            memory.put("doing", id);
            save(now); // before the write, so that a crash between the two is understood
            platform.write(target, what, wanted);
        }
        ((ObjectNode) memory.get("last")).put(key, sequence);
        ((ObjectNode) memory.get("highest")).put(campaign, Math.max(sequence, highest));
        ObjectNode leases = (ObjectNode) memory.get("leases");
        leases.remove(key);
        JsonNode fallback = c.get("fallback");
        if (fallback.hasNonNull("value_micros")) {
            ObjectNode lease = leases.putObject(key).put("what", what).put("when", fallback.get("when").asLong());
            lease.set("target", target);
            lease.set("ours", wanted);
            lease.set("fallback", fallback.get("value_micros"));
        }
        return answer(c, now, "applied", null, null);
    }

    private ObjectNode answer(JsonNode c, long now, String result, String reason, JsonNode found) throws IOException {
        ObjectNode ack = JSON.createObjectNode().put("type", "Ack").put("result", result).put("reason", reason)
            .put("found_at", now).put("actor", result.equals("conflict") ? "person" : "paceline");
        for (String name : List.of("command_id", "account_id", "campaign_id", "sequence")) ack.set(name, c.get(name));
        if (found != null && found.isIntegralNumber()) ack.set("found_value_micros", found);
        if (result.equals("applied")) ack.put("applied_at", now);
        String id = c.get("command_id").asText();
        if (!result.equals("deferred")) {
            ObjectNode kept = ((ObjectNode) memory.get("answers")).putObject(id);
            kept.put("until", c.get("expires_at").asLong() + KEPT_MS).set("ack", ack.deepCopy());
            ArrayNode left = JSON.createArrayNode();
            memory.get("waiting").forEach(other -> { if (!other.get("command_id").asText().equals(id)) left.add(other); });
            memory.set("waiting", left);
        }
        save(now);
        return ack;
    }

    private boolean allApplied(JsonNode ids) {
        for (JsonNode id : ids)
            if (!memory.get("answers").path(id.asText()).path("ack").path("result").asText().equals("applied")) return false;
        return true;
    }

    private boolean isWaiting(String id) {
        for (JsonNode other : memory.get("waiting")) if (other.get("command_id").asText().equals(id)) return true;
        return false;
    }

    /** Numbers of any width are the same number. */
    private static boolean same(JsonNode a, JsonNode b) {
        return a != null && b != null && a.asText().equals(b.asText());
    }

    private void save(long now) throws IOException {
        ((ObjectNode) memory.get("answers")).properties().removeIf(entry -> entry.getValue().get("until").asLong() <= now);
        Path unfinished = file.resolveSibling(file.getFileName() + ".new");
        try (FileOutputStream out = new FileOutputStream(unfinished.toFile())) {
            out.write(JSON.writeValueAsBytes(memory));
            out.getFD().sync();
        }
        Files.move(unfinished, file, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
    }
}
