"""Meta Marketing API: commands as Graph calls, hourly insights as ads.stats, activities as StateReports."""
import json
from datetime import datetime

from .common import HOUR_MS, Limit, Request, at_least, count, floor_to, instant, local_hour, micros, refuse, state_report, stats_report

NAME, VERSION = "meta", "v26.0"
HOST = "https://graph.facebook.com"
# Amounts are in the currency's smallest unit as Meta has it: these have no hundredths.
WHOLE = {"CLP", "COP", "CRC", "HUF", "ISK", "IDR", "JPY", "KRW", "PYG", "TWD", "VND"}
# One unit of the major currencies; a campaign's own minimum depends on its bid and goal, and the API's refusal names it.
BUDGET_MIN_MICROS = {"USD": 1_000_000, "EUR": 1_000_000, "GBP": 1_000_000}
# More than four changes of a budget within an hour block it for an hour.
LIMITS = {"daily_budget": Limit(4, HOUR_MS), "all": Limit(200, HOUR_MS)}
FINAL_AFTER_MS = 28 * 24 * HOUR_MS

STATS_QUERY = {"level": "campaign", "time_increment": 1, "breakdowns": "hourly_stats_aggregated_by_advertiser_time_zone",
               "fields": "campaign_id,date_start,impressions,inline_link_clicks,spend,actions,action_values,account_currency",
               "action_report_time": "impression"}


def requests(command, ids):
    """`ids`: campaign; ad_sets (their ids) for bids; budget_on for budgets: campaign, or the one ad set's id."""
    kind, unit = command["kind"], 1_000_000 if command["currency"] in WHOLE else 10_000
    if kind in ("pause", "resume"):
        return [_update(ids["campaign"], "status", "PAUSED" if kind == "pause" else "ACTIVE")]
    if kind == "set_daily_budget":
        on = ids.get("budget_on") or refuse("no_budget_id", "the map does not say whose the budget is: the campaign's or an ad set's")
        amount = floor_to(at_least(command["value_micros"], BUDGET_MIN_MICROS.get(command["currency"], 0), "a daily budget"), unit)
        return [_update(ids["campaign"] if on == "campaign" else on, "daily_budget", amount // unit)]
    if kind == "set_bid":
        amount = floor_to(command["value_micros"], unit)
        sets = ids.get("ad_sets") or refuse("no_bid", "the map names no ad sets of this campaign")
        return [_update(one, "bid_amount", amount // unit) for one in sets]
    return refuse("unknown_kind", kind)


def _update(node, field, value):
    return Request("POST", f"/{VERSION}/{node}", {}, {field: value}, [f"{field}/{node}"])


def stats(row, ids, time_zone, conversions, fetched_at):
    """One row of hourly insights; `conversions` are the action types that count, such as offsite_conversion.fb_pixel_purchase."""
    hour = int(row["hourly_stats_aggregated_by_advertiser_time_zone"][:2])
    window = local_hour(row["date_start"], hour, time_zone)
    if window is None:
        return None
    of = lambda name: sum(float(one["value"]) for one in row.get(name, []) if one["action_type"] in conversions)
    sums = (int(row.get("impressions", 0)), int(row.get("inline_link_clicks", 0)), micros(row.get("spend")), count(of("actions")), micros(of("action_values")))
    return stats_report(NAME, ids, window, sums, row["account_currency"], "impression_time", fetched_at, FINAL_AFTER_MS)


STATUS = {"ACTIVE": "active", "PAUSED": "paused", "ARCHIVED": "ended", "DELETED": "ended", 1: "active", 15: "paused"}


def change(row, ids, currency, own_application):
    """One activity of the ad account; `own_application` is the app under which Paceline's commands are sent."""
    unit = 1_000_000 if currency in WHOLE else 10_000
    data, event = json.loads(row.get("extra_data") or "{}"), row["event_type"]
    new = data.get("new_value")
    amount = new.get("new_value") if isinstance(new, dict) else new
    found = {}
    if "budget" in event and str(amount).isdigit():
        found["budget"] = int(amount) * unit
    elif "bid" in event and str(amount).isdigit():
        found["bid"] = int(amount) * unit
    elif event == "update_campaign_run_status":
        found["status"] = {"Active": "active", "Inactive": "paused"}.get(new, STATUS.get(new))
    if not any(found.values()):
        return None
    ours = str(row.get("application_id")) == str(own_application)
    actor = "paceline" if ours else "platform" if row.get("actor_name") in ("Meta", "Facebook") else "person"
    return state_report(ids, instant(datetime.strptime(row["event_time"], "%Y-%m-%dT%H:%M:%S%z")), actor, **found)


def read_back(node, ids, at):
    """A campaign or ad set as it was read; who changed it is not in it."""
    learning = node.get("learning_stage_info", {}).get("status") == "LEARNING"
    state = "learning" if learning else "disapproved" if node.get("effective_status") == "DISAPPROVED" else "ok"
    return state_report(ids, at, None, status=STATUS.get(node.get("status")), platform_state=state)
