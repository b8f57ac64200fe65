// What stands beside a campaign's charts: its figures, why nothing is done, who held it, what was noticed.

import { help } from "./alert-help.js";
import { h } from "./dom.js";
import { count, counted, instant, isKnown, missing, money, moneyText, time } from "./format.js";
import { goal, spread, takes } from "./portfolio-columns.js";
import { matching } from "./rules.js";
import { Words, holder, limit, whyNothing, words } from "./words.js";

export function tiles(one) {
  const cash = (micros, reason) => money(micros, one.currency, reason);
  const between = forecast => (forecast ? spread(forecast, one.currency) : null);
  const budget = isKnown(one.flight_budget_micros) ? ` of ${moneyText(one.flight_budget_micros, one.currency)}` : "";
  const flight = one.flight_end ? `until ${instant(one.flight_end, one.time_zone)}` : "no end is set";
  return [
    tile(
      "Spent today",
      cash(one.spend_day_micros),
      isKnown(one.plan_micros) ? `plan by now ${moneyText(one.plan_micros, one.currency)}` : "no plan yet",
    ),
    tile(
      "Budget today",
      cash(one.budget_day_micros, "no_budget"),
      one.binding && one.binding !== "none" ? `limited by ${limit(one.binding)}` : "nothing limits it",
    ),
    tile(
      "Day will end at",
      cash(one.forecast_day?.mid_micros, one.forecast_day_reason),
      between(one.forecast_day) ?? "if nothing were changed",
    ),
    tile(
      "Flight will end at",
      cash(one.forecast_flight?.mid_micros, one.forecast_flight_reason),
      one.forecast_flight ? `${between(one.forecast_flight)}${budget}, ${flight}` : `${flight}${budget && `,${budget}`}`,
    ),
    tile(
      "Goal",
      goal(one),
      [one.goal?.deadline ? `by ${instant(one.goal.deadline, one.time_zone)}` : null, takes(one)]
        .filter(Boolean)
        .join("; ") || null,
    ),
    tile(
      "Bid",
      cash(one.bid_micros, "no bid known"),
      !isKnown(one.bid_confirmed_micros)
        ? "not confirmed by the platform"
        : one.bid_confirmed_micros === one.bid_micros
          ? "confirmed by the platform"
          : `the platform still has ${moneyText(one.bid_confirmed_micros, one.currency)}`,
    ),
    tile(
      "Seen today",
      [h("span", { class: "figure" }, count(one.impressions_day)), h("span", { class: "unit" }, one.impressions_day === 1 ? " impression" : " impressions")],
      `${counted(one.clicks_day, "click")}, ${counted(one.conversions_day, "conversion")} worth ${moneyText(one.value_day_micros, one.currency)}`,
    ),
  ];
}

const tile = (name, figure, more) =>
  h(
    "section",
    { class: "total", "aria-label": name },
    h("p", { class: "sub" }, name),
    h("div", { class: "total-figure" }, figure),
    more ? h("p", { class: "sub" }, more) : null,
  );

/** Why the last look led to nothing, lever by lever. */
export function nothing(one) {
  const whys = one.why_nothing ?? [];
  const ruled = matching(one);
  const said = ruled.length ? h("ul", { class: "ruled" }, ruled) : null;
  const waits = (one.proposals ?? []).some(other => other.state === "proposed")
    ? h(
        "p",
        {},
        "A proposal waits for a person: ",
        h("a", { href: "#/proposals", "data-focus": "decide" }, "decide"),
        ".",
      )
    : null;
  if (!whys.length)
    return h(
      "section",
      { class: "aside" },
      h("h2", {}, "Now"),
      h(
        "p",
        {},
        one.mode === "observe"
          ? "Paceline only observes this campaign: it computes and changes nothing."
          : "Nothing keeps Paceline from acting; the next command comes when a change is worth making.",
      ),
      said,
      waits,
    );
  return h(
    "section",
    { class: "aside" },
    h("h2", {}, "Why nothing is done now"),
    h(
      "ul",
      {},
      whys.map(why => h("li", {}, whyNothing(why))),
    ),
    said,
    one.mode === "observe" ? h("p", {}, "Besides, this campaign is only observed.") : null,
    waits,
  );
}

export function holders(one) {
  const list = one.holders ?? [];
  const zone = one.time_zone;
  const row = spell =>
    h(
      "tr",
      {},
      h("td", {}, h("b", {}, Words(holder(spell.holder)))),
      h("td", {}, spell.holds ? "holds it" : "let go"),
      h("td", {}, isKnown(spell.since) ? time(spell.since, zone) : missing(spell.since_reason)),
      h(
        "td",
        {},
        isKnown(spell.until)
          ? [spell.holds ? "at the latest " : "", time(spell.until, zone)]
          : spell.holds
            ? "until it is released"
            : missing("not_recorded"),
      ),
      h("td", {}, spell.reason ? words(spell.reason) : ""),
    );
  return h(
    "section",
    {},
    h("h2", {}, "Who held it"),
    keeping(one),
    list.length
      ? h(
          "div",
          { class: "table-scroll", role: "region", "aria-label": "Who held it", tabindex: "0" },
          h(
            "table",
            { class: "small" },
            h(
              "thead",
              {},
              h(
                "tr",
                {},
                ["Holder", "State", "Since", "Until", "Why"].map(text => h("th", { scope: "col" }, text)),
              ),
            ),
            h("tbody", {}, list.map(row)),
          ),
        )
      : h("p", { class: "hint" }, "No pause or hold is known of this campaign."),
  );
}

/** Values that somebody keeps as they are now; pauses stand in the list above. */
function keeping(one) {
  const list = (one.holds ?? []).filter(hold => hold.lever !== "state");
  if (!list.length) return null;
  const line = hold =>
    h(
      "li",
      {},
      h("b", {}, Words(hold.lever)),
      ` is left as ${holder(hold.holder)} set it, since `,
      time(hold.since, one.time_zone),
      isKnown(hold.until) ? [" until ", time(hold.until, one.time_zone)] : null,
    );
  return h("ul", { class: "holds" }, list.map(line));
}

export function alerts(one) {
  const list = one.alerts ?? [];
  const item = alert =>
    h(
      "li",
      { class: `alert-${alert.state}` },
      h("span", { class: `severity ${alert.severity}` }, Words(alert.severity)),
      " ",
      h("b", {}, Words(alert.kind)),
      ` ${words(alert.state)}, `,
      time(alert.updated_at, one.time_zone),
      h("p", {}, alert.text),
      alert.state === "resolved" || !help(alert.kind) ? null : h("p", { class: "sub" }, h("b", {}, "To do: "), help(alert.kind).todo),
    );
  const open = list.filter(alert => alert.state !== "resolved");
  const past = list.filter(alert => alert.state === "resolved").slice(0, 30);
  return h(
    "section",
    {},
    h("h2", {}, "Alerts"),
    open.length
      ? h("ul", { class: "alerts" }, open.map(item))
      : h("p", { class: "hint" }, list.length ? "No alert is open." : "No alert about this campaign."),
    past.length
      ? h(
          "details",
          {},
          h("summary", { "data-focus": "past alerts" }, `${past.length} resolved`),
          h("ul", { class: "alerts" }, past.map(item)),
        )
      : null,
  );
}
