// KPIs of a campaign window by window: as counted and as they will be once late conversions have come, and how many
// events stand behind each value, since a rate of three clicks says nothing.

import * as api from "./api.js";
import { changing } from "./chart.js";
import { h, replace } from "./dom.js";
import { amount, clock, count, instant, isKnown, measure, percent } from "./format.js";
import { listen } from "./live.js";
import { words } from "./words.js";

const RATIO = 1e6;

/** What can be drawn: value as counted, corrected for delay, and the events behind it. */
const METRICS = {
  conversions: {
    name: "Conversions",
    unit: "count",
    raw: point => point.conversions,
    corrected: point => scaled(point.conversions_corrected_micro, 1e-6),
    evidence: "clicks",
  },
  cpa: {
    name: "Cost of a conversion (CPA)",
    unit: "micros",
    raw: point => point.cpa_micros,
    corrected: point => ratio(point.spend_micros * RATIO, point.conversions_corrected_micro),
    evidence: "conversions",
  },
  cvr: {
    name: "Conversion rate (CVR)",
    unit: "ppm",
    raw: point => point.cvr_ppm,
    corrected: point => ratio(point.conversions_corrected_micro, point.clicks),
    evidence: "clicks",
  },
  ctr: { name: "Click rate (CTR)", unit: "ppm", raw: point => point.ctr_ppm, evidence: "impressions" },
  cpc: { name: "Cost of a click (CPC)", unit: "micros", raw: point => point.cpc_micros, evidence: "clicks" },
  roas: { name: "Value for money (ROAS)", unit: "ppm", raw: point => point.roas_ppm, evidence: "conversions" },
  spend: { name: "Spend", unit: "micros", raw: point => point.spend_micros, evidence: "impressions" },
};

/** A section that shows one metric at a time, by hour or by day. */
export function kpiCharts(path, signal) {
  const state = { metric: "cpa", window: "hour", series: null, one: null };
  const host = h("div", { class: "plot" });
  const told = h("p", { class: "hint" });
  const table = h("div", {});
  const plot = changing(host, signal);

  const choose = (id, label, values) =>
    h(
      "div",
      { class: "field" },
      h("label", { for: id }, label),
      h(
        "select",
        {
          id,
          on: {
            change: event => {
              state[id] = event.currentTarget.value;
              id === "window" ? readWindow() : draw();
            },
          },
        },
        values.map(([value, text]) => h("option", { value, selected: state[id] === value }, text)),
      ),
    );
  const element = h(
    "section",
    {},
    h("h2", {}, "KPIs and their evidence"),
    h(
      "div",
      { class: "filters" },
      choose(
        "metric",
        "KPI",
        Object.entries(METRICS).map(([key, metric]) => [key, metric.name]),
      ),
      choose("window", "By", [
        ["hour", "Hour (UTC)"],
        ["day", "Day"],
      ]),
    ),
    host,
    told,
    table,
  );

  const readWindow = async () => {
    const series = await api.get(`${path}/series?window=${state.window}`, signal).catch(() => null);
    if (series && !signal.aborted) {
      state.series = series;
      draw();
    }
  };
  const draw = () => {
    const { series, one } = state;
    if (!series || !one) return;
    const metric = METRICS[state.metric];
    const points = series.points ?? [];
    replace(told, explain(metric, points, series));
    replace(table, points.length ? figures(points, metric, one) : []);
    plot.draw(JSON.stringify([state.metric, state.window, points]), () => {
      if (points.some(point => isKnown(metric.raw(point)))) return options(metric, points, one, state.metric);
      host.replaceChildren(
        h(
          "p",
          { class: "empty" },
          `n/a: ${words(points.length ? "nothing_to_divide_by" : (series.points_reason ?? "no_rows_yet"))}`,
        ),
      );
      return null;
    });
  };
  listen("theme", draw, signal);
  return {
    element,
    hours(series, one) {
      state.one = one;
      if (state.window === "hour") state.series = series;
      draw();
      if (state.window !== "hour") readWindow();
    },
  };
}

function options(metric, points, one, key) {
  const show = (value, bare) =>
    metric.unit === "micros" && bare ? amount(value, one.currency) : measure(value, metric.unit, one.currency, key);
  const values = of =>
    points.map(point => {
      const value = of(point);
      return isKnown(value) ? value : null;
    });
  const corrected = metric.corrected ? values(metric.corrected) : [];
  const target = one.goal?.metric === key && isKnown(one.goal.target) ? one.goal.target : null;
  const series = [
    { label: metric.evidence, values: points.map(point => point[metric.evidence]), bars: true, ink: "bars" },
    { label: "as counted", values: values(metric.raw), ink: "ink-spend", width: 2, points: true },
    ...(corrected.some(isKnown)
      ? [{ label: "corrected for delay", values: corrected, ink: "ink-corrected", dash: [5, 4], points: true }]
      : []),
    ...(target === null ? [] : [{ label: "goal", values: points.map(() => target), ink: "ink-budget", width: 1 }]),
  ];
  const label = `${metric.name}, ${points.length} windows; the newest ${show(values(metric.raw).at(-1))} from ${count(points.at(-1)[metric.evidence])} ${metric.evidence}.`;
  return {
    label,
    times: points.map(point => point.start),
    series,
    show,
    zone: one.time_zone,
    height: 220,
    evidence: count,
    until: points.at(-1).end,
  };
}

function explain(metric, points, series) {
  const open = points.some(point => point.open) ? " The last window is still open." : "";
  const late = !metric.corrected
    ? ""
    : points.some(point => isKnown(metric.corrected(point)))
      ? " The dashed line adds the conversions that are still to come."
      : " No correction for delay yet: too few conversions to know the delays.";
  return `Bars: ${metric.evidence} behind each value.${late}${open}${series.window === "hour" ? " Windows are hours of UTC, shown in the account's time." : ""}`;
}

function figures(points, metric, one) {
  const show = value =>
    measure(
      value,
      metric.unit,
      one.currency,
      Object.keys(METRICS).find(key => METRICS[key] === metric),
    );
  const heads = [
    ["Window"],
    ["As counted", "n"],
    ...(metric.corrected
      ? [
          ["Corrected", "n"],
          ["Conversions in", "n"],
        ]
      : []),
    [`Evidence: ${metric.evidence}`, "n"],
  ];
  const at = point =>
    point.end - point.start > 3_600_000 ? instant(point.start, one.time_zone) : clock(point.start, one.time_zone);
  const row = point =>
    h(
      "tr",
      {},
      h("td", {}, at(point), point.open ? " (open)" : ""),
      h("td", { class: "n" }, show(metric.raw(point))),
      metric.corrected
        ? [
            h("td", { class: "n" }, show(metric.corrected(point))),
            h("td", { class: "n" }, isKnown(point.matured_ppm) ? percent(point.matured_ppm, 0) : "n/a"),
          ]
        : null,
      h("td", { class: "n" }, count(point[metric.evidence])),
    );
  return h(
    "details",
    { class: "figures" },
    h("summary", { "data-focus": "kpi figures" }, "As a table"),
    h(
      "table",
      { class: "small" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          heads.map(([text, kind]) => h("th", { scope: "col", class: kind }, text)),
        ),
      ),
      h("tbody", {}, [...points].reverse().slice(0, 48).map(row)),
    ),
  );
}

const scaled = (value, by) => (isKnown(value) ? value * by : null);
/** A share in ppm where the part is in millionths, or money where it is micros times a million. */
const ratio = (part, whole) => (isKnown(part) && isKnown(whole) && whole > 0 ? Math.round(part / whole) : null);
