"""Runs of `paceline replay` and tables of `paceline export`, as DuckDB relations and Polars frames.

Pure Python over the Parquet files: nothing is copied, and only the library that is asked for is imported. Money and
ratios are decimals of six digits, instants are UTC; `dt` is the UTC day of a row's folder.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

__all__ = ["Run", "compare", "TABLES"]

TABLES = ("decisions", "kpis", "alerts")


class Run:
    """The folder that `paceline replay --out FOLDER` made."""

    def __init__(self, folder):
        self.folder = Path(folder)
        summary = self.folder / "summary.json"
        if not summary.is_file():
            raise FileNotFoundError(f"{summary} is missing: give the folder that `paceline replay --out` made")
        self.summary = json.loads(summary.read_text(encoding="utf-8"))

    def __repr__(self):
        return f"Run({str(self.folder)!r}, policy={self.policy!r})"

    @property
    def policy(self):
        """Words for the policy that decided."""
        policy = self.summary["policy"]
        return "recorded" if policy["is_recorded"] else policy["file"] or "defaults"

    @property
    def limits(self):
        """What the run takes for granted, and what it cannot tell."""
        return self.summary["limits"]

    def pattern(self, table):
        """The files of a table, as DuckDB, Polars and pandas take them."""
        if table not in TABLES:
            raise ValueError(f"{table!r} is no table of a run; there are {', '.join(TABLES)}")
        return str(self.folder / f"{table}.parquet" / "**" / "*.parquet")

    def duckdb(self, connection=None, prefix=""):
        """A DuckDB connection with a view of each table, named `<prefix>decisions` and so on."""
        import duckdb

        if re.fullmatch(r"\w*", prefix) is None:
            raise ValueError(f"prefix {prefix!r} is no part of a name")
        connection = connection or duckdb.connect()
        for table in TABLES:
            files = self.pattern(table).replace("'", "''")
            connection.execute(
                f"create or replace view {prefix}{table} as"
                f" select * from read_parquet('{files}', hive_partitioning = true, union_by_name = true)"
            )
        return connection

    def polars(self, table):
        """A lazy Polars frame of a table."""
        import polars

        return polars.scan_parquet(self.pattern(table), hive_partitioning=True)

    def hours(self):
        """The last revision of each campaign's hour, by conversion time: a Polars frame."""
        return self._newest("hour")

    def days(self):
        """The same of local days."""
        return self._newest("day")

    def _newest(self, granularity):
        import polars

        rows = self.polars("kpis").filter(
            (polars.col("granularity") == granularity) & (polars.col("basis") == "conversion_time")
        )
        key = ["account_id", "campaign_id", "window_start"]
        return rows.sort("revision").unique(subset=key, keep="last", maintain_order=True).sort(key).collect()

    def commands(self):
        """Issued commands in the order of their times: a Polars frame."""
        import polars

        return self.polars("decisions").filter(polars.col("state") == "issued").sort("decided_at").collect()


def compare(one, other):
    """Commands of two runs by campaign and kind, with the difference: a Polars frame.

    Only commands are compared. What the other policy would have spent is not identified by a replay; `paceline replay
    --compare` states the bounds that are.
    """
    import polars

    key = ["account_id", "campaign_id", "kind"]
    counts = [run.commands().group_by(key).agg(polars.len().cast(polars.Int64).alias("n")) for run in (one, other)]
    both = counts[0].join(counts[1], on=key, how="full", coalesce=True, suffix="_other")
    both = both.with_columns(polars.col("n").fill_null(0), polars.col("n_other").fill_null(0))
    return both.with_columns((polars.col("n_other") - polars.col("n")).alias("more")).sort(key)
