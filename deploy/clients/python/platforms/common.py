"""Units, windows, limits: what the three platforms share.

Money is an integer in micros; a value is rounded down to what the platform can bill, never up, and is refused below the
platform's minimum. Times are UTC epoch milliseconds.
"""
import hashlib
from collections import namedtuple
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Decimal
from zoneinfo import ZoneInfo

MICROS = 1_000_000
HOUR_MS = 3_600_000

# One call: who is meant, what it would do, in words and as it goes over the wire.
Request = namedtuple("Request", "method path headers body changes")


class Refused(Exception):
    """The command cannot be carried out on this platform; the word goes into the answer's `reason`."""


def refuse(word, why):
    raise Refused(f"{word}: {why}")


def floor_to(value_micros, unit_micros):
    """The largest multiple of the unit that is not above the value."""
    rounded = value_micros // unit_micros * unit_micros
    return rounded if rounded > 0 else refuse("below_unit", f"{value_micros} micros are less than one unit of {unit_micros}")


def at_least(value_micros, least_micros, what):
    return value_micros if value_micros >= least_micros else refuse("below_minimum", f"{what} of {value_micros} micros; the platform takes {least_micros}")


def micros(amount):
    """A decimal amount of money in text, as reports have it, in micros."""
    return int((Decimal(str(amount or 0)) * MICROS).to_integral_value(ROUND_HALF_EVEN))


def count(amount):
    """Platforms share conversions out in fractions; ads.stats counts whole ones, so the nearest."""
    return int(Decimal(str(amount or 0)).to_integral_value(ROUND_HALF_EVEN))


def instant(moment):
    return int(moment.timestamp() * 1000)


def local_hour(date, hour, zone):
    """The window of an hour on the account's clock. In autumn one hour of the clock is two hours long; in spring one does
    not exist, and is None."""
    start = datetime.fromisoformat(date).replace(hour=hour, tzinfo=ZoneInfo(zone))
    first, last = instant(start), instant(start.replace(fold=1))
    if datetime.fromtimestamp(first / 1000, ZoneInfo(zone)).hour != hour:
        return None
    return first, max(first, last) + HOUR_MS


def utc_day(year, month, day):
    start = datetime(year, month, day, tzinfo=timezone.utc)
    return instant(start), instant(start + timedelta(days=1))


def stats_report(platform, ids, window, sums, currency, basis, fetched_at, final_after_ms):
    """A snapshot of a window: fetched again, it bears the same id and a higher revision."""
    start, end = window
    name = "/".join([platform, ids["account_id"], ids["campaign_id"], str(start), str(end)])
    return {
        "report_id": hashlib.sha256(name.encode()).hexdigest()[:32], "revision": fetched_at,
        "account_id": ids["account_id"], "campaign_id": ids["campaign_id"], "ad_group_id": None, "creative_id": None,
        "platform": platform, "window_start": start, "window_end": end, "dimensions": {},
        "impressions": sums[0], "clicks": sums[1], "cost_micros": sums[2], "conversions": sums[3], "value_micros": sums[4],
        "currency": currency, "basis": basis, "semantics": "snapshot", "is_final": fetched_at - end >= final_after_ms,
    }


def state_report(ids, at, actor, bid=None, budget=None, status=None, platform_state=None):
    return {
        "account_id": ids["account_id"], "campaign_id": ids["campaign_id"], "reported_at": at, "bid_micros": bid,
        "daily_budget_micros": budget, "status": status, "platform_state": platform_state, "actor": actor, "type": "StateReport",
    }


SUMS = ("impressions", "clicks", "cost_micros", "conversions", "value_micros")


def as_deltas(reports, told):
    """The same reports as deltas: what each adds to what was told of its window before. `told` is kept by the caller from
    one fetch to the next, by report id; what did not change is left out."""
    for report in reports:
        before, now = told.get(report["report_id"], [0] * len(SUMS)), [report[name] for name in SUMS]
        told[report["report_id"]] = now
        if now != before:
            delta = {name: n - b for name, n, b in zip(SUMS, now, before)}
            yield report | delta | {"report_id": f"{report['report_id']}@{report['revision']}", "revision": 1, "semantics": "delta"}


class Limit:
    """At most `most` changes of one thing within `span_ms`: `wait(thing, now)` gives the milliseconds to wait, 0 for go."""

    def __init__(self, most, span_ms):
        self.most, self.span_ms, self.times = most, span_ms, {}

    def wait(self, thing, now):
        recent = [at for at in self.times.get(thing, []) if at > now - self.span_ms]
        self.times[thing] = recent
        if len(recent) >= self.most:
            return recent[0] + self.span_ms - now
        recent.append(now)
        return 0
