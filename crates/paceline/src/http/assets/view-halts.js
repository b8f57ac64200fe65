// What is stopped, by whom, why and since when; stopping and releasing.

import { halt, release, scopeWords } from "./act.js";
import { h, replace } from "./dom.js";
import { duration, isKnown, missing, time } from "./format.js";
import { known, listen, may, mayRelease, now } from "./live.js";
import { empty } from "./states.js";

export const title = () => "Halts";

export function mount(root, route, signal) {
  const list = h("div", { class: "cards" });
  root.append(
    h(
      "div",
      { class: "title-row" },
      h("h1", { tabindex: "-1" }, "Halts"),
      may("halt")
        ? h(
            "button",
            { type: "button", class: "danger", on: { click: () => halt(null, known.overview?.accounts) } },
            "Halt\u2026",
          )
        : null,
    ),
    h(
      "p",
      { class: "lead" },
      "A halt pauses what runs in its scope and lets nothing be raised, until a person releases it. It works without the dashboard too: paceline halt and paceline release.",
    ),
    list,
  );
  list.addEventListener("click", event => {
    const scope = event.target.closest("button[data-scope]")?.dataset.scope;
    if (scope) release(scope);
  });
  const draw = () =>
    replace(
      list,
      known.halts === null
        ? h("p", { class: "loading", role: "status" }, "Reading\u2026")
        : known.halts.length
          ? known.halts.map(card)
          : empty("Nothing is halted.", "Every campaign runs as its mode says."),
    );
  draw();
  listen("halts", draw, signal);
  listen("overview", draw, signal);
}

function card(one) {
  return h(
    "article",
    { class: "card halt-card" },
    h(
      "div",
      { class: "card-head" },
      h(
        "div",
        { class: "grow" },
        h("h2", {}, `${scopeWords(one.scope).replace(/^./, letter => letter.toUpperCase())} is halted`),
        h("p", {}, one.reason || missing(one.actor_reason ?? "not_recorded")),
        h(
          "p",
          { class: "sub" },
          "by ",
          one.actor ?? missing(one.actor_reason),
          ", since ",
          time(one.since, "UTC"),
          isKnown(one.since) && now() > one.since ? ` (${duration(now() - one.since)})` : "",
        ),
      ),
      mayRelease(one.scope)
        ? h(
            "button",
            { type: "button", "data-scope": one.scope, "data-focus": `release ${one.scope}` },
            "Release\u2026",
            h("span", { class: "spoken" }, ` ${scopeWords(one.scope)}`),
          )
        : null,
    ),
  );
}
