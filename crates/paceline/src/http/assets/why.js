// A command or a proposal as people read it: what, and the note that says why, with every number that was used.

import { hourly } from "./back.js";
import { h } from "./dom.js";
import {
  amount,
  clock,
  count,
  duration,
  instant,
  isKnown,
  measure,
  money,
  moneyText,
  percent,
  range,
} from "./format.js";
import { Words, guardEdit, term, words } from "./words.js";

/** "Bid 0.34 → 0.32 GBP", "Factor of device mobile 100.0 % → 108.0 %", "Pause". */
export function title(command) {
  const name =
    Words(command.kind) +
    (command.target?.level && command.target.level !== "campaign"
      ? ` of ${command.target.level} ${command.target.id}`
      : "") +
    (command.dimension ? ` of ${words(command.dimension.name)} ${command.dimension.value}` : "");
  const before = command.expected_previous ?? {};
  if (isKnown(command.value_micros)) {
    const from = isKnown(before.value_micros) ? `${amount(before.value_micros, command.currency)} \u2192 ` : "";
    return `${name} ${from}${moneyText(command.value_micros, command.currency)}`;
  }
  if (isKnown(command.value_ppm)) {
    const from = isKnown(before.value_ppm) ? `${percent(before.value_ppm)} \u2192 ` : "";
    return `${name} ${from}${percent(command.value_ppm)}`;
  }
  return name;
}

/** Which way a value goes: up, down or neither. */
export function direction(command) {
  const before = command.expected_previous?.value_micros ?? command.expected_previous?.value_ppm;
  const after = command.value_micros ?? command.value_ppm;
  if (!isKnown(before) || !isKnown(after) || before === after) return "same";
  return after > before ? "up" : "down";
}

/** What is expected of it, as one line. */
export function effect(command) {
  const expected = command.expected_effect;
  if (!expected) return "not estimated";
  const unit = /_micros$/.test(expected.metric) ? "micros" : /_ppm$/.test(expected.metric) ? "ppm" : "count";
  const show = value => measure(value, unit, command.currency);
  const bare = value => (unit === "micros" && isKnown(value) ? amount(value, command.currency) : show(value));
  const name = Words(expected.metric.replace(/_ppm$/, ""));
  const about = isKnown(expected.mid) ? show(expected.mid) : "n/a";
  return expected.low === expected.high
    ? `${name} ${about}`
    : `${name} about ${about} (${range(bare(expected.low), bare(expected.high))})`;
}

/** The whole note. `zone` is the account's. */
export function note(command, zone) {
  const told = command.explanation ?? {};
  const edits = told.guard_edits ?? [];
  const named = start =>
    (told.terms ?? []).filter(one => one.name.startsWith(start)).map(one => one.name.slice(start.length));
  const [rule] = named("rule/");
  const lost = named("rule_lost/");
  const until = (told.terms ?? []).find(one => one.name === "rule_until_ms")?.value;
  const numbers = (told.terms ?? []).filter(one => !/^rule(_lost\/|_until_ms$|\/)/.test(one.name));
  return h(
    "div",
    { class: "note" },
    h("p", { class: "note-text" }, told.text || "No reason was recorded."),
    facts([
      [
        "Rule",
        rule
          ? `${rule}${lost.length ? `, above ${lost.join(", ")}` : ""}${isKnown(until) ? `; the value is the rule's until ${instant(until, zone)}` : ""}`
          : null,
      ],
      ["Expected", effect(command)],
      ["Without it", told.without || "not recorded"],
      ["The guard", edits.length ? edits.map(guardEdit).join(", ") : "changed nothing"],
      ["Worst case", worst(command)],
      ["In force", `${instant(command.effective_from, zone)} until ${instant(command.expires_at, zone)}`],
      ["Held by", command.holder ? words(command.holder) : null],
    ]),
    windows(told.windows ?? [], command, zone),
    table(command),
    terms(numbers, command),
    h(
      "p",
      { class: "note-id" },
      `Decided on data until ${clock(command.decided_at_event_time, zone, false, true)}; policy version ${told.policy_version ?? "n/a"}, `,
      `journal ${told.journal_partition}/${told.journal_offset}, build ${told.build}. Command `,
      h("code", {}, command.command_id),
    ),
  );
}

/** Factors by hour, as a whole. */
function table(command) {
  return command.table?.length ? h("p", {}, "On the bid by hour: ", hourly(command.table)) : null;
}

/** Pairs of a name and what it is; pairs without a value are left out. */
export function facts(pairs) {
  const there = pairs.filter(([, value]) => value !== null && value !== undefined);
  return h(
    "dl",
    { class: "facts" },
    there.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

function worst(command) {
  const risk = command.risk;
  if (!risk) return null;
  const money = micros => moneyText(micros, command.currency);
  return `${money(risk.worst_case_micros)} if nobody hears of us again; ${money(risk.at_stake_micros)} at stake`;
}

function windows(list, command, zone) {
  if (!list.length) return null;
  const cells = one => [
    [Words(one.name)],
    [`${clock(one.start, zone, true)} \u2013 ${clock(one.end, zone)}`],
    [count(one.impressions), "n"],
    [count(one.clicks), "n"],
    [count((one.conversions_micro ?? 0) / 1e6), "n"],
    [money(one.spend_micros, command.currency), "n"],
    [money(one.value_micros, command.currency), "n"],
  ];
  const heads = [
    ["Seen in"],
    ["From, to"],
    ["Impressions", "n"],
    ["Clicks", "n"],
    ["Conversions", "n"],
    ["Spend", "n"],
    ["Value", "n"],
  ];
  return h(
    "div",
    { class: "table-scroll", role: "region", "aria-label": "What was seen", tabindex: "0" },
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
      h(
        "tbody",
        {},
        list.map(one =>
          h(
            "tr",
            {},
            cells(one).map(([text, kind]) => h("td", { class: kind }, text)),
          ),
        ),
      ),
    ),
  );
}

function terms(list, command) {
  if (!list.length) return null;
  return h(
    "details",
    {},
    h("summary", { "data-focus": `terms ${command.command_id}` }, `The ${list.length} numbers it was computed from`),
    h(
      "dl",
      { class: "terms" },
      list.map(one => h("div", {}, h("dt", {}, term(one.name)), h("dd", {}, termValue(one, command)))),
    ),
  );
}

function termValue({ name, value }, command) {
  if (name.endsWith("_micro_nats")) {
    const factor = Math.exp(value / 1e6);
    return name.includes("log_bid") || name.includes("mean_cap")
      ? moneyText(Math.round(factor), command.currency)
      : `${((factor - 1) * 100).toFixed(2)} %`;
  }
  if (name.endsWith("_micros")) return moneyText(value, command.currency);
  if (name.endsWith("_ppm")) return percent(value, 2);
  if (name.endsWith("_ms")) return duration(value);
  return count(name.endsWith("_micro") ? value / 1e6 : value);
}
