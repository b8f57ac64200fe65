// One campaign: the day's spend against its plan with what was done and noticed on the time line, KPIs with their
// evidence, who holds it, why each command was given, and why nothing is done now.

import * as api from "./api.js";
import { halt, release } from "./act.js";
import { chart } from "./chart.js";
import { calmly, h, replace } from "./dom.js";
import { amount, clock, count, dayEnd, instant, isKnown, measure, missing, money, moneyText, percent, range, time } from "./format.js";
import { known, listen, may } from "./live.js";
import { kpiCharts } from "./kpis.js";
import { pace, split } from "./spark.js";
import { empty, reading } from "./states.js";
import { liveTable } from "./table.js";
import { direction, facts, note, title as what } from "./why.js";
import { Words, holder, whyNothing, words } from "./words.js";
import { goal } from "./view-portfolio.js";

/** Figures move with the stream; the whole is read again at most this often. */
const CALM_MS = 1500;

export const title = route => route.parts[2] ?? "Campaign";

export function mount(root, route, signal) {
  const [, account, campaign] = route.parts;
  const path = `/campaigns/${encodeURIComponent(account)}/${encodeURIComponent(campaign)}`;
  const head = h("div", {});
  const parts = { title: h("h2", {}), tiles: h("div", { class: "totals" }), nothing: h("div", {}), holders: h("div", {}), alerts: h("div", {}), chart: h("div", { class: "plot" }), figures: h("div", {}) };
  const open = new Set([route.query.get("command")].filter(Boolean));
  const line = commandList(open);
  const kpis = kpiCharts(path, signal);
  let end = null;
  let drawn = "";
  signal.addEventListener("abort", () => end?.());
  root.append(h("p", { class: "crumbs" }, h("a", { href: "#/" }, "Portfolio"), ` / ${account}`), head);
  replace(head, h("h1", { tabindex: "-1", "data-focus": "h1" }, campaign));

  const layout = () => [parts.tiles, parts.nothing,
    h("section", {}, parts.title, parts.chart, parts.figures), kpis.element,
    h("section", {}, h("h2", {}, "Commands, and why"), line.element), parts.alerts, parts.holders];
  const draw = async ({ one, series }) => {
    replace(head, heading(one));
    replace(parts.title, "Spend against plan", h("small", {}, `${one.currency}, ${one.time_zone || "UTC"} time`));
    replace(parts.tiles, tiles(one));
    replace(parts.nothing, nothing(one));
    replace(parts.holders, holders(one));
    replace(parts.alerts, alerts(one));
    line.set(one);
    const trace = series.trace ?? [];
    replace(parts.figures, figures(trace, one));
    const sign = JSON.stringify([trace.length, trace.at(-1), one.forecast_day, one.commands?.[0]?.command_id, one.alerts?.[0]?.updated_at, document.documentElement.dataset.theme]);
    if (sign === drawn) return;
    drawn = sign;
    end?.();
    end = trace.length < 2 ? null : await dayChart(parts.chart, one, trace);
    if (!end) parts.chart.replaceChildren(empty("No record of the day yet.", "The line begins with the start of this process."));
    if (signal.aborted) end?.();
  };
  const read = async () => {
    const [one, series] = await Promise.all([api.get(path, signal), api.get(`${path}/series?window=hour`, signal)]);
    kpis.hours(series, one);
    return { one, series };
  };
  const reread = reading(root, signal, read, (data, place) => {
    if (!parts.tiles.isConnected) {
      place.append(...layout());
      if (open.size) requestAnimationFrame(() => line.element.scrollIntoView({ block: "start" }));
    }
    last = data;
    draw(data);
  });
  let last = null;
  head.addEventListener("click", event => {
    const { act, scope } = event.target.closest("button")?.dataset ?? {};
    if (act === "halt") halt(scope);
    if (act === "release") release(scope);
  });
  const soon = calmly(CALM_MS, reread);
  let due = 0;
  const ours = detail => detail.account_id === account && detail.campaign_id === campaign;
  for (const type of ["campaign", "adjustment", "alert", "proposal"]) {
    listen(type, detail => {
      if (!ours(detail)) return;
      // A busy campaign would put a calm wait off for ever.
      if (Date.now() - due > 2 * CALM_MS) { due = Date.now(); reread(); } else soon();
    }, signal);
  }
  listen("halts", soon, signal);
  listen("resync", reread, signal);
  listen("theme", () => last && draw(last), signal);
}

