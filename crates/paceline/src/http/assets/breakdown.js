// A campaign by device, place, hour, placement and creative, and what each attribution model credits it with: plain tables,
// with a bar for the share of the spend. What cannot be divided is n/a and says why.

import * as api from "./api.js";
import { byHour } from "./by-hour.js";
import { h, replace } from "./dom.js";
import { count, isKnown, measure, missing, moneyText, percent } from "./format.js";
import { Words, words } from "./words.js";

const DIMENSIONS = [
  ["device", "Device"],
  ["geo", "Place"],
  ["hour", "Hour of the day"],
  ["placement", "Placement"],
  ["creative", "Creative"],
  ["channel", "Channel"],
];
const WINDOWS = [
  ["today", "Today"],
  ["7d", "7 days"],
  ["28d", "28 days"],
];

/** How often it is read again at most: its rows come once a minute. */
const CALM_MS = 20_000;

export function breakdown(path, signal) {
  const state = { dimension: "device", window: "7d" };
  const rows = h("div", {});
  const models = h("div", {});
  const paths = h("div", {});
  let readAt = 0;

  const choose = (id, key, label, values) =>
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
              state[key] = event.currentTarget.value;
              read();
            },
          },
        },
        values.map(([value, text]) => h("option", { value, selected: state[key] === value }, text)),
      ),
    );
  const read = async () => {
    readAt = Date.now();
    const asked = { ...state };
    const [by, side] = await Promise.all([
      values(path, asked, signal).catch(() => null),
      api.get(`${path}/attribution?window=${asked.window}`, signal).catch(() => null),
    ]);
    if (signal.aborted || asked.dimension !== state.dimension || asked.window !== state.window) return;
    replace(rows, by ? valueTable(by) : unread("breakdown"));
    replace(models, side ? modelTable(side) : unread("comparison"));
    replace(paths, side ? pathNote(side) : null);
  };
  const element = h(
    "section",
    {},
    h("h2", {}, "Where it works, and who is credited"),
    h(
      "div",
      { class: "filters" },
      choose("breakdown-dimension", "dimension", "By", DIMENSIONS),
      choose("breakdown-window", "window", "Over", WINDOWS),
    ),
    rows,
    h("h3", {}, "Attribution models side by side"),
    models,
    paths,
  );
  return {
    element,
    /** Reads again unless it was read just now. */
    refresh: () => (Date.now() - readAt > CALM_MS ? read() : null),
  };
}

async function values(path, asked, signal) {
  if (asked.dimension !== "hour") return api.get(`${path}/breakdown?dimension=${asked.dimension}&window=${asked.window}`, signal);
  return byHour(await api.get(`${path}/series?window=hour`, signal), asked.window);
}

function valueTable(by) {
  if (!by.rows.length) return h("p", { class: "hint" }, `n/a: ${words(by.rows_reason)}.`);
  const cash = micros => moneyText(micros, by.currency);
  const row = (name, one) => [
    name,
    [
      isKnown(one.spend_share_ppm)
        ? h("meter", { min: 0, max: 100, value: (one.spend_share_ppm / 1e4).toFixed(1), "aria-label": "Share of spend" })
        : null,
      cash(one.spend_micros),
    ],
    count(one.impressions),
    count(one.clicks),
    count(one.credited_conversions_micro / 1e6),
    shown(one.ctr_ppm, percent, one.ctr_reason),
    shown(one.cvr_ppm, percent, one.cvr_reason),
    shown(one.cpa_micros, cash, one.cpa_reason),
    shown(one.roas_ppm, ppm => measure(ppm, "ppm", null, "roas"), one.roas_reason),
  ];
  const heads = ["Value", "Spend", "Impressions", "Clicks", "Conversions", "CTR", "CVR", "CPA", "ROAS"];
  return [
    table(`The campaign by ${by.dimension}`, heads, [
      ...by.rows.map(one => row(valueName(one.value), one)),
      row("All", by.total),
    ]),
    h(
      "p",
      { class: "hint" },
      by.note ?? [
        "As events tell, before corrections; conversions by last touch. Clicks taken back as invalid are not known by ",
        `${by.dimension}: ${words(by.invalid_clicks_reason)}.`,
      ],
    ),
  ];
}

function modelTable(side) {
  if (side.models_reason) return h("p", { class: "hint" }, `n/a: ${words(side.models_reason)}.`);
  const most = Math.max(...side.models.map(one => one.conversions_micro), 1);
  const cash = micros => moneyText(micros, side.currency);
  const rows = side.models.map(one => [
    [Words(one.model), one.in_force ? h("span", { class: "tag" }, "in force") : null],
    [
      h("meter", {
        min: 0,
        max: 100,
        value: ((100 * Math.max(0, one.conversions_micro)) / most).toFixed(1),
        "aria-label": "Conversions, beside the model that credits most",
      }),
      count(one.conversions_micro / 1e6),
    ],
    cash(one.value_micros),
    shown(one.cpa_micros, cash, one.cpa_reason),
    shown(one.roas_ppm, ppm => measure(ppm, "ppm", null, "roas"), one.roas_reason),
  ]);
  return table("Attribution models side by side", ["Model", "Conversions", "Value", "CPA", "ROAS"], rows);
}

/** How long the account's paths are, and what this campaign means on them. */
function pathNote(side) {
  if (!side.paths.length) return h("p", { class: "hint" }, `Paths: n/a: ${words(side.paths_reason)}.`);
  return side.paths.map(one => {
    const all = one.lengths_micro.reduce((sum, more) => sum + more, 0);
    const single = all > 0 ? percent((1e6 * one.lengths_micro[0]) / all, 0) : "n/a";
    const lost = isKnown(one.removal_effect_ppm)
      ? `A Markov model of these paths loses ${percent(one.removal_effect_ppm, 0)} of them without this campaign.`
      : `What they would be without this campaign is n/a: ${words(one.removal_effect_reason)}.`;
    return h(
      "p",
      { class: "hint" },
      `Of the paths to ${words(one.conversion_type)} in this account, ${single} have a single touch. ${lost} Credit says who touched, not what worked.`,
    );
  });
}

const unread = what => h("p", { class: "hint" }, `n/a: the ${what} could not be read; it is asked for again.`);

const shown = (value, show, reason) => (isKnown(value) ? show(value) : missing(reason));

const valueName = value =>
  ({ "": "not named", "(other)": "all others", "(not kept)": "not known of the touch" })[value] ?? value;

const table = (label, heads, rows) =>
  h(
    "div",
    { class: "table-scroll", role: "region", "aria-label": label, tabindex: "0" },
    h(
      "table",
      { class: "small" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          heads.map((text, at) => h("th", { scope: "col", class: at ? "n" : "" }, text)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map(([name, ...cells]) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, name),
            cells.map(cell => h("td", { class: "n" }, cell)),
          ),
        ),
      ),
    ),
  );
