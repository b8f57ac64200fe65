// What waits for a person: each with what, why, what is expected, what happens without it, and by when. One or many.

import * as api from "./api.js";
import { decide } from "./act.js";
import { h, replace, calmly } from "./dom.js";
import { duration, instant, isKnown } from "./format.js";
import { listen, may, now } from "./live.js";
import { empty, reading } from "./states.js";
import { direction, effect, facts, note, title as what } from "./why.js";
import { Words, guardEdit, words } from "./words.js";

export const title = () => "Proposals";

export function mount(root, route, signal) {
  const state = { shown: route.query.get("state") ?? "proposed", chosen: new Set(), sent: new Map() };
  const bar = h("div", { class: "bulk", role: "group", "aria-label": "Many at once" });
  const list = h("div", { class: "cards" });
  let proposals = [];
  let campaigns = {};
  const canDecide = may("approve") || may("reject");

  const draw = () => {
    const open = proposals.filter(one => one.state === "proposed" && !state.sent.has(one.command_id));
    for (const id of state.chosen) if (!open.some(one => one.command_id === id)) state.chosen.delete(id);
    for (const id of state.sent.keys())
      if (!proposals.some(one => one.command_id === id && one.state === "proposed")) state.sent.delete(id);
    replace(bar, canDecide && open.length ? bulk(open, state) : []);
    replace(list, proposals.length ? proposals.map(one => card(one, state, canDecide, campaigns[`${one.account_id}/${one.campaign_id}`])) : nothing(state.shown));
    for (const box of list.querySelectorAll("input[type=checkbox]")) box.checked = state.chosen.has(box.value);
  };
  const act = async (ids, action) => {
    for (const one of await decide(ids, action)) if (one.outcome === "sent") state.sent.set(one.subject, action);
    draw();
  };
  list.addEventListener("change", event => {
    if (event.target.type !== "checkbox") return;
    if (event.target.checked) state.chosen.add(event.target.value);
    else state.chosen.delete(event.target.value);
    draw();
  });
  root.addEventListener(
    "click",
    event => {
      const button = event.target.closest("button[data-action]");
      if (!button) return;
      const { action, id } = button.dataset;
      if (action === "all") {
        const open = proposals
          .filter(one => one.state === "proposed" && !state.sent.has(one.command_id))
          .map(one => one.command_id);
        state.chosen = state.chosen.size === open.length ? new Set() : new Set(open);
        draw();
      } else act(id ? [id] : [...state.chosen], action);
    },
    { signal },
  );

  const shown = h(
    "select",
    {
      id: "shown",
      on: {
        change: event => {
          state.shown = event.currentTarget.value;
          history.replaceState(null, "", `#/proposals${api.query({ state: state.shown })}`);
          reread();
        },
      },
    },
    [
      ["proposed", "Waiting"],
      ["all", "All"],
    ].map(([value, text]) => h("option", { value, selected: value === state.shown }, text)),
  );
  root.append(
    h("h1", { tabindex: "-1" }, "Proposals"),
    h(
      "p",
      { class: "lead" },
      "Changes that Paceline would make and may not without a person. Unanswered ones expire, and nothing changes.",
    ),
    h("div", { class: "filters" }, h("div", { class: "field" }, h("label", { for: "shown" }, "Show"), shown)),
    bar,
  );
  const reread = reading(
    root,
    signal,
    () => api.get(`/proposals${api.query({ state: state.shown, limit: 200 })}`, signal),
    (data, place) => {
      if (!list.isConnected) place.append(list);
      proposals = data.proposals;
      campaigns = data.campaigns ?? {};
      draw();
    },
  );
  const soon = calmly(150, reread);
  listen("proposal", soon, signal);
  listen("resync", soon, signal);
}

function nothing(shown) {
  return shown === "proposed"
    ? empty(
        "Nothing waits for you.",
        "Campaigns in mode approve, and changes beyond what a campaign may do by itself, ask here.",
      )
    : empty("No proposal so far.");
}

