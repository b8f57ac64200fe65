// Two policies side by side on live campaigns: what each arm brought, how large the difference is, and whether it may be
// believed yet. The numbers are those of the service's own test, which may be looked at every day.

import * as api from "./api.js";
import { h, replace } from "./dom.js";
import { count, counted, date, duration, isKnown, missing, range, share, significant } from "./format.js";
import { currencyOf, listen, now } from "./live.js";
import { empty, reading } from "./states.js";
import { Words, words } from "./words.js";

/** Experiments move once a day and campaign; this is often enough to be believed as live. */
const REREAD_MS = 30_000;
const DAY_MS = 86_400_000;

const VERDICTS = {
  planned: ["", "planned"],
  running: ["", "running"],
  decided: ["good", "decided"],
  void: ["bad", "void"],
  over: ["warn", "over, no difference proven"],
};

export const title = () => "Experiments";

export function mount(root, route, signal) {
  const found = h("p", { class: "found", role: "status" });
  const list = h("div", { class: "cards" });
  const legend = h("p", { class: "hint legend-line" }, LEGEND);
  root.append(
    h("h1", { tabindex: "-1" }, "Experiments"),
    h(
      "p",
      { class: "lead" },
      "Two policies on live campaigns, taking turns by whole local days. You may look every day: where arms are equal, an experiment stops by mistake no more often than its error allows.",
    ),
    found,
  );
  const reread = reading(
    root,
    signal,
    () => api.get("/experiments", signal),
    (data, place) => {
      if (!list.isConnected) place.append(list, legend);
      const all = data.experiments;
      replace(found, all.length ? counted(all.length, "experiment") : []);
      legend.hidden = !all.length;
      replace(
        list,
        all.length
          ? all.map(card)
          : empty(
              "No experiment of an account that has campaigns stands in the policy.",
              "An [[experiment]] block in the policy file compares two policies on live campaigns: paceline policy apply FILE.",
            ),
      );
    },
  );
  const timer = setInterval(reread, REREAD_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  listen("resync", reread, signal);
  listen("alert", alert => alert.kind === "experiment_over" && reread(), signal);
}

const LEGEND =
  "Difference: of an arm against the first, as a share of what the campaigns' own days let expect; the interval holds at every look. Doubt: the always-valid p-value, how often equal arms would ever look this different. Loops remember yesterday, so an effect that lasts into the next day is seen smaller than it is.";

function card(one) {
  const [tone, verdict] = VERDICTS[one.verdict] ?? ["", words(one.verdict)];
  return h(
    "article",
    { class: "card" },
    h(
      "div",
      { class: "card-head" },
      h(
        "div",
        { class: "grow" },
        h("h2", {}, one.id, " ", h("span", { class: `verdict ${tone}` }, verdict)),
        h("span", { class: "sub" }, `${one.account_id} \u00b7 ${inWords(one)} \u00b7 ${span(one)} \u00b7 each day judged ${counted(one.mature_days, "day")} after it`),
      ),
    ),
    h("p", { class: "note-text" }, outcome(one)),
    arms(one),
  );
}

/** What is counted for a day, in words. */
function inWords(one) {
  const [what, by] = one.metric.split("_per_");
  return `${words(what)} per ${currencyOf(one.account_id) ?? "unit"} ${by === "spend" ? "spent" : "of budget"}`;
}

const at = text => Date.parse(`${text}T00:00:00Z`);

function span(one) {
  const ends = at(one.start) + (one.days - 1) * DAY_MS;
  const today = Math.floor((now() - at(one.start)) / DAY_MS) + 1;
  const far = one.verdict === "running" && today > 0 && today <= one.days ? `day ${today} of ${one.days}` : counted(one.days, "day");
  return `${range(date(at(one.start)), date(ends))} (${far})`;
}

/** What it says today, as a sentence. */
function outcome(one) {
  if (one.verdict === "planned")
    return at(one.start) > now()
      ? `It begins on ${date(at(one.start))}, in ${duration(at(one.start) - now())}.`
      : "No day of it has been judged yet.";
  if (one.verdict === "void")
    return "Days did not fall into the arms as planned, so nothing may be concluded. Look for campaigns that were left out of one arm.";
  const on = one.decided_on ? ` since ${date(at(one.decided_on))}` : "";
  if (one.verdict === "decided") return `\u201c${one.winner}\u201d is better; that is certain enough${on}.`;
  const judged = one.arms.reduce((sum, arm) => sum + arm.days_judged, 0);
  if (one.verdict === "over") return `Its days are over, and ${count(judged)} days of campaigns tell no arm apart.`;
  const mature = counted(one.mature_days, "day");
  if (!judged) return `No day of it has been judged yet: a day is judged ${mature} after it ended.`;
  return one.comparisons.some(comparison => comparison.effect)
    ? `No difference is proven yet, after ${counted(judged, "day")} of campaigns.`
    : `${counted(judged, "day")} of campaigns judged, and nothing compared yet: the first four days of a campaign only say what to expect of it.`;
}

const HEADS = ["Arm", "Difference", "Doubt", null, "Days judged", "Share"];

const cell = (label, ...inside) => h("td", { role: "cell", class: "n", "data-label": label }, ...inside);

function arms(one) {
  const measure = Words(inWords(one));
  const against = new Map(one.comparisons.map(comparison => [comparison.arm, comparison]));
  const row = (arm, index) =>
    h(
      "tr",
      { role: "row" },
      h("th", { scope: "row", role: "rowheader", class: "name" }, arm.name, arm.name === one.winner ? h("span", { class: "tag" }, "better") : null),
      cell(HEADS[1], index ? effect(against.get(arm.name)) : h("span", { class: "missing" }, "compared with")),
      cell(HEADS[2], index ? doubt(against.get(arm.name), one) : h("span", { class: "missing" }, "compared with")),
      cell(measure, isKnown(arm.mean) ? significant(arm.mean) : missing("no day judged yet")),
      cell(HEADS[4], count(arm.days_judged)),
      cell(HEADS[5], share(arm.share)),
    );
  return h(
    "div",
    { class: "table-scroll", role: "region", "aria-label": `Arms of ${one.id}`, tabindex: "0" },
    h(
      "table",
      { class: "small", role: "table" },
      h(
        "thead",
        { role: "rowgroup" },
        h(
          "tr",
          { role: "row" },
          HEADS.map((text, at) => h("th", { scope: "col", role: "columnheader", class: at ? "n" : null }, text ?? measure)),
        ),
      ),
      h("tbody", { role: "rowgroup" }, one.arms.map(row)),
    ),
  );
}

/** How much better or worse than the first arm, with where it may lie. */
function effect(comparison) {
  const found = comparison?.effect;
  if (!found) return missing("no two days to compare yet");
  return [signed(found.mid), h("span", { class: "sub" }, range(signed(found.low), signed(found.high)))];
}

const signed = part => `${part > 0 ? "+" : ""}${share(part, 1)}`;

/** How often equal arms would look this different, at any time of looking. */
function doubt(comparison, one) {
  if (!comparison?.effect || !isKnown(comparison.p_value)) return missing("nothing compared yet");
  const p = comparison.p_value;
  return [
    p < 0.001 ? "under 0.001" : p.toFixed(3),
    h("span", { class: "sub" }, p <= one.alpha ? "believed" : `not yet: believed at ${one.alpha} or less`),
  ];
}
