"""JSON lines in, JSON lines out. See README.md.

    paceline tap ads.adjustments | python3 -m platforms google_ads commands --map map.json [--send]
    python3 -m platforms google_ads stats --map map.json < rows.jsonl > reports.jsonl     # [--deltas FILE]
    python3 -m platforms google_ads changes --map map.json < events.jsonl
"""
import argparse, json, os, sys, time
from . import common, google_ads, linkedin_ads, meta

PLATFORMS = {platform.NAME: platform for platform in (google_ads, meta, linkedin_ads)}


def lines(stream):
    for number, line in enumerate(stream, 1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                sys.exit(f"line {number} is no JSON: {error}; give one object a line")


def ids_of(the_map, account_id, campaign_id):
    return the_map["campaigns"].get(f"{account_id}/{campaign_id}")


def commands(platform, the_map, arguments, now):
    """Each issued command as the calls that would carry it out; without --send none is made."""
    send = None
    if arguments.send:
        from .send import Sender
        send = Sender(platform)
    for line in lines(sys.stdin):
        command = line.get("value", line)
        answer = {"command_id": command["command_id"], "account_id": command["account_id"], "campaign_id": command["campaign_id"],
                  "sequence": command["sequence"], "type": "Ack", "actor": "paceline", "found_value_micros": None, "found_at": None,
                  "applied_at": None, "reason": "dry_run", "retry_after": None, "result": "rejected"}
        yield answer | decide(platform, the_map, command, send, now())


def decide(platform, the_map, command, send, now):
    ids = ids_of(the_map, command["account_id"], command["campaign_id"])
    if command["state"] != "issued" or now >= command["expires_at"]:
        return {"result": "expired" if command["state"] == "issued" else "rejected", "reason": command["state"]}
    if ids is None or command.get("dimension") or command["target"]["level"] != "campaign":
        return {"reason": "unknown_target"}
    try:
        calls = platform.requests(command, ids)
    except common.Refused as refused:
        return {"reason": str(refused)}
    shown = [call._asdict() for call in calls]
    if send is None:
        return {"requests": shown}
    # Asked before the first call: some made and some not is a state that nobody wanted.
    waits = [limit.wait(name if name == "all" else change, now) for call in calls for change in call.changes
             for name, limit in platform.LIMITS.items() if name == "all" or change.startswith(name + "/")]
    if any(waits):
        return {"result": "deferred", "reason": "rate_limit", "retry_after": now + max(waits)}
    try:
        for call in calls:
            send(call)
    except OSError as error:
        return {"reason": str(error), "requests": shown}
    return {"result": "applied", "reason": None, "applied_at": now, "requests": shown}


def stats(platform, the_map, arguments, now):
    """Rows of the platform's report as records for `paceline import --kind stats`."""
    fetched_at, known = now(), {ids["campaign"]: (key, ids) for key, ids in the_map["campaigns"].items()}
    reports = []
    for row in lines(sys.stdin):
        campaign = str(row.get("campaign_id") or row.get("campaign", {}).get("id") or row.get("pivotValues", [""])[0].rsplit(":", 1)[-1])
        if campaign not in known:
            print(f"campaign {campaign} is not in the map; its row is left out", file=sys.stderr)
            continue
        account_id, campaign_id = known[campaign][0].split("/", 1)
        ids = {"account_id": account_id, "campaign_id": campaign_id}
        if platform is google_ads:
            report = platform.stats(row, ids, fetched_at)
        elif platform is meta:
            report = platform.stats(row, ids, the_map["time_zone"], set(the_map.get("conversions", [])), fetched_at)
        else:
            report = platform.stats(row, ids, the_map["currency"], fetched_at)
        reports += [report] if report else []
    if not arguments.deltas:
        return reports
    told = json.load(open(arguments.deltas)) if os.path.exists(arguments.deltas) else {}
    deltas = list(common.as_deltas(reports, told))
    with open(arguments.deltas + ".new", "w") as file:
        json.dump(told, file)
    os.replace(arguments.deltas + ".new", arguments.deltas)
    return deltas


def changes(platform, the_map, _, now):
    """The platform's change history, or campaigns as they were read, as StateReports."""
    known = {ids["campaign"]: key for key, ids in the_map["campaigns"].items()}
    for row in lines(sys.stdin):
        event = row.get("changeEvent", {})
        campaign = str(event.get("campaign", "").rsplit("/", 1)[-1] or row.get("object_id") or row.get("id"))
        if campaign not in known:
            continue
        account_id, campaign_id = known[campaign].split("/", 1)
        ids = {"account_id": account_id, "campaign_id": campaign_id}
        if platform is google_ads:
            found = platform.change(row, ids, the_map["time_zone"], the_map["own"])
        elif platform is meta and "event_type" in row:
            found = platform.change(row, ids, the_map["currency"], the_map["own"])
        else:
            found = platform.read_back(row, ids, now()) if platform is meta else platform.read_back(row, ids, the_map["own"])
        if found:
            yield found


def main():
    parser = argparse.ArgumentParser(prog="platforms", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("platform", choices=sorted(PLATFORMS))
    parser.add_argument("what", choices=["commands", "stats", "changes"])
    parser.add_argument("--map", required=True, help="which campaign of Paceline is which of the platform (JSON)")
    parser.add_argument("--send", action="store_true", help="commands: make the calls; without it they are only shown")
    parser.add_argument("--deltas", metavar="FILE", help="stats: what was added since the last call, remembered in FILE")
    arguments = parser.parse_args()
    now = lambda: int(time.time() * 1000)
    run = {"commands": commands, "stats": stats, "changes": changes}[arguments.what]
    try:
        the_map = json.load(open(arguments.map))
        for record in run(PLATFORMS[arguments.platform], the_map, arguments, now):
            print(json.dumps(record), flush=True)
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"platforms: {type(error).__name__} {error}; see README.md beside this module")


if __name__ == "__main__":
    main()
