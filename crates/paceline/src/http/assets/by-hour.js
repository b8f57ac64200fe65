// A campaign by the hour of its local day, summed from the hourly windows that the service keeps: the same shape as the
// answer about a dimension, so that one table shows both. Windows are hours of UTC; where a zone is off by half an hour,
// each counts with the local hour in which it begins.

import { date, clock, isKnown } from "./format.js";
import { now } from "./live.js";

const DAY_MS = 86_400_000;
/** Hourly windows of about a week are kept. */
const DAYS = { today: 1, "7d": 7, "28d": 7 };
const NOTE = "From hourly figures after corrections, which are kept for a week; conversions as claimed, else by last touch, at the hour of the conversion.";

export function byHour(series, window) {
  const zone = series.time_zone;
  const days = new Set(Array.from({ length: DAYS[window] }, (_, back) => date(now() - back * DAY_MS, zone)));
  const hours = new Map();
  for (const point of series.points) {
    if (!days.has(date(point.start, zone))) continue;
    const hour = clock(point.start, zone, true).slice(0, 2);
    hours.set(hour, [...(hours.get(hour) ?? []), point]);
  }
  const all = [...hours.values()].flat();
  const spent = sum(all, "spend_micros");
  const rows = [...hours].sort(([a], [b]) => a.localeCompare(b)).map(([hour, points]) => value(`${hour}:00`, points, spent));
  return {
    currency: series.currency,
    dimension: "hour",
    rows,
    rows_reason: rows.length ? null : (series.points_reason ?? "no_events_in_the_window"),
    total: value("All", all, spent),
    note: NOTE,
  };
}

/** Sums of points and their ratios; what has nothing below the line is null with its reason. */
function value(name, points, spent) {
  const [impressions, clicks, spend, worth] = ["impressions", "clicks", "spend_micros", "value_micros"].map(key => sum(points, key));
  const conversions = sum(points, "conversions");
  return {
    value: name,
    impressions,
    clicks,
    spend_micros: spend,
    credited_conversions_micro: conversions * 1e6,
    spend_share_ppm: ratio(spend * 1e6, spent),
    ctr_ppm: ratio(clicks * 1e6, impressions),
    ctr_reason: "no_impressions",
    cvr_ppm: ratio(conversions * 1e6, clicks),
    cvr_reason: "no_clicks",
    cpa_micros: ratio(spend, conversions),
    cpa_reason: "no_conversions",
    roas_ppm: ratio(worth * 1e6, spend),
    roas_reason: "nothing_spent",
  };
}

const sum = (points, key) => points.reduce((all, point) => all + (isKnown(point[key]) ? point[key] : 0), 0);

const ratio = (above, below) => (below > 0 ? above / below : null);
