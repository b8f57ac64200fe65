// What users' rules said of a campaign at their last instant: which hold, what came of it, and what each asks.

import { h } from "./dom.js";
import { duration, isKnown } from "./format.js";
import { Words, guardEdit, heldBack, words } from "./words.js";

/** Words of a rule that holds, as what came of it; another word is what held it back. */
const CAME = {
  issued: "acted: a command went out",
  proposed: "proposed: a person decides",
  observed: "would have acted; it only observes",
  alerted: "holds: its alert is open",
  cooling_down: "holds, and has spoken already: it waits for its cool-down",
  lost: "holds, but lost",
  nothing_in_force: "holds, but no value in force is known to start from",
};
const NOT = {
  no_match: "does not hold",
  absent: "cannot tell: a figure is not known",
  too_little: "waits: too little was seen",
};

/** One sentence: what came of it. */
export const cameOf = said => CAME[said.word] ?? NOT[said.word] ?? `holds, but nothing goes out: ${heldBack(said.word)}`;

/** Rules that hold, as lines for "why". */
export function matching(one) {
  const line = said => {
    const did = said.action ? ` (${action(said.action)})` : "";
    const seen = said.word === "lost" ? ` ${said.detail}.` : `. Seen: ${said.detail}.`;
    return h("li", {}, "Rule ", h("b", {}, said.rule), ` ${cameOf(said)}${did}${seen}`);
  };
  return (one.rules ?? []).filter(said => said.matched).map(line);
}

/** The section of the campaign's page. */
export function rules(one) {
  const list = [...(one.rules ?? [])].sort((a, b) => Number(b.matched) - Number(a.matched));
  if (!list.length) return null;
  const row = said =>
    h(
      "tr",
      { role: "row" },
      h("th", { scope: "row", role: "rowheader", class: "name", "data-label": "Rule" }, h("b", {}, said.rule)),
      h(
        "td",
        { role: "cell", class: "text", "data-label": "Now" },
        h("span", { class: `verdict ${said.matched ? "warn" : ""}` }, Words(said.word === "lost" ? "holds, but a rule above it speaks" : cameOf(said))),
        said.action ? h("span", { class: "sub" }, Words(action(said.action))) : null,
      ),
      h("td", { role: "cell", class: "text", "data-label": "Figures" }, figures(said) || "n/a: none is read"),
      h(
        "td",
        { role: "cell", class: "text", "data-label": "Asks" },
        said.when
          ? [
              "When ",
              h("code", {}, said.when),
              h(
                "span",
                { class: "sub" },
                `then ${asks(said.then)}${said.then.startsWith("alert") ? "" : `, mode ${words(said.mode)}`}${isKnown(said.cool_down_ms) ? `, at most once in ${duration(said.cool_down_ms)}` : ""}`,
              ),
            ]
          : "The policy in force has this rule no more.",
      ),
    );
  return h(
    "section",
    {},
    h("h2", {}, "Rules", h("small", {}, "of the policy, asked every 5 minutes")),
    h(
      "div",
      { class: "table-scroll", role: "region", "aria-label": "Rules", tabindex: "0" },
      h(
        "table",
        { role: "table", class: "small" },
        h(
          "thead",
          { role: "rowgroup" },
          h("tr", { role: "row" }, ["Rule", "Now", "Figures", "Asks"].map(text => h("th", { scope: "col", role: "columnheader" }, text))),
        ),
        h("tbody", { role: "rowgroup" }, list.map(row)),
      ),
    ),
  );
}

/** What it looked at; where something was missing, that. */
function figures(said) {
  if (said.word === "too_little") return `Missing: ${words(said.detail)}`;
  if (said.word === "lost") return `Lost ${said.detail}`;
  return said.detail;
}

/** "set_bid 1.20 EUR (step_down)" in words. */
const action = text => text.replace(/^[a-z_]+/, kind => words(kind)).replace(/\(([a-z_]+)\)/g, (_, edit) => `(${guardEdit(edit)})`);

/** An action as the policy file spells it, in words. */
function asks(then) {
  const [verb, value] = then.split(" ");
  const change = factor => `${factor < 1 ? "\u2212" : "+"}${Math.round(Math.abs(factor - 1) * 100)}\u00a0%`;
  return (
    {
      scale_bid: `bid ${change(Number(value))}`,
      scale_budget: `daily budget ${change(Number(value))}`,
      set_bid: `bid ${value}`,
      set_budget: `daily budget ${value}`,
      pause: value === "day" ? "pause to the end of the day" : `pause for ${value}`,
      alert: `an alert, ${value}`,
    }[verb] ?? words(then)
  );
}