function heading(one) {
  const scope = `campaign=${one.account_id}/${one.campaign_id}`;
  const isHaltedHere = known.halts?.some(other => other.scope === scope);
  const button = isHaltedHere ? may("release") && h("button", { type: "button", "data-act": "release", "data-scope": scope, "data-focus": "release" }, "Release\u2026")
    : may("halt") && h("button", { type: "button", class: "danger quiet", "data-act": "halt", "data-scope": scope, "data-focus": "halt" }, "Halt this campaign\u2026");
  return [h("div", { class: "title-row" }, h("h1", { tabindex: "-1", "data-focus": "h1" }, one.name || one.campaign_id), pace(one.halted ? "paused" : one.pace), button),
    h("p", { class: "lead" }, [one.campaign_id, one.account_id, one.platform, one.channel, words(one.bid_strategy), `mode ${words(one.mode)}`, words(one.status)].filter(Boolean).join(" \u00b7 "),
      `. Money in ${one.currency}, times in ${one.time_zone || "UTC"}. `, isKnown(one.watermark) ? `Figures are complete until ${clock(one.watermark, one.time_zone, false, true)}.` : "No figure is complete yet."),
    one.halted ? h("p", { class: "inline-warning" }, "Halted: nothing is raised, and it stays paused until somebody releases it.") : null,
    isKnown(one.spec_waits_version) ? h("p", { class: "inline-warning" }, `Version ${one.spec_waits_version} of the specification jumps too far and waits for a person.`) : null];
}

function tiles(one) {
  const cash = (micros, reason) => money(micros, one.currency, reason);
  const plain = micros => amount(micros, one.currency);
  const spread = forecast => forecast ? range(plain(forecast.low_micros), plain(forecast.high_micros)) : null;
  const flight = one.flight_end ? `until ${instant(one.flight_end, one.time_zone)}` : "no end is set";
  return [
    tile("Spent today", cash(one.spend_day_micros), isKnown(one.plan_micros) ? `plan by now ${moneyText(one.plan_micros, one.currency)}` : "no plan yet"),
    tile("Budget today", cash(one.budget_day_micros, "no_budget"), one.binding && one.binding !== "none" ? `bound by ${words(one.binding)}` : "nothing binds it"),
    tile("Day will end at", cash(one.forecast_day?.mid_micros, one.forecast_day_reason), spread(one.forecast_day) ?? "if nothing were changed"),
    tile("Flight will end at", cash(one.forecast_flight?.mid_micros, one.forecast_flight_reason), spread(one.forecast_flight) ?? flight),
    tile("Goal", goal(one), one.goal?.deadline ? `by ${instant(one.goal.deadline, one.time_zone)}` : null),
    tile("Bid", cash(one.bid_micros, "no bid known"), !isKnown(one.bid_confirmed_micros) ? "not confirmed by the platform" : one.bid_confirmed_micros === one.bid_micros ? "confirmed by the platform" : `confirmed ${moneyText(one.bid_confirmed_micros, one.currency)}`),
    tile("Seen today", [h("span", { class: "figure" }, count(one.impressions_day)), h("span", { class: "unit" }, " impressions")], `${count(one.clicks_day)} clicks, ${count(one.conversions_day)} conversions worth ${moneyText(one.value_day_micros, one.currency)}`),
  ];
}

