// What a person may change: each asks for a reason, says what will happen, and then tells what was sent, not what was
// hoped for. The result shows in the views when the service has applied it.

import * as api from "./api.js";
import { h } from "./dom.js";
import { Words, words } from "./words.js";

/** Asks for a reason and confirmation; null where the person thought better of it. */
export function ask({ heading, text, confirm, danger, extra, suggest }) {
  return new Promise(resolve => {
    const reason = h("input", {
      id: "reason",
      name: "reason",
      type: "text",
      required: true,
      maxlength: 500,
      autocomplete: "off",
      value: suggest ?? "",
      "aria-describedby": "reason-help",
    });
    const close = value => {
      dialog.close();
      dialog.remove();
      resolve(value);
    };
    const submit = event => {
      event.preventDefault();
      const given = reason.value.trim();
      if (!given) {
        reason.setCustomValidity("Say why, in a few words.");
        reason.reportValidity();
        reason.setCustomValidity("");
        return;
      }
      close({ reason: given, form: Object.fromEntries(new FormData(event.currentTarget)) });
    };
    const dialog = h(
      "dialog",
      {
        "aria-labelledby": "ask-heading",
        on: {
          cancel: event => {
            event.preventDefault();
            close(null);
          },
        },
      },
      h(
        "form",
        { method: "dialog", novalidate: true, on: { submit } },
        h("h2", { id: "ask-heading" }, heading),
        text ? h("p", {}, text) : null,
        extra,
        h("label", { for: "reason" }, "Reason"),
        reason,
        h("p", { class: "hint", id: "reason-help" }, "Kept in the audit beside your name."),
        h(
          "div",
          { class: "buttons" },
          h("button", { type: "button", on: { click: () => close(null) } }, "Cancel"),
          h("button", { type: "submit", class: danger ? "danger" : "primary" }, confirm),
        ),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
    (dialog.querySelector("[data-first]") ?? reason).focus();
  });
}

/** Halts a scope; without one the person chooses. */
export async function halt(scope, accounts = []) {
  const given = await ask({
    heading: scope ? `Halt ${scopeWords(scope)}?` : "Halt",
    text: "Spending stops as soon as the ad-buying systems obey: what runs is paused, nothing is raised, and it stays so until somebody releases it.",
    extra: scope ? null : chooseScope(accounts),
    confirm: "Halt",
    danger: true,
  });
  if (!given) return;
  await send(
    "/halts",
    { scope: scope ?? given.form.scope, reason: given.reason },
    `Halt of ${scopeWords(scope ?? given.form.scope)}`,
  );
}

/** Releases a halted scope. */
export async function release(scope) {
  const text = "Paceline decides again, and what the halt paused is resumed where nothing else holds it.";
  const given = await ask({ heading: `Release ${scopeWords(scope)}?`, text, confirm: "Release" });
  if (given) await send("/halts/release", { scope, reason: given.reason }, `Release of ${scopeWords(scope)}`);
}

/** Approves or rejects proposals; answers the outcome of each id. */
export async function decide(ids, action, what) {
  const many = ids.length > 1;
  const given = await ask({
    heading: many ? `${Words(action)} ${ids.length} proposals?` : `${Words(action)} this proposal?`,
    text:
      what ??
      (action === "approve"
        ? "Each passes the guard once more with the figures of then; what is out of date by then is not issued."
        : "The values in force stay."),
    confirm: many ? `${Words(action)} ${ids.length}` : Words(action),
    danger: action === "reject",
  });
  if (!given) return [];
  const [path, body] = many
    ? ["/proposals/bulk", { ids, action, reason: given.reason }]
    : [`/proposals/${encodeURIComponent(ids[0])}/${action}`, { reason: given.reason }];
  return send(path, body, `${Words(action)}`);
}

/** Takes a command back: first what that would do now, then the word. */
export async function undo(id, show) {
  let shown;
  try {
    shown = await api.get(`/adjustments/${encodeURIComponent(id)}/undo`);
  } catch (error) {
    return tellBriefly(`The command cannot be looked up: ${error.message}`, "bad");
  }
  if (!shown.possible)
    return tellBriefly(
      shown.possible_reason === "not_the_last"
        ? "It is not the last word on this value any more: a later command, another hand or a day has passed over it."
        : `It cannot be taken back now: ${words(shown.possible_reason)}.`,
      "bad",
    );
  const goes = {
    command: "It goes out as a command, as far as the guard lets it.",
    proposal: "It becomes a proposal that another person decides.",
    record: "The campaign is only observed: it is recorded and nothing goes out.",
  }[shown.goes_as];
  const alone = shown.left_alone_hours ? ` Then the value is left alone for ${shown.left_alone_hours} hours.` : "";
  const given = await ask({
    heading: "Take this command back?",
    text: `${show(shown)}. ${goes}${alone}`,
    confirm: "Take back",
  });
  if (given) await send(`/adjustments/${encodeURIComponent(id)}/undo`, { reason: given.reason }, "Undo");
}

/** A scope as people say it. */
export function scopeWords(scope) {
  if (scope === "global") return "everything";
  if (scope === "integrity") return "the integrity hold";
  const [level, id] = String(scope).split("=");
  return `${level} ${id}`;
}

/** Tells something in the corner, aloud for screen readers. */
export function tellBriefly(text, kind = "good") {
  const host = document.getElementById("notices");
  const notice = h(
    "div",
    { class: `notice notice-${kind}` },
    h("p", {}, text),
    h("button", { type: "button", "aria-label": "Dismiss", on: { click: () => notice.remove() } }, "\u00d7"),
  );
  host.append(notice);
  while (host.children.length > 4) host.firstElementChild.remove();
  if (kind === "good") setTimeout(() => notice.remove(), 8000);
}

async function send(path, body, what) {
  try {
    const { sent = [] } = await api.post(path, body);
    const refused = sent.filter(one => one.outcome !== "sent");
    if (sent.length > refused.length || !sent.length)
      tellBriefly(
        `${what}: sent${sent.length > 1 ? ` (${sent.length - refused.length})` : ""}. It shows here once it is applied.`,
      );
    for (const one of refused.slice(0, 3))
      tellBriefly(`${what}: ${Words(one.outcome).toLowerCase()} (${one.subject}).`, "bad");
    return sent;
  } catch (error) {
    tellBriefly(`${what} was not sent: ${error.message}`, "bad");
    return [];
  }
}

function chooseScope(accounts) {
  const options = [
    ["global", "Everything"],
    ...accounts.map(one => [`account=${one.account_id}`, `Account ${one.account_id}`]),
  ];
  return [
    h("label", { for: "scope" }, "What"),
    h(
      "select",
      { id: "scope", name: "scope", "data-first": true },
      options.map(([value, text]) => h("option", { value }, text)),
    ),
    h("p", { class: "hint" }, "A single campaign is halted on its own page."),
  ];
}
