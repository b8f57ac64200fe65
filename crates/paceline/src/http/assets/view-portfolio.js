// All campaigns: sorted, filtered and searched by the service, a page at a time, kept fresh by the stream.

import { halt } from "./act.js";
import * as api from "./api.js";
import { calmly, h, replace } from "./dom.js";
import { count, isKnown, money, moneyText } from "./format.js";
import { accountGoals } from "./goals.js";
import { known, listen, may } from "./live.js";
import { columns, keyOf } from "./portfolio-columns.js";
import { pace } from "./spark.js";
import { empty, reading } from "./states.js";
import { liveTable } from "./table.js";
import { Words } from "./words.js";

const ROWS = 50;
const SORT = "name";
/** Order and membership of the page are asked again this often; figures in it move with the stream. */
const REREAD_MS = 10_000;
const PACES = ["ahead", "on_plan", "behind", "exhausted", "paused", "unknown"];
const MODES = ["auto", "approve", "observe"];
const STATUSES = ["active", "paused", "ended"];

export const title = () => "Portfolio";

export function mount(root, route, signal) {
  const filter = Object.fromEntries(
    ["q", "account", "pace", "mode", "status", "sort", "order"].map(key => [key, route.query.get(key) ?? ""]),
  );
  const pages = [null];
  const totals = h("div", { class: "totals" });
  const goals = h("div", {});
  const paces = h("div", { class: "chips", role: "group", "aria-label": "Filter by pace" });
  const found = h("p", { class: "found", role: "status" });
  const pager = h("div", { class: "pager" });
  const table = liveTable({
    caption: "Campaigns",
    columns: columns(),
    keyOf: row => `${row.account_id}/${row.campaign_id}`,
    rowClass: row => (row.halted ? "is-halted" : ""),
    onSort: (sort, order) => change({ sort, order }),
  });
  const explained = legend();
  let next = null;
  /** Rows of this page as last read: the stream brings a campaign without its small chart and its last command. */
  const rows = new Map();

  const change = values => {
    Object.assign(filter, values);
    pages.splice(0, pages.length, null);
    history.replaceState(null, "", `#/${api.query(filter)}`);
    drawFilters();
    reread();
  };
  const drawFilters = () => {
    table.sorted(filter.sort || SORT, filter.order || "asc");
    replace(paces, chips(known.overview, filter.pace));
    replace(goals, accountGoals(known.overview, filter.account));
  };
  paces.addEventListener("click", event => {
    const chip = event.target.closest("button");
    if (chip) change({ pace: chip.dataset.focus === filter.pace ? "" : chip.dataset.focus });
  });
  pager.addEventListener("click", event => {
    const to = event.target.closest("button")?.dataset.focus;
    if (to === "next" && next) pages.push(next);
    else if (to === "previous" && pages.length > 1) pages.pop();
    else return;
    reread();
  });

  root.append(
    h(
      "div",
      { class: "title-row" },
      h("h1", { tabindex: "-1" }, "Portfolio"),
      may("halt")
        ? h(
            "button",
            { type: "button", class: "danger quiet", on: { click: () => halt(null, known.overview?.accounts) } },
            "Halt\u2026",
          )
        : null,
    ),
    totals,
    goals,
    filters(filter, change),
    h("div", { class: "chips" }, paces, found),
  );
  const reread = reading(
    root,
    signal,
    () =>
      api.get(
        `/campaigns${api.query({ ...filter, sort: filter.sort || SORT, limit: ROWS, cursor: pages.at(-1) })}`,
        signal,
      ),
    (data, place) => {
      if (!table.element.isConnected) place.append(table.element, explained, pager);
      next = data.next;
      explained.hidden = !data.campaigns.length;
      rows.clear();
      data.campaigns.forEach(row => rows.set(keyOf(row), row));
      const isFiltered = ["q", "account", "pace", "mode", "status"].some(key => filter[key]);
      table.set(
        data.campaigns,
        isFiltered
          ? empty("No campaign matches.", "Loosen the filter or the search.")
          : empty(
              "No campaign has been specified yet.",
              "Campaigns appear here once they are published: paceline campaigns apply FILE, or your systems on ads.campaigns.",
            ),
      );
      const first = (pages.length - 1) * ROWS;
      replace(
        found,
        `${count(data.total)} ${data.total === 1 ? "campaign" : "campaigns"}${isFiltered ? " match" : ""}${data.total > ROWS ? `; ${first + 1} to ${first + data.campaigns.length} shown` : ""}`,
      );
      replace(
        pager,
        data.total > ROWS || pages.length > 1
          ? [
              h("button", { type: "button", "data-focus": "previous", disabled: pages.length < 2 }, "Previous"),
              h("span", {}, `Page ${pages.length}`),
              h("button", { type: "button", "data-focus": "next", disabled: !next }, "Next"),
            ]
          : [],
      );
    },
  );

  const overview = () => {
    replace(totals, summary(known.overview));
    replace(goals, accountGoals(known.overview, filter.account));
    replace(paces, chips(known.overview, filter.pace));
    accountsInto(root.querySelector("#account"), filter.account);
  };
  overview();
  drawFilters();
  listen("overview", overview, signal);
  const patch = (key, news) => {
    if (!rows.has(key)) return;
    rows.set(key, { ...rows.get(key), ...news });
    table.patch(rows.get(key));
  };
  listen("campaign", row => patch(keyOf(row), { ...row, sparkline: grown(rows.get(keyOf(row)), row) }), signal);
  for (const type of ["adjustment", "proposal"])
    listen(type, command => patch(keyOf(command), { last_command: lastOf(command) }), signal);
  listen("resync", reread, signal);
  const timer = setInterval(reread, REREAD_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
}

const lastOf = command => ({
  command_id: command.command_id,
  kind: command.kind,
  state: command.state,
  reason: command.reason,
  text: command.explanation?.text ?? "",
  at: command.issued_at,
});

/** The small chart with the newest point put to it. */
function grown(held, row) {
  const points = held?.sparkline ?? [];
  const at = row.event_time ?? known.overview?.event_time;
  if (!isKnown(at) || !points.length || at <= points.at(-1).at) return points;
  return [...points, { at, spend_day_micros: row.spend_day_micros, plan_micros: row.plan_micros }];
}

function filters(filter, change) {
  const search = h("input", {
    id: "q",
    type: "search",
    placeholder: "Name or id (press / to come here)",
    value: filter.q,
    "aria-keyshortcuts": "/",
    autocomplete: "off",
    on: { input: calmly(250, () => change({ q: search.value.trim() })) },
  });
  const choose = (id, label, values, show = Words) =>
    h(
      "div",
      { class: "field" },
      h("label", { for: id }, label),
      h(
        "select",
        { id, on: { change: event => change({ [id]: event.currentTarget.value }) } },
        h("option", { value: "" }, "All"),
        values.map(value => h("option", { value, selected: filter[id] === value }, show(value))),
      ),
    );
  const sorts = {
    name: "Name",
    pace: "Pace",
    spend: "Spent today",
    budget: "Budget today",
    share: "Share of budget",
    mode: "Mode",
    status: "Status",
    account: "Account",
  };
  const order = h(
    "div",
    { class: "field only-narrow" },
    h("label", { for: "sort" }, "Sort by"),
    h(
      "select",
      {
        id: "sort",
        on: {
          change: event =>
            change({
              sort: event.currentTarget.value,
              order: ["spend", "budget", "share"].includes(event.currentTarget.value) ? "desc" : "asc",
            }),
        },
      },
      Object.entries(sorts).map(([value, text]) => h("option", { value, selected: filter.sort === value }, text)),
    ),
  );
  return h(
    "form",
    { class: "filters", role: "search", "aria-label": "Campaigns", on: { submit: event => event.preventDefault() } },
    h("div", { class: "field grow" }, h("label", { for: "q" }, "Search"), search),
    choose("account", "Account", [], value => value),
    choose("mode", "Mode", MODES),
    choose("status", "Status", STATUSES),
    order,
  );
}

/** Accounts come with the overview; what is chosen stays chosen. */
function accountsInto(select, chosen) {
  const ids = known.overview?.accounts?.map(one => one.account_id) ?? [];
  if (!select || select.options.length === ids.length + 1) return;
  select.replaceChildren(
    h("option", { value: "" }, "All"),
    ...ids.map(value => h("option", { value, selected: value === chosen }, value)),
  );
}

function chips(overview, chosen) {
  return PACES.map(word =>
    h(
      "button",
      { type: "button", class: "chip", "data-focus": word, "aria-pressed": String(chosen === word) },
      pace(word),
      h("b", {}, overview ? count(overview.campaigns_by_pace?.[word] ?? 0) : "\u2026"),
    ),
  );
}

/** What the small charts and ranges mean. */
const legend = () =>
  h(
    "p",
    { class: "hint legend-line" },
    "Small charts: spend of the last 24 hours at most (area; each local day begins at zero), planned (dashes), budget (line above). ",
    "On plan: within 5 % of the day's budget. ",
    "A range: nineteen days in twenty end inside it, if nothing were changed. Modes: Auto sends commands, Approve asks a person, Observe only records.",
  );

/** What all campaigns spend, by currency: sums of different currencies are never added up. */
function summary(overview) {
  if (!overview) return [];
  return (overview.currencies ?? []).map(one => {
    const share = one.budget_day_micros > 0 ? Math.min(100, (100 * one.spend_day_micros) / one.budget_day_micros) : 0;
    const plan =
      isKnown(one.plan_micros) && one.budget_day_micros > 0
        ? Math.min(100, (100 * one.plan_micros) / one.budget_day_micros)
        : null;
    return h(
      "section",
      { class: "total", "aria-label": `Spent today in ${one.currency}` },
      h("p", { class: "sub" }, "Spent today"),
      h("p", { class: "total-figure" }, money(one.spend_day_micros, one.currency)),
      h("meter", { min: 0, max: 100, value: share.toFixed(1), "aria-label": "Share of the budget spent" }),
      h(
        "p",
        { class: "sub" },
        isKnown(one.budget_day_micros) ? `of ${moneyText(one.budget_day_micros, one.currency)}` : "no budget",
        plan === null ? "" : `; plan by now ${moneyText(one.plan_micros, one.currency)}`,
      ),
      h(
        "p",
        { class: "sub" },
        `${count(one.campaigns)} ${one.campaigns === 1 ? "campaign" : "campaigns"}${one.without_budget ? `, ${one.without_budget} without a budget` : ""}`,
      ),
    );
  });
}
