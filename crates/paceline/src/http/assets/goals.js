// Goals of accounts: what is to be reached by when, how far it is, how likely, and what it would take from now on.

import { h } from "./dom.js";
import { amount, date, isKnown, measure, moneyText, percent, range } from "./format.js";
import { nothingYet, takes, verdictOf } from "./portfolio-columns.js";
import { Words } from "./words.js";

/** The section, or nothing where the policy sets no goal for what is shown. */
export function accountGoals(overview, account) {
  const list = (overview?.goals ?? []).filter(one => !account || one.account_id === account);
  if (!list.length) return null;
  return h(
    "section",
    { "aria-label": "Goals of accounts" },
    h("h2", {}, list.length === 1 ? "Goal of the account" : "Goals of accounts"),
    h("div", { class: "cards goal-cards" }, list.map(card)),
  );
}

function card(one) {
  const { goal } = one;
  const show = value => measure(value, goal.unit, one.currency, goal.metric);
  const sign = goal.direction === "at_most" ? "at most" : "at least";
  return h(
    "article",
    { class: "card goal-card" },
    h(
      "h3",
      {},
      one.name,
      h("small", {}, `${one.account_id}, campaigns in ${one.currency}`),
    ),
    h("p", {}, `${Words(goal.metric)} ${sign} `, h("b", {}, show(goal.target)), ` before ${date(goal.deadline)}`),
    bar(goal),
    h(
      "p",
      {},
      isKnown(goal.actual) ? [h("b", {}, show(goal.actual)), ` since ${date(one.from)} `] : `No figure: ${nothingYet(goal.metric)} `,
      verdictOf(goal),
    ),
    h("p", { class: "sub" }, outlook(one, show)),
    needed(one) ? h("p", { class: "sub" }, needed(one)) : null,
  );
}

/** How much of a total is there, where reaching it is the goal. */
function bar(goal) {
  const isTotal = goal.unit !== "ppm" && !["cpa", "cpc", "cpm"].includes(goal.metric);
  if (!isTotal || !isKnown(goal.actual) || !(goal.target > 0)) return null;
  const share = Math.min(100, (100 * goal.actual) / goal.target);
  return h("meter", {
    min: 0,
    max: 100,
    value: share.toFixed(1),
    "aria-label": `${percent((1e6 * goal.actual) / goal.target, 0)} of the target`,
  });
}

function outlook(one, show) {
  const { goal } = one;
  if (goal.standing === "met") return "Nothing can change that any more.";
  if (goal.standing === "missed") return "The deadline is past, or nothing can reach it any more.";
  if (!isKnown(goal.chance_ppm)) return "Its chance is told from three closed days on.";
  const chance = `Chance ${Math.round(goal.chance_ppm / 10_000)} in 100`;
  if (!isKnown(goal.ends_mid)) return `${chance}.`;
  const bare = value => (goal.unit === "micros" ? amount(value, one.currency) : show(value));
  return `${chance}: it will end near ${show(goal.ends_mid)}, four times in five within ${range(bare(goal.ends_low), bare(goal.ends_high))}.`;
}

/** What it would take from now on; silent where the goal is settled. */
function needed(one) {
  const text = takes({ goal: one.goal, currency: one.currency });
  if (!text || ["met", "missed"].includes(one.goal.standing)) return null;
  const spend = one.goal.needs.spend_day_micros;
  const cost = isKnown(spend) ? `; about ${moneyText(spend, one.currency)} a day, at the assumed elasticity` : "";
  return `${Words(text)}${cost}.`;
}
