"""The subscriber's rule, without Kafka. `platform` has read(target, what) and write(target, what, value)."""
import json, os

WHAT = {"set_bid": "bid", "set_daily_budget": "daily_budget", "pause": "status", "resume": "status"}
STATUS = {"pause": "paused", "resume": "active"}
KEPT_MS = 7 * 86_400_000  # answers are remembered so long after their command expired

class Subscriber:
    def __init__(self, platform, file):
        self.platform, self.file = platform, file
        self.memory = {"last": {}, "highest": {}, "answers": {}, "doing": None, "waiting": [], "leases": {}}
        if os.path.exists(file):
            self.memory = json.load(open(file))

    def handle(self, command, now):
        """Deals with one command; returns the answers for ads.feedback, also to commands that waited for it."""
        return [self.decide(command, now)] + self.tick(now)

    def tick(self, now):
        """Lets time pass: ends leases, tries what waits."""
        for key, (target, what, ours, fallback, _) in [x for x in self.memory["leases"].items() if x[1][4] <= now]:
            if self.platform.read(target, what) == ours:  # else a person changed it
                self.platform.write(target, what, fallback)
            del self.memory["leases"][key]
            self.save(now)
        answers = [self.decide(command, now) for command in list(self.memory["waiting"])]
        return [answer for answer in answers if answer["result"] != "deferred"]

    def decide(self, c, now):
        m, what, target = self.memory, WHAT.get(c["kind"]), c["target"]
        if c["command_id"] in m["answers"]:
            return m["answers"][c["command_id"]][0]  # a copy gets the same answer
        if c["state"] != "issued" or what is None or c["dimension"] or target["level"] != "campaign":
            return self.answer(c, now, "rejected", reason="not_issued" if c["state"] != "issued" else "unknown_kind")
        key = "/".join([c["account_id"], c["campaign_id"], target["id"], what])
        if c["sequence"] <= m["last"].get(key, 0):
            return self.answer(c, now, "superseded")
        wanted, found = STATUS.get(c["kind"], c["value_micros"]), self.platform.read(target, what)
        if m["doing"] != c["command_id"] or found != wanted:  # else we crashed after the write: it is applied
            if now >= c["expires_at"]:
                return self.answer(c, now, "expired")
            applied = lambda i: i in m["answers"] and m["answers"][i][0]["result"] == "applied"
            if now < c["effective_from"] or not all(map(applied, c["requires"])):
                if all(w["command_id"] != c["command_id"] for w in m["waiting"]):
                    m["waiting"].append(c)
                    self.save(now)
                return self.answer(c, now, "deferred", reason="requires")
            expected = c["expected_previous"]
            if expected["value_micros"] not in (None, found) or expected["sequence"] > m["highest"].get(c["campaign_id"], 0):
                return self.answer(c, now, "conflict", found=found)
            m["doing"] = c["command_id"]
            self.save(now)  # before the write, so that a crash between the two is understood
            self.platform.write(target, what, wanted)
        m["last"][key], m["highest"][c["campaign_id"]] = c["sequence"], max(c["sequence"], m["highest"].get(c["campaign_id"], 0))
        m["leases"].pop(key, None)
        if c["fallback"] and c["fallback"]["value_micros"] is not None:
            m["leases"][key] = [target, what, wanted, c["fallback"]["value_micros"], c["fallback"]["when"]]
        return self.answer(c, now, "applied")

    def answer(self, c, now, result, reason=None, found=None):
        ack = {k: c[k] for k in ("command_id", "account_id", "campaign_id", "sequence")}
        ack |= {"type": "Ack", "result": result, "reason": reason, "found_value_micros": found if isinstance(found, int) else None,
                "found_at": now, "applied_at": now if result == "applied" else None, "retry_after": None,
                "actor": "person" if result == "conflict" else "paceline"}
        if result != "deferred":
            self.memory["answers"][c["command_id"]] = [ack, c["expires_at"] + KEPT_MS]
            self.memory["waiting"] = [w for w in self.memory["waiting"] if w["command_id"] != c["command_id"]]
            self.save(now)
        return ack

    def save(self, now):
        self.memory["answers"] = {k: v for k, v in self.memory["answers"].items() if v[1] > now}
        with open(self.file + ".new", "w") as f:
            json.dump(self.memory, f); f.flush(); os.fsync(f.fileno())
        os.replace(self.file + ".new", self.file)
