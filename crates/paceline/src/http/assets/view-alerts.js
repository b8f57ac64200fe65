// What Paceline noticed: open ones first to hand, with the money at stake.

import { help } from "./alert-help.js";
import * as api from "./api.js";
import { h, replace, calmly } from "./dom.js";
import { amount, count, isKnown, missing, money, time } from "./format.js";
import { currencyOf, listen } from "./live.js";
import { empty, reading } from "./states.js";
import { liveTable } from "./table.js";
import { Words } from "./words.js";

export const title = () => "Alerts";

export function mount(root, route, signal) {
  const filter = { state: route.query.get("state") ?? "open", severity: route.query.get("severity") ?? "" };
  let campaigns = {};
  const found = h("p", { class: "found", role: "status" });
  const table = liveTable({
    caption: "Alerts",
    columns: columns(row => campaigns[`${row.account_id}/${row.campaign_id}`]),
    keyOf: row => row.alert_id,
    rowClass: row => `severity-${row.severity} alert-${row.state}`,
  });
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
              filter[id] = event.currentTarget.value;
              history.replaceState(null, "", `#/alerts${api.query(filter)}`);
              reread();
            },
          },
        },
        values.map(([value, text]) => h("option", { value, selected: filter[id] === value }, text)),
      ),
    );
  root.append(
    h("h1", { tabindex: "-1" }, "Alerts"),
    h(
      "div",
      { class: "filters" },
      choose("state", "State", [
        ["open", "Open"],
        ["resolved", "Resolved"],
        ["all", "All"],
      ]),
      choose("severity", "Severity", [
        ["", "All"],
        ["critical", "Critical"],
        ["warning", "Warning"],
        ["info", "Info"],
      ]),
    ),
    found,
  );
  const asked = () => ({ severity: filter.severity, state: filter.state === "all" ? "" : filter.state, limit: 200 });
  const reread = reading(
    root,
    signal,
    () => api.get(`/alerts${api.query(asked())}`, signal),
    (data, place) => {
      if (!table.element.isConnected) place.append(table.element);
      campaigns = data.campaigns ?? {};
      table.set(
        data.alerts,
        filter.state === "open"
          ? empty("No alert is open.", "Those of the past: choose Resolved or All under State.")
          : empty("No alert matches."),
      );
      replace(
        found,
        `${count(data.total)} ${filter.state === "all" ? "" : filter.state} ${data.total === 1 ? "alert" : "alerts"}${data.total > data.alerts.length ? `; the newest ${data.alerts.length} shown` : ""}`,
      );
    },
  );
  const soon = calmly(200, reread);
  listen("alert", soon, signal);
  listen("resync", soon, signal);
}

function columns(campaignOf) {
  return [
    {
      label: "Alert",
      class: "alert-name",
      cell: row => [
        h("span", { class: `severity ${row.severity}` }, Words(row.severity)),
        " ",
        h("b", {}, Words(row.kind)),
        h("span", { class: "sub" }, where(row, campaignOf(row))),
      ],
    },
    { label: "What was seen, and what to do", class: "text", cell: row => [row.text, advice(row)] },
    { label: "State", cell: row => Words(row.state) },
    { label: "At stake", note: "money at risk", class: "n", cell: row => stake(row) },
    { label: "Opened", class: "when", cell: row => time(row.opened_at, campaignOf(row)?.time_zone || "UTC") },
    { label: "Last change", class: "when", cell: row => time(row.resolved_at ?? row.updated_at, campaignOf(row)?.time_zone || "UTC") },
  ];
}

function where(row, campaign) {
  if (!row.account_id) return "everything";
  if (!row.campaign_id) return `account ${row.account_id}`;
  return [
    h(
      "a",
      {
        href: `#/campaign/${encodeURIComponent(row.account_id)}/${encodeURIComponent(row.campaign_id)}`,
        "data-focus": `a ${row.alert_id}`,
      },
      campaign?.name || row.campaign_id,
    ),
    campaign?.name && campaign.name !== row.campaign_id
      ? ` \u00b7 ${row.campaign_id} \u00b7 ${row.account_id}`
      : ` \u00b7 ${row.account_id}`,
  ];
}

/** What Paceline does by itself, and what is left for a person. */
function advice(row) {
  const known = help(row.kind);
  if (!known || row.state === "resolved") return null;
  return [
    h("span", { class: "sub" }, h("b", {}, "Paceline: "), known.does === "None." ? "does nothing by itself." : known.does),
    h("span", { class: "sub" }, h("b", {}, "You: "), known.todo),
  ];
}

/** An alert names its account, which names the currency; an alert over all accounts has none. */
function stake(row) {
  if (!isKnown(row.money_at_stake_micros)) return missing("not estimated");
  if (row.money_at_stake_micros === 0) return h("span", { class: "missing" }, "none");
  const currency = row.account_id ? currencyOf(row.account_id) : null;
  return currency
    ? money(row.money_at_stake_micros, currency)
    : `${amount(row.money_at_stake_micros)} in several currencies`;
}
