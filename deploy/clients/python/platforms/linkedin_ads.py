"""LinkedIn Marketing API: commands as Rest.li partial updates, daily analytics as ads.stats, campaigns read back as
StateReports. The API has no change history: who changed a campaign last is all it tells."""
from .common import HOUR_MS, Limit, Request, at_least, count, floor_to, micros, refuse, state_report, stats_report, utc_day

NAME, VERSION = "linkedin_ads", "202610"
HOST = "https://api.linkedin.com"
WHOLE = {"JPY", "KRW", "CLP", "ISK", "VND"}
# The API's minimum of a daily budget; in other currencies it is about as much, and the API's refusal names it.
BUDGET_MIN_MICROS = {"USD": 10_000_000, "EUR": 10_000_000, "GBP": 10_000_000}
# Development tier: a day's calls of one member for writing campaigns.
LIMITS = {"all": Limit(100, 24 * HOUR_MS)}
FINAL_AFTER_MS = 30 * 24 * HOUR_MS

STATS_QUERY = {"q": "analytics", "pivot": "CAMPAIGN", "timeGranularity": "DAILY",
               "fields": "dateRange,impressions,clicks,costInLocalCurrency,externalWebsiteConversions,conversionValueInLocalCurrency,pivotValues"}


def requests(command, ids):
    """`ids`: account, campaign."""
    kind, currency = command["kind"], command["currency"]
    money = lambda value: {"amount": _decimal(value, currency), "currencyCode": currency}
    if kind in ("pause", "resume"):
        change = {"status": "PAUSED" if kind == "pause" else "ACTIVE"}
    elif kind == "set_daily_budget":
        change = {"dailyBudget": money(at_least(command["value_micros"], BUDGET_MIN_MICROS.get(currency, 0), "a daily budget"))}
    elif kind == "set_bid":
        change = {"unitCost": money(command["value_micros"])}
    else:
        return refuse("unknown_kind", kind)
    path = f"/rest/adAccounts/{ids['account']}/adCampaigns/{ids['campaign']}"
    headers = {"X-RestLi-Method": "PARTIAL_UPDATE", "LinkedIn-Version": VERSION, "X-Restli-Protocol-Version": "2.0.0"}
    return [Request("POST", path, headers, {"patch": {"$set": change}}, [f"{next(iter(change))}/{ids['campaign']}"])]


def _decimal(value_micros, currency):
    if currency in WHOLE:
        return str(floor_to(value_micros, 1_000_000) // 1_000_000)
    cents = floor_to(value_micros, 10_000) // 10_000
    return f"{cents // 100}.{cents % 100:02}"


def stats(row, ids, currency, fetched_at):
    """One row of daily analytics: its days are UTC days."""
    day = row["dateRange"]["start"]
    number = lambda name: int(row.get(name, 0))
    sums = (number("impressions"), number("clicks"), micros(row.get("costInLocalCurrency")),
            count(row.get("externalWebsiteConversions")), micros(row.get("conversionValueInLocalCurrency")))
    window = utc_day(day["year"], day["month"], day["day"])
    return stats_report(NAME, ids, window, sums, currency, "impression_time", fetched_at, FINAL_AFTER_MS)


STATUS = {"ACTIVE": "active", "PAUSED": "paused", "COMPLETED": "ended", "CANCELED": "ended", "ARCHIVED": "ended"}


def read_back(campaign, ids, own_person):
    """A campaign as it was read; `own_person` is the member under which Paceline's commands are sent."""
    stamp = campaign.get("changeAuditStamps", {}).get("lastModified", {})
    actor = None if "actor" not in stamp else "paceline" if stamp["actor"] == own_person else "person"
    money = lambda name: micros(campaign[name]["amount"]) if name in campaign else None
    return state_report(ids, stamp.get("time", 0), actor, bid=money("unitCost"), budget=money("dailyBudget"), status=STATUS.get(campaign.get("status")))
