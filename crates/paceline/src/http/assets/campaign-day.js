// The day of a campaign: spend against plan with what was done and noticed on the time line, and where it will end.

import { h } from "./dom.js";
import { amount, clock, count, dayEnd, isKnown, money, moneyText, percent } from "./format.js";
import { split } from "./spark.js";
import { direction } from "./why.js";

/** The same figures for who cannot see the chart. */
export function figures(trace, one) {
  const points = trace.slice(-24).reverse();
  const deviation = point =>
    isKnown(point.plan_micros) && point.plan_micros > 0
      ? percent(1e6 * (point.spend_day_micros / point.plan_micros - 1), 0)
      : "n/a";
  return h(
    "details",
    { class: "figures" },
    h("summary", { "data-focus": "day figures" }, "As a table"),
    h(
      "table",
      { class: "small" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          [["At"], ["Spent", "n"], ["Plan", "n"], ["Off the plan", "n"]].map(([text, kind]) =>
            h("th", { scope: "col", class: kind }, text),
          ),
        ),
      ),
      h(
        "tbody",
        {},
        points.map(point =>
          h(
            "tr",
            {},
            h("td", {}, clock(point.at, one.time_zone)),
            h("td", { class: "n" }, money(point.spend_day_micros, one.currency)),
            h("td", { class: "n" }, money(point.plan_micros, one.currency, "no_plan")),
            h("td", { class: "n" }, deviation(point)),
          ),
        ),
      ),
    ),
  );
}

export function dayChart(one, trace) {
  const holes = split(trace).flatMap((day, index) =>
    index ? [{ at: day[0].at - 1, spend_day_micros: null, plan_micros: null }, ...day] : day,
  );
  const until = dayEnd(trace.at(-1).at, one.time_zone);
  const show = (value, bare) => (bare ? amount(value, one.currency) : moneyText(value, one.currency));
  const forecast = one.forecast_day;
  const tail = forecast ? [{ at: until, spend_day_micros: null, plan_micros: null }] : [];
  const points = [...holes, ...tail];
  const ahead = points.map((point, index) =>
    index === holes.length - 1 ? point.spend_day_micros : index >= holes.length ? forecast.mid_micros : null,
  );
  const series = [
    {
      label: "spent",
      values: points.map(point => point.spend_day_micros),
      ink: "ink-spend",
      fill: "fill-spend",
      width: 2,
    },
    { label: "plan", values: points.map(point => point.plan_micros), ink: "ink-plan", dash: [5, 4], width: 1.5 },
    ...(isKnown(one.budget_day_micros)
      ? [{ label: "budget", values: points.map(() => one.budget_day_micros), ink: "ink-budget", width: 1 }]
      : []),
    ...(forecast
      ? [{ label: "forecast", anchor: holes.length - 1, values: ahead, ink: "ink-spend", dash: [2, 4], width: 1.5 }]
      : []),
  ];
  const marks = [
    ...(one.commands ?? []).map(command => ({
      at: command.issued_at,
      ink: "ink-command",
      shape: command.kind === "pause" ? "stop" : direction(command) === "down" ? "down" : "up",
    })),
    ...(one.alerts ?? []).map(alert => ({ at: alert.opened_at, ink: "ink-alert", shape: "alert", quiet: true })),
    ...(forecast ? [{ at: until, from: forecast.high_micros, to: forecast.low_micros, ink: "ink-spend" }] : []),
  ];
  const label = `Spend of the day: ${moneyText(one.spend_day_micros, one.currency)}, planned by now ${moneyText(one.plan_micros, one.currency)}, with ${count(one.commands?.length)} commands and ${count(one.alerts?.length)} alerts on the time line.`;
  const ceiling = Math.max(one.budget_day_micros ?? 0, forecast?.high_micros ?? 0);
  const legend = h(
    "p",
    { class: "legend" },
    h("span", { class: "key key-up" }, "raise"),
    h("span", { class: "key key-down" }, "cut"),
    h("span", { class: "key key-stop" }, "pause"),
    h("span", { class: "key key-alert" }, "alert"),
    forecast
      ? h(
          "span",
          { class: "hint" },
          "The bar at the right: where the day ends if nothing were changed, nineteen times in twenty.",
        )
      : null,
  );
  return {
    label,
    times: points.map(point => point.at),
    series,
    marks,
    until,
    ceiling,
    show,
    zone: one.time_zone,
    legend,
  };
}