const tile = (name, figure, more) => h("section", { class: "total", "aria-label": name }, h("p", { class: "sub" }, name), h("div", { class: "total-figure" }, figure), more ? h("p", { class: "sub" }, more) : null);

/** Why the last look led to nothing, lever by lever. */
function nothing(one) {
  const whys = one.why_nothing ?? [];
  if (!whys.length) return h("section", { class: "aside" }, h("h2", {}, "Now"), h("p", {}, one.mode === "observe" ? "Paceline only observes this campaign: it computes and changes nothing." : "Nothing keeps Paceline from acting; the next command comes when a change is worth making."));
  return h("section", { class: "aside" }, h("h2", {}, "Why nothing is done now"), h("ul", {}, whys.map(why => h("li", {}, whyNothing(why)))), one.mode === "observe" ? h("p", {}, "Besides, this campaign is only observed.") : null);
}

function holders(one) {
  const list = one.holders ?? [];
  const zone = one.time_zone;
  const row = spell => h("tr", {}, h("td", {}, h("b", {}, Words(holder(spell.holder)))), h("td", {}, spell.holds ? "holds it" : "let go"),
    h("td", {}, isKnown(spell.since) ? time(spell.since, zone) : missing(spell.since_reason)),
    h("td", {}, isKnown(spell.until) ? [spell.holds ? "at the latest " : "", time(spell.until, zone)] : spell.holds ? "until it is released" : missing("not_recorded")), h("td", {}, spell.reason ? words(spell.reason) : ""));
  return h("section", {}, h("h2", {}, "Who held it"), list.length ? h("div", { class: "table-scroll", role: "region", "aria-label": "Who held it", tabindex: "0" }, h("table", { class: "small" },
    h("thead", {}, h("tr", {}, ["Holder", "State", "Since", "Until", "Why"].map(text => h("th", { scope: "col" }, text)))), h("tbody", {}, list.map(row)))) : h("p", { class: "hint" }, "Nobody has held this campaign still."));
}

function alerts(one) {
  const list = one.alerts ?? [];
  const item = alert => h("li", { class: `alert-${alert.state}` }, h("span", { class: `severity ${alert.severity}` }, Words(alert.severity)), " ", h("b", {}, Words(alert.kind)), ` ${words(alert.state)}, `, time(alert.updated_at, one.time_zone), h("p", {}, alert.text));
  const open = list.filter(alert => alert.state !== "resolved");
  const past = list.filter(alert => alert.state === "resolved").slice(0, 30);
  return h("section", {}, h("h2", {}, "Alerts"), open.length ? h("ul", { class: "alerts" }, open.map(item)) : h("p", { class: "hint" }, list.length ? "No alert is open." : "No alert about this campaign."),
    past.length ? h("details", {}, h("summary", { "data-focus": "past alerts" }, `${past.length} resolved`), h("ul", { class: "alerts" }, past.map(item))) : null);
}

/** Commands, newest first; each opens to the note that says why. What is open stays open as news come. */
function commandList(open) {
  const element = h("div", { class: "commands" });
  const toggled = event => {
    const id = event.target.dataset.id;
    if (!id) return;
    if (event.target.open) open.add(id);
    else open.delete(id);
  };
  element.addEventListener("toggle", toggled, true);
  return {
    element,
    set(one) {
      const zone = one.time_zone;
      const list = [...(one.proposals ?? []).filter(other => other.state === "proposed"), ...(one.commands ?? [])].sort((a, b) => b.issued_at - a.issued_at);
      const item = command => h("details", { class: "command", "data-id": command.command_id, open: open.has(command.command_id) },
        h("summary", { "data-focus": command.command_id }, h("span", { class: "command-when" }, clock(command.issued_at, zone)), h("span", { class: `arrow arrow-${direction(command)}`, "aria-hidden": "true" }),
          h("b", {}, what(command)), command.state === "issued" ? null : h("span", { class: "tag" }, words(command.state)), h("span", { class: "sub" }, command.explanation?.text || words(command.reason))), note(command, zone));
      replace(element, list.length ? list.slice(0, 60).map(item) : empty("No command so far.", "Above stands why."));
    },
  };
}

