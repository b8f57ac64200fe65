// One campaign: the day's spend against its plan with what was done and noticed on the time line, KPIs with their
// evidence, who holds it, why each command was given, and why nothing is done now.

import { halt, release, undo } from "./act.js";
import * as api from "./api.js";
import { back } from "./back.js";
import { breakdown } from "./breakdown.js";
import { dayChart, figures } from "./campaign-day.js";
import { flightChart, hasFlight } from "./campaign-flight.js";
import { alerts, holders, nothing, tiles } from "./campaign-facts.js";
import { changing } from "./chart.js";
import { calmly, h, replace } from "./dom.js";
import { clock, isKnown } from "./format.js";
import { kpiCharts } from "./kpis.js";
import { known, listen, may } from "./live.js";
import { pace } from "./spark.js";
import { empty, reading } from "./states.js";
import { rules } from "./rules.js";
import { direction, note, title as what } from "./why.js";
import { words } from "./words.js";

/** Figures move with the stream; the whole is read again at most this often. */
const CALM_MS = 1500;

export const title = route => route.parts[2] ?? "Campaign";

export function mount(root, route, signal) {
  const [, account, campaign] = route.parts;
  const path = `/campaigns/${encodeURIComponent(account)}/${encodeURIComponent(campaign)}`;
  const head = h("div", {});
  const parts = {
    title: h("h2", {}),
    tiles: h("div", { class: "totals" }),
    nothing: h("div", {}),
    rules: h("div", {}),
    holders: h("div", {}),
    alerts: h("div", {}),
    chart: h("div", { class: "plot" }),
    figures: h("div", {}),
    flight: h("section", { hidden: true }),
    flightChart: h("div", { class: "plot" }),
  };
  parts.flight.append(h("h2", {}, "Through the flight"), parts.flightChart);
  const open = new Set([route.query.get("command")].filter(Boolean));
  const line = commandList(open);
  const kpis = kpiCharts(path, signal);
  const values = breakdown(path, signal);
  const day = changing(parts.chart, signal);
  const flight = changing(parts.flightChart, signal);
  root.append(h("p", { class: "crumbs" }, h("a", { href: "#/" }, "Portfolio"), ` / ${account}`), head);
  replace(head, h("h1", { tabindex: "-1", "data-focus": "h1" }, campaign));

  const layout = () => [
    parts.tiles,
    parts.nothing,
    h("section", {}, parts.title, parts.chart, parts.figures),
    parts.flight,
    kpis.element,
    values.element,
    h("section", {}, h("h2", {}, "Commands, and why"), line.element),
    parts.rules,
    parts.alerts,
    parts.holders,
  ];
  const draw = ({ one, series, days }) => {
    replace(head, heading(one));
    replace(parts.title, "Spend against plan", h("small", {}, `${one.currency}, ${one.time_zone || "UTC"} time`));
    replace(parts.tiles, tiles(one));
    replace(parts.nothing, nothing(one));
    replace(parts.rules, rules(one));
    replace(parts.holders, holders(one));
    replace(parts.alerts, alerts(one));
    line.set(one);
    const trace = series.trace ?? [];
    replace(parts.figures, figures(trace, one));
    const sign = JSON.stringify([
      trace.length,
      trace.at(-1),
      one.forecast_day,
      one.commands?.[0]?.command_id,
      one.alerts?.[0]?.updated_at,
    ]);
    parts.flight.hidden = !days;
    if (days)
      flight.draw(JSON.stringify([days, one.forecast_flight, one.flight_budget_micros]), () => {
        const options = flightChart(one, days);
        if (!options)
          parts.flightChart.replaceChildren(empty("Nothing of the flight is spent yet.", "Its line begins with the first closed window."));
        return options;
      });
    day.draw(sign, () => {
      if (trace.length > 1) return dayChart(one, trace);
      parts.chart.replaceChildren(
        empty("No record of the day yet.", "The line begins with the start of this process."),
      );
      return null;
    });
  };
  const read = async () => {
    const [one, series] = await Promise.all([api.get(path, signal), api.get(`${path}/series?window=hour`, signal)]);
    kpis.hours(series, one);
    values.refresh();
    const days = hasFlight(one) ? (await api.get(`${path}/series?window=day`, signal)).points : null;
    return { one, series, days };
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
    listen(
      type,
      detail => {
        if (!ours(detail)) return;
        // A busy campaign would put a calm wait off for ever.
        if (Date.now() - due > 2 * CALM_MS) {
          due = Date.now();
          reread();
        } else soon();
      },
      signal,
    );
  }
  listen("halts", soon, signal);
  listen("resync", reread, signal);
  listen("theme", () => last && draw(last), signal);
}

