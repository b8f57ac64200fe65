// Who did what, when and why: what was sent through this service by people, newest first.

import * as api from "./api.js";
import { h, replace, calmly } from "./dom.js";
import { count, time } from "./format.js";
import { listen } from "./live.js";
import { empty, reading } from "./states.js";
import { liveTable } from "./table.js";
import { Words } from "./words.js";

const ROWS = 100;

export const title = () => "Audit";

export function mount(root, route, signal) {
  const found = h("p", { class: "found", role: "status" });
  const table = liveTable({
    caption: "Audit",
    columns: columns(),
    keyOf: row => `${row.at} ${row.action} ${row.subject} ${row.actor}`,
  });
  const more = h(
    "button",
    {
      type: "button",
      class: "more",
      on: {
        click: () => {
          wanted += ROWS;
          reread();
        },
      },
    },
    "Show more",
  );
  let wanted = ROWS;
  root.append(
    h("h1", { tabindex: "-1" }, "Audit"),
    h("p", { class: "lead" }, "Every change that a person asked for, with the reason given. Times are UTC."),
    found,
  );
  const reread = reading(
    root,
    signal,
    () => api.get(`/audit${api.query({ limit: Math.min(500, wanted) })}`, signal),
    (data, place) => {
      if (!table.element.isConnected) place.append(table.element, more);
      table.set(data.entries, empty("Nobody has changed anything yet."));
      more.hidden = !data.next || wanted >= 500;
      replace(found, `${count(data.total)} ${data.total === 1 ? "entry" : "entries"}`);
    },
  );
  const soon = calmly(300, reread);
  for (const type of ["proposal", "halts", "resync"]) listen(type, soon, signal);
}

function columns() {
  return [
    { label: "When", class: "when", cell: row => time(row.at, "UTC") },
    { label: "Who", class: "name", cell: row => [row.actor, h("span", { class: "sub" }, row.role)] },
    { label: "Action", cell: row => Words(row.action) },
    { label: "Of what", class: "text", cell: row => h("code", {}, row.subject) },
    { label: "Reason", class: "text", cell: row => row.reason || "none given" },
    { label: "Outcome", cell: row => Words(row.outcome) },
  ];
}