/** The same figures for who cannot see the chart. */
function figures(trace, one) {
  const points = trace.slice(-24).reverse();
  const deviation = point => isKnown(point.plan_micros) && point.plan_micros > 0 ? percent(1e6 * (point.spend_day_micros / point.plan_micros - 1), 0) : "n/a";
  return h("details", { class: "figures" }, h("summary", { "data-focus": "day figures" }, "As a table"), h("table", { class: "small" },
    h("thead", {}, h("tr", {}, [["At"], ["Spent", "n"], ["Plan", "n"], ["Off the plan", "n"]].map(([text, kind]) => h("th", { scope: "col", class: kind }, text)))),
    h("tbody", {}, points.map(point => h("tr", {}, h("td", {}, clock(point.at, one.time_zone)), h("td", { class: "n" }, money(point.spend_day_micros, one.currency)), h("td", { class: "n" }, money(point.plan_micros, one.currency, "no_plan")), h("td", { class: "n" }, deviation(point)))))));
}

async function dayChart(host, one, trace) {
  const holes = split(trace).flatMap((day, index) => index ? [{ at: day[0].at - 1, spend_day_micros: null, plan_micros: null }, ...day] : day);
  const until = dayEnd(trace.at(-1).at, one.time_zone);
  const show = (value, bare) => bare ? amount(value, one.currency) : moneyText(value, one.currency);
  const forecast = one.forecast_day;
  const tail = forecast ? [{ at: until, spend_day_micros: null, plan_micros: null }] : [];
  const points = [...holes, ...tail];
  const ahead = points.map((point, index) => index === holes.length - 1 ? point.spend_day_micros : index >= holes.length ? forecast.mid_micros : null);
  const series = [
    { label: "spent", values: points.map(point => point.spend_day_micros), ink: "ink-spend", fill: "fill-spend", width: 2 },
    { label: "plan", values: points.map(point => point.plan_micros), ink: "ink-plan", dash: [5, 4], width: 1.5 },
    ...(isKnown(one.budget_day_micros) ? [{ label: "budget", values: points.map(() => one.budget_day_micros), ink: "ink-budget", width: 1 }] : []),
    ...(forecast ? [{ label: "forecast", anchor: holes.length - 1, values: ahead, ink: "ink-spend", dash: [2, 4], width: 1.5 }] : []),
  ];
  const marks = [
    ...(one.commands ?? []).map(command => ({ at: command.issued_at, ink: "ink-command", shape: command.kind === "pause" ? "stop" : direction(command) === "down" ? "down" : "up" })),
    ...(one.alerts ?? []).map(alert => ({ at: alert.opened_at, ink: "ink-alert", shape: "alert" })),
    ...(forecast ? [{ at: until, from: forecast.high_micros, to: forecast.low_micros, ink: "ink-spend" }] : []),
  ];
  const label = `Spend of the day: ${moneyText(one.spend_day_micros, one.currency)}, planned by now ${moneyText(one.plan_micros, one.currency)}, with ${count(one.commands?.length)} commands and ${count(one.alerts?.length)} alerts on the time line.`;
  const ceiling = Math.max(one.budget_day_micros ?? 0, forecast?.high_micros ?? 0);
  const end = await chart(host, { label, times: points.map(point => point.at), series, marks, until, ceiling, show, zone: one.time_zone });
  host.append(h("p", { class: "legend" }, h("span", { class: "key key-up" }, "raise"), h("span", { class: "key key-down" }, "cut"), h("span", { class: "key key-stop" }, "pause"), h("span", { class: "key key-alert" }, "alert"), forecast ? h("span", { class: "hint" }, "The bar at the right: where the day ends if nothing were changed, nineteen times in twenty.") : null));
  return end;
}
