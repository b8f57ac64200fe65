"""Writes a day of clicks of three campaigns, and their specifications: the first spends far too fast."""

import csv
import sys
from pathlib import Path

folder = Path(sys.argv[1])
start = 1_767_571_200_000  # 2026-01-05 00:00 UTC
cents = {"fast": 9, "even": 2, "slow": 1}

with (folder / "clicks.csv").open("w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow("event_id event_time account_id campaign_id channel cost_micros currency".split())
    for second in range(0, 20 * 3600, 45):
        for name, cost in cents.items():
            at = start + second * 1000
            rows.writerow([f"{name}-{second}", at, "shop", name, "search", cost * 10_000, "EUR"])

with (folder / "campaigns.csv").open("w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(
        "campaign_id account_id channel time_zone currency daily_budget_micros bid_control bid_micros"
        " bid_min_micros bid_max_micros mode".split()
    )
    for name in cents:
        rows.writerow(
            [name, "shop", "search", "UTC", "EUR", 40_000_000, "paceline", 100_000, 10_000, 1_000_000, "auto"]
        )