function bulk(open, state) {
  const chosen = state.chosen.size;
  const all = h(
    "button",
    { type: "button", "data-action": "all", "data-focus": "all" },
    chosen === open.length ? "Choose none" : `Choose all ${open.length}`,
  );
  return [
    all,
    h("span", { class: "hint", role: "status" }, chosen ? `${chosen} chosen` : "None chosen"),
    h(
      "button",
      { type: "button", class: "primary", "data-action": "approve", "data-focus": "bulk approve", disabled: !chosen },
      "Approve chosen\u2026",
    ),
    h(
      "button",
      {
        type: "button",
        class: "danger quiet",
        "data-action": "reject",
        "data-focus": "bulk reject",
        disabled: !chosen,
      },
      "Reject chosen\u2026",
    ),
  ];
}

/** One proposal; `campaign` is its name and time zone, where this process knows it. */
export function card(one, state, canDecide, campaign) {
  const zone = campaign?.time_zone || "UTC";
  const name = campaign?.name || one.campaign_id;
  const id = one.command_id;
  const isOpen = one.state === "proposed";
  const sent = state.sent.get(id);
  const edits = one.explanation?.guard_edits ?? [];
  const heading = h(
    "h2",
    { id: `p-${id}` },
    h("span", { class: `arrow arrow-${direction(one)}`, "aria-hidden": "true" }),
    what(one),
  );
  const link = `#/campaign/${encodeURIComponent(one.account_id)}/${encodeURIComponent(one.campaign_id)}`;
  return h(
    "article",
    { class: `card state-${one.state}`, "aria-labelledby": `p-${id}` },
    h(
      "div",
      { class: "card-head" },
      isOpen && canDecide
        ? h(
            "label",
            { class: "choose" },
            h("input", { type: "checkbox", value: id, "data-focus": `choose ${id}`, disabled: Boolean(sent) }),
            h("span", { class: "spoken" }, `Choose ${what(one)} of ${name}`),
          )
        : null,
      h(
        "div",
        { class: "grow" },
        heading,
        h(
          "p",
          { class: "sub" },
          h("a", { href: link, "data-focus": `to ${id}` }, name),
          [name === one.campaign_id ? null : one.campaign_id, one.account_id, words(one.reason)]
            .filter(Boolean)
            .map(part => ` \u00b7 ${part}`)
            .join(""),
        ),
      ),
      h("p", { class: "due" }, isOpen ? due(one, zone) : Words(one.state)),
    ),
    h("p", { class: "note-text" }, one.explanation?.text),
    facts([
      ["Expected", effect(one)],
      ["Without it", one.explanation?.without || "not recorded"],
      ["The guard", edits.length ? edits.map(guardEdit).join(", ") : "changed nothing"],
      ["Asked", instant(one.issued_at, zone)],
      ["Decide by", isKnown(one.decide_by) ? instant(one.decide_by, zone) : "no limit is set"],
    ]),
    h("details", {}, h("summary", { "data-focus": `why ${id}` }, "Every number behind it"), note(one, zone)),
    isOpen && canDecide
      ? h(
          "div",
          { class: "buttons" },
          sent
            ? h(
                "p",
                { class: "hint", role: "status" },
                `${sent === "approve" ? "Approval" : "Rejection"} sent; not applied yet.`,
              )
            : [
                h(
                  "button",
                  {
                    type: "button",
                    class: "primary",
                    "data-action": "approve",
                    "data-id": id,
                    "data-focus": `approve ${id}`,
                  },
                  "Approve\u2026",
                  h("span", { class: "spoken" }, ` ${what(one)} of ${name}`),
                ),
                h(
                  "button",
                  {
                    type: "button",
                    class: "danger quiet",
                    "data-action": "reject",
                    "data-id": id,
                    "data-focus": `reject ${id}`,
                  },
                  "Reject\u2026",
                  h("span", { class: "spoken" }, ` ${what(one)} of ${name}`),
                ),
              ],
        )
      : null,
  );
}

function due(one, zone) {
  if (!isKnown(one.decide_by)) return "no limit";
  const left = one.decide_by - now();
  return h(
    "span",
    { title: instant(one.decide_by, zone) },
    left > 0 ? `expires in ${duration(left)}` : "about to expire",
  );
}
