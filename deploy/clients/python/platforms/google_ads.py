"""Google Ads API: commands as mutate requests (REST and gRPC have the same messages), rows of GAQL as ads.stats, change
events as StateReports."""
from datetime import datetime
from zoneinfo import ZoneInfo

from .common import HOUR_MS, Limit, Request, count, floor_to, instant, local_hour, micros, refuse, state_report, stats_report

NAME, VERSION = "google_ads", "v26"
HOST = "https://googleads.googleapis.com"
# Billable units as the API's currency constants give them, where they are not a hundredth.
UNIT_MICROS = {"JPY": 1_000_000, "KRW": 1_000_000, "CLP": 1_000_000, "PYG": 1_000_000, "VND": 1_000_000, "ISK": 1_000_000}
UNIT_MICROS_USUAL = 10_000
# Basic access: 15,000 operations a day, for one developer token; a tenth is left for reading.
LIMITS = {"all": Limit(13_500, 24 * HOUR_MS)}
# Conversions are counted at the click's time and come in for up to 90 days; nearly all money is final after three.
FINAL_AFTER_MS = 90 * 24 * HOUR_MS

STATS_QUERY = """SELECT customer.currency_code, customer.time_zone, campaign.id, segments.date, segments.hour,
 metrics.impressions, metrics.clicks, metrics.cost_micros, metrics.conversions, metrics.conversions_value
 FROM campaign WHERE segments.date DURING LAST_7_DAYS"""
CHANGES_QUERY = """SELECT change_event.change_date_time, change_event.client_type, change_event.user_email,
 change_event.change_resource_type, change_event.campaign, change_event.changed_fields, change_event.new_resource
 FROM change_event WHERE change_event.change_date_time DURING LAST_7_DAYS LIMIT 10000"""


def requests(command, ids):
    """`ids`: customer, campaign; budget (its id) for budgets; bid_on for bids: max_clicks, or the ad groups' ids."""
    customer, kind, unit = ids["customer"], command["kind"], UNIT_MICROS.get(command["currency"], UNIT_MICROS_USUAL)
    campaign = f"customers/{customer}/campaigns/{ids['campaign']}"
    if kind in ("pause", "resume"):
        status = "PAUSED" if kind == "pause" else "ENABLED"
        return [_mutate(customer, "campaigns", {"resourceName": campaign, "status": status}, "status")]
    if kind == "set_daily_budget":
        budget = ids.get("budget") or refuse("no_budget_id", "the map names no budget of this campaign")
        update = {"resourceName": f"customers/{customer}/campaignBudgets/{budget}", "amountMicros": str(floor_to(command["value_micros"], unit))}
        return [_mutate(customer, "campaignBudgets", update, "amountMicros")]
    if kind == "set_bid":
        bid = str(floor_to(command["value_micros"], unit))
        on = ids.get("bid_on") or refuse("no_bid", "the map does not say on what the bid stands")
        if on == "max_clicks":
            update = {"resourceName": campaign, "targetSpend": {"cpcBidCeilingMicros": bid}}
            return [_mutate(customer, "campaigns", update, "targetSpend.cpcBidCeilingMicros")]
        group = lambda one: {"resourceName": f"customers/{customer}/adGroups/{one}", "cpcBidMicros": bid}
        return [_mutate(customer, "adGroups", [group(one) for one in on], "cpcBidMicros")]
    return refuse("unknown_kind", kind)


def _mutate(customer, resource, updates, mask):
    updates = updates if isinstance(updates, list) else [updates]
    operations = [{"updateMask": mask, "update": update} for update in updates]
    # All or nothing: half of the ad groups at the new bid is neither the old value nor the new one.
    body = {"customerId": customer, "operations": operations, "partialFailure": False, "validateOnly": False}
    return Request("POST", f"/{VERSION}/customers/{customer}/{resource}:mutate", {}, body, [f"{resource}/{customer}"] * len(updates))


def stats(row, ids, fetched_at):
    """One row of the query above (JSON names); None for an hour that the account's clock does not have."""
    segments, metrics, customer = row["segments"], row["metrics"], row["customer"]
    window = local_hour(segments["date"], int(segments.get("hour", 0)), customer["timeZone"])
    if window is None:
        return None
    number = lambda name: int(metrics.get(name, 0))
    sums = (number("impressions"), number("clicks"), number("costMicros"), count(metrics.get("conversions")), micros(metrics.get("conversionsValue")))
    return stats_report(NAME, ids, window, sums, customer["currencyCode"], "click_time", fetched_at, FINAL_AFTER_MS)


STATUS = {"ENABLED": "active", "PAUSED": "paused", "REMOVED": "ended"}
BY_PLATFORM = {"GOOGLE_ADS_RECOMMENDATIONS", "GOOGLE_ADS_RECOMMENDATIONS_SUBSCRIPTION", "GOOGLE_ADS_AUTOMATED_RULE", "INTERNAL_TOOL", "SEARCH_ADS_360_SYNC"}


def change(row, ids, time_zone, own_user):
    """One change event; `own_user` is the login under which Paceline's commands are sent. None where nothing of ours changed."""
    event = row["changeEvent"]
    new = event.get("newResource", {})
    campaign, budget, group = new.get("campaign", {}), new.get("campaignBudget", {}), new.get("adGroup", {})
    bid = group.get("cpcBidMicros") or campaign.get("targetSpend", {}).get("cpcBidCeilingMicros")
    found = {
        "bid": int(bid) if bid else None, "status": STATUS.get(campaign.get("status")),
        "budget": int(budget["amountMicros"]) if "amountMicros" in budget else None,
    }
    if all(value is None for value in found.values()):
        return None
    ours = event.get("userEmail") == own_user and event.get("clientType") == "GOOGLE_ADS_API"
    actor = "paceline" if ours else "platform" if event.get("clientType") in BY_PLATFORM else "person"
    at = datetime.fromisoformat(event["changeDateTime"]).replace(tzinfo=ZoneInfo(time_zone))
    return state_report(ids, instant(at), actor, **found)
