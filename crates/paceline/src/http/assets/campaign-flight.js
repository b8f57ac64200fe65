// The flight of a campaign: what was spent day by day against an even plan and the flight's budget, and where it will end.

import { dayMonth, amount, instant, isKnown, moneyText } from "./format.js";
import { h } from "./dom.js";

/** Whether there is a flight to draw: one that has a budget and an end. */
export const hasFlight = one =>
  isKnown(one.flight_budget_micros) && isKnown(one.flight_start) && isKnown(one.flight_end);

/** What the flight had cost at the ends of its days and now; days older than the history are not made up. */
export function spentBy(one, days) {
  const known = days.filter(day => day.end > one.flight_start && isKnown(day.spend_micros));
  let spent = one.spend_flight_micros;
  const points = [];
  for (const day of [...known].reverse()) {
    points.push({ at: day.open ? (one.watermark ?? day.start) : day.end, spent });
    spent -= day.spend_micros;
  }
  const begin = Math.max(known[0]?.start ?? one.flight_start, one.flight_start);
  // What was spent on the flight's first day before the flight began is not the flight's.
  points.push({ at: begin, spent: Math.max(0, begin === one.flight_start ? 0 : spent) });
  return points.reverse().filter(point => point.at <= one.flight_end);
}

/** Options of the chart; null where nothing can be drawn yet. */
export function flightChart(one, days) {
  const spent = spentBy(one, days);
  if (!hasFlight(one) || spent.length < 2) return null;
  const { flight_start: from, flight_end: until, flight_budget_micros: budget } = one;
  const forecast = one.forecast_flight;
  const even = at => (budget * (at - from)) / (until - from);
  const last = spent.length - 1;
  const times = [...(spent[0].at > from ? [from] : []), ...spent.map(point => point.at), until];
  const shift = spent[0].at > from ? 1 : 0;
  const at = index => spent[index - shift]?.spent ?? null;
  const ahead = times.map((_, index) =>
    index === last + shift ? spent[last].spent : index === times.length - 1 ? forecast?.mid_micros : null,
  );
  const show = (value, bare) => (bare ? amount(value, one.currency) : moneyText(value, one.currency));
  const values = times.map((_, index) => at(index));
  return {
    label: `Spend of the flight: ${moneyText(spent[last].spent, one.currency)} of ${moneyText(budget, one.currency)}, which lasts until ${instant(until, one.time_zone)}.`,
    times,
    series: [
      { label: "spent", values, ink: "ink-spend", fill: "fill-spend", width: 2, points: true },
      { label: "even plan", values: times.map(even), ink: "ink-plan", dash: [5, 4], width: 1.5 },
      { label: "budget", values: times.map(() => budget), ink: "ink-budget", width: 1 },
      ...(forecast
        ? [{ label: "forecast", anchor: last + shift, values: ahead, ink: "ink-spend", dash: [2, 4], width: 1.5 }]
        : []),
    ],
    marks: forecast ? [{ at: until, from: forecast.high_micros, to: forecast.low_micros, ink: "ink-spend" }] : [],
    until,
    ceiling: Math.max(budget, forecast?.high_micros ?? 0),
    show,
    zone: one.time_zone,
    height: 180,
    legend: h(
      "p",
      { class: "legend" },
      h(
        "span",
        { class: "hint" },
        `Even plan: as if each hour cost the same; Paceline follows the traffic instead. ${
          forecast
            ? "The bar at the right: where the flight ends if nothing were changed, nineteen times in twenty."
            : "Where it will end is told from two closed days on."
        }${shift ? ` Days before ${dayMonth(spent[0].at, one.time_zone)} are no longer kept here.` : ""}`,
      ),
    ),
  };
}
