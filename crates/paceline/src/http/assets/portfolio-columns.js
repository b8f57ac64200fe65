// What the portfolio tells of a campaign, column by column; each figure with what it is measured against below it.

import { h } from "./dom.js";
import { amount, clock, isKnown, measure, missing, money, moneyText, percent, range } from "./format.js";
import { pace, spark } from "./spark.js";
import { Words, holder, limit, words } from "./words.js";

export const keyOf = row => `${row.account_id}/${row.campaign_id}`;

export function columns() {
  return [
    {
      label: "Campaign",
      class: "name",
      sort: "name",
      cell: row => [
        h(
          "a",
          { href: campaignLink(row), title: row.name || row.campaign_id, "data-focus": `c ${keyOf(row)}` },
          row.name || row.campaign_id,
        ),
        sub(`${row.account_id} \u00b7 ${row.time_zone || "UTC"}`),
      ],
    },
    { label: "Pace", class: "pace-cell", sort: "pace", cell: row => [pace(row.pace), sub(held(row))] },
    { label: "Through the day", class: "spark-cell", cell: row => spark(row) },
    {
      label: "Spent today",
      class: "n",
      sort: "spend",
      first: "desc",
      cell: row => [
        money(row.spend_day_micros, row.currency),
        sub(isKnown(row.plan_micros) ? ["plan ", amount(row.plan_micros, row.currency)] : "no plan yet"),
      ],
    },
    {
      label: "Budget today",
      class: "n",
      sort: "budget",
      first: "desc",
      cell: row =>
        isKnown(row.budget_day_micros)
          ? [money(row.budget_day_micros, row.currency), sub(share(row))]
          : missing("no_budget"),
    },
    {
      label: "Day will end at",
      note: "and the flight",
      class: "n",
      cell: row => [
        row.forecast_day
          ? [money(row.forecast_day.mid_micros, row.currency), sub(spread(row.forecast_day, row.currency))]
          : missing(row.forecast_day_reason),
        flightEnd(row),
      ],
    },
    { label: "KPI and goal", class: "goal", cell: goal },
    {
      label: "Bid",
      class: "n",
      cell: row =>
        isKnown(row.bid_micros) ? [money(row.bid_micros, row.currency), sub(bidState(row))] : missing("no bid known"),
    },
    { label: "Mode", sort: "mode", cell: row => [Words(row.mode), sub(words(row.status))] },
    { label: "Last command", class: "last", cell: last },
  ];
}

/** Where the flight ends, of how much; left out where it has no end. */
function flightEnd(row) {
  if (row.forecast_flight_reason === "no_flight_end") return null;
  const { low_micros: low, mid_micros: mid, high_micros: high } = row.forecast_flight ?? {};
  if (!isKnown(mid)) return h("span", { class: "sub", title: words(row.forecast_flight_reason) }, "flight n/a yet");
  const of = isKnown(row.flight_budget_micros) ? ` of ${moneyText(row.flight_budget_micros, row.currency)}` : "";
  const title = `The flight ends at ${moneyText(mid, row.currency)}${of}, nineteen times in twenty within ${range(amount(low, row.currency), amount(high, row.currency))}`;
  return [
    h("span", { class: "sub flight-end", title }, `flight ${amount(mid, row.currency)}`),
    sub(range(amount(low, row.currency), amount(high, row.currency))),
  ];
}

/** From low to high; where nothing can move any more, that. */
export const spread = (forecast, currency) =>
  forecast.low_micros === forecast.high_micros
    ? "nothing more is spent"
    : range(amount(forecast.low_micros, currency), amount(forecast.high_micros, currency));

const sub = (...content) => h("span", { class: "sub" }, content);

export const campaignLink = row =>
  `#/campaign/${encodeURIComponent(row.account_id)}/${encodeURIComponent(row.campaign_id)}`;

const share = row =>
  row.budget_day_micros > 0 ? `${percent((1e6 * row.spend_day_micros) / row.budget_day_micros, 0)} spent` : "";