function heading(one) {
  const scope = `campaign=${one.account_id}/${one.campaign_id}`;
  const isHaltedHere = known.halts?.some(other => other.scope === scope);
  const button = isHaltedHere
    ? may("release") &&
      h(
        "button",
        { type: "button", "data-act": "release", "data-scope": scope, "data-focus": "release" },
        "Release\u2026",
      )
    : may("halt") &&
      h(
        "button",
        { type: "button", class: "danger quiet", "data-act": "halt", "data-scope": scope, "data-focus": "halt" },
        "Halt this campaign\u2026",
      );
  return [
    h(
      "div",
      { class: "title-row" },
      h("h1", { tabindex: "-1", "data-focus": "h1" }, one.name || one.campaign_id),
      pace(one.halted ? "paused" : one.pace),
      button,
    ),
    h(
      "p",
      { class: "lead" },
      [
        one.campaign_id,
        one.account_id,
        one.platform,
        one.channel,
        words(one.bid_strategy),
        `mode ${words(one.mode)}`,
        words(one.status),
      ]
        .filter(Boolean)
        .join(" \u00b7 "),
      `. Money in ${one.currency}, times in ${one.time_zone || "UTC"}. `,
      isKnown(one.watermark)
        ? `Figures are complete until ${clock(one.watermark, one.time_zone, false, true)}.`
        : "No figure is complete yet.",
    ),
    one.halted
      ? h(
          "p",
          { class: "inline-warning" },
          "Halted: nothing is raised, and it stays paused until somebody releases it.",
        )
      : null,
    isKnown(one.spec_waits_version)
      ? h(
          "p",
          { class: "inline-warning" },
          `Version ${one.spec_waits_version} of the specification jumps too far and waits for a person.`,
        )
      : null,
  ];
}

/** Commands, newest first; each opens to the note that says why, made then. What is open stays open as news come. */
function commandList(open) {
  const element = h("div", { class: "commands" });
  const toggled = event => {
    const id = event.target.dataset.id;
    if (!id) return;
    if (event.target.open) open.add(id);
    else open.delete(id);
    draw();
  };
  element.addEventListener("toggle", toggled, true);
  element.addEventListener("click", event => {
    const id = event.target.closest("button")?.dataset.undo;
    if (id) undo(id, shown => back(shown));
  });
  let one = null;
  const canBack = command => may("approve") && (one.undos ?? []).some(other => other.command_id === command.command_id);
  const draw = () => {
    const zone = one.time_zone;
    const list = [...(one.proposals ?? []).filter(other => other.state === "proposed"), ...(one.commands ?? [])].sort(
      (a, b) => b.issued_at - a.issued_at,
    );
    const item = command =>
      h(
        "details",
        { class: "command", "data-id": command.command_id, open: open.has(command.command_id) },
        h(
          "summary",
          { "data-focus": command.command_id },
          h("span", { class: "command-when" }, clock(command.issued_at, zone)),
          h("span", { class: `arrow arrow-${direction(command)}`, "aria-hidden": "true" }),
          h("b", {}, what(command)),
          command.state === "issued" ? null : h("span", { class: "tag" }, words(command.state)),
          h("span", { class: "sub" }, command.explanation?.text || words(command.reason)),
        ),
        open.has(command.command_id) ? note(command, zone) : null,
        open.has(command.command_id) && canBack(command)
          ? h(
              "p",
              {},
              h(
                "button",
                { type: "button", "data-undo": command.command_id, "data-focus": `undo ${command.command_id}` },
                "Take back\u2026",
              ),
            )
          : null,
      );
    replace(element, list.length ? list.slice(0, 60).map(item) : empty("No command so far.", "Above stands why."));
  };
  return {
    element,
    set(next) {
      one = next;
      draw();
    },
  };
}
