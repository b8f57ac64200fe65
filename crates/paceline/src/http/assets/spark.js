// Small drawings by hand, as SVG: spend against plan, and the marks of the pace words.

import { h, s } from "./dom.js";
import { moneyText } from "./format.js";
import { words } from "./words.js";

const WIDTH = 132;
const HEIGHT = 30;
const EDGE = 2;

/** Shapes tell the pace as well as colours do. */
const SHAPES = {
  ahead: "M5 1 9.5 9H.5z",
  behind: "M5 9 .5 1h9z",
  on_plan: "M5 1a4 4 0 1 1 0 8 4 4 0 0 1 0-8z",
  exhausted: "M1 1h8v8H1z",
  paused: "M1.5 1h2.5v8H1.5zM6 1h2.5v8H6z",
  unknown: "M5 1a4 4 0 1 1 0 8 4 4 0 0 1 0-8zm0 1.4a2.6 2.6 0 1 0 0 5.2 2.6 2.6 0 0 0 0-5.2z",
};

/** A pace word with its mark. */
export function pace(word) {
  const shape = SHAPES[word] ?? SHAPES.unknown;
  const mark = s(
    "svg",
    { class: "mark", viewBox: "0 0 10 10", "aria-hidden": "true" },
    s("path", { d: shape, "fill-rule": "evenodd" }),
  );
  return h("span", { class: `pace pace-${word}` }, mark, words(word));
}

/** Spend (area) against plan (dashes) through the recorded day; the rule at the top is the budget. */
export function spark(campaign) {
  const points = campaign.sparkline ?? [];
  if (points.length < 2)
    return h(
      "span",
      { class: "missing" },
      points.length ? "just begun" : `n/a: ${words(campaign.sparkline_reason ?? "no record yet")}`,
    );
  const days = split(points);
  const budget = campaign.budget_day_micros ?? 0;
  const top = Math.max(budget, ...points.flatMap(point => [point.spend_day_micros, point.plan_micros ?? 0]), 1);
  const first = points[0].at;
  const span = Math.max(1, points.at(-1).at - first);
  const x = at => (EDGE + ((WIDTH - 2 * EDGE) * (at - first)) / span).toFixed(1);
  const y = value => (HEIGHT - EDGE - ((HEIGHT - 2 * EDGE) * value) / top).toFixed(1);
  const path = (day, value) =>
    day
      .filter(point => value(point) !== null)
      .map((point, index) => `${index ? "L" : "M"}${x(point.at)} ${y(value(point))}`)
      .join("");
  const area = day => `${path(day, spendOf)}L${x(day.at(-1).at)} ${y(0)}L${x(day[0].at)} ${y(0)}z`;
  const last = points.at(-1);
  return s(
    "svg",
    {
      class: `spark pace-${campaign.pace}`,
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": inWords(campaign),
    },
    budget ? s("line", { class: "spark-budget", x1: EDGE, x2: WIDTH - EDGE, y1: y(budget), y2: y(budget) }) : null,
    days.map(day => s("path", { class: "spark-area", d: area(day) })),
    days.map(day => s("path", { class: "spark-spend", d: path(day, spendOf) })),
    days.map(day => s("path", { class: "spark-plan", d: path(day, point => point.plan_micros) })),
    s("path", { class: "spark-now", d: `M${x(last.at)} ${y(spendOf(last))}h0` }),
  );
}

/** Parts of a trace by local day: at midnight spend of the day begins again. */
export function split(points) {
  const days = [];
  let before = null;
  for (const point of points) {
    const begins =
      before &&
      point.spend_day_micros < before.spend_day_micros / 2 &&
      (point.plan_micros ?? 0) <= (before.plan_micros ?? 0);
    if (!before || begins) days.push([]);
    days.at(-1).push(point);
    before = point;
  }
  return days;
}

const spendOf = point => point.spend_day_micros;

function inWords(campaign) {
  const money = micros => moneyText(micros, campaign.currency);
  const plan = campaign.plan_micros === null ? "" : `, planned by now ${money(campaign.plan_micros)}`;
  return `Spent ${money(campaign.spend_day_micros)}${plan}`;
}