const bidState = row =>
  !isKnown(row.bid_confirmed_micros)
    ? "not confirmed"
    : row.bid_confirmed_micros === row.bid_micros
      ? "confirmed"
      : `platform has ${amount(row.bid_confirmed_micros, row.currency)}`;

function held(row) {
  if (row.halted) return "halted";
  if (row.pause_holders?.length) return `held by ${row.pause_holders.map(holder).join(", ")}`;
  return row.binding && row.binding !== "none" ? `limited by ${limit(row.binding)}` : "nothing limits it";
}

/** A KPI against its goal: the sign says which side is good, the word whether it is there. */
export function goal(row) {
  const goal = row.goal;
  if (!goal) return missing(row.goal_reason ?? "no_goal");
  const show = value => measure(value, goal.unit, row.currency, goal.metric);
  const verdict = verdictOf(goal);
  const actual = isKnown(goal.actual)
    ? [h("span", { class: "figure" }, show(goal.actual)), " ", verdict]
    : missing(goal.actual_reason && nothingYet(goal.metric));
  return [
    h("span", {}, `${words(goal.metric)} `, actual),
    isKnown(goal.target)
      ? sub(`goal ${goal.direction === "at_most" ? "\u2264" : "\u2265"} ${show(goal.target)}${chance(goal)}`)
      : sub("no target number"),
  ];
}

const DIVISORS = {
  cpa: "no conversions",
  cpc: "no clicks",
  cvr: "no clicks",
  cpm: "no impressions",
  ctr: "no impressions",
  roas: "nothing spent",
  roi: "nothing spent",
};

/** What a figure would be divided by, where there is none of it yet. */
export const nothingYet = metric => `${DIVISORS[metric] ?? "nothing"} yet`;

/** On track, at risk, met, missed or not known yet; a target without a deadline is on or off track today. */
export function verdictOf(goal) {
  const good = { on_track: "on track", met: "met" };
  const bad = { at_risk: "at risk", missed: "missed" };
  if (good[goal.standing]) return h("span", { class: "verdict good" }, good[goal.standing]);
  if (bad[goal.standing]) return h("span", { class: "verdict bad" }, bad[goal.standing]);
  if (goal.standing === "unknown") return h("span", { class: "verdict" }, "not known yet");
  if (goal.on_track === true) return h("span", { class: "verdict good" }, "on track");
  return goal.on_track === false ? h("span", { class: "verdict bad" }, "off track") : null;
}

/** The chance that a goal is met, where it is neither settled nor unknown. */
const chance = goal =>
  isKnown(goal.chance_ppm) && ["on_track", "at_risk"].includes(goal.standing)
    ? `, chance ${Math.round(goal.chance_ppm / 10_000)} in 100`
    : "";

/** What it takes from now on, for the campaign's own page. */
export function takes(row) {
  const needs = row.goal?.needs;
  if (!needs) return null;
  const show = value => measure(value, row.goal.unit, row.currency, row.goal.metric);
  const isTotal = isKnown(row.goal.ends_mid);
  const most = row.goal.direction === "at_most";
  const lead = isTotal ? (most ? "at most" : "it takes") : most ? "the rest may come to" : "the rest has to come to";
  const bid = isKnown(needs.bid_micros) ? `, a bid of about ${amount(needs.bid_micros, row.currency)}` : "";
  const beyond = needs.limit ? `: not reachable within ${limit(needs.limit)}` : "";
  return `${lead} ${show(needs.rate)}${isTotal ? " a day from now on" : ""} (now ${show(needs.rate_now)})${bid}${beyond}`;
}

function last(row) {
  const command = row.last_command;
  if (!command) return missing(row.last_command_reason ?? "none so far");
  return [
    h(
      "span",
      { title: command.text },
      h(
        "a",
        { href: `${campaignLink(row)}?command=${command.command_id}`, "data-focus": `l ${command.command_id}` },
        Words(command.kind),
      ),
      ` ${clock(command.at, row.time_zone)}`,
      command.state === "proposed" ? h("span", { class: "tag" }, "proposed") : null,
    ),
    h("span", { class: "sub", title: command.text }, command.text),
  ];
}
