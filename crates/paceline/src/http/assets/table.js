// A table that lives: rows are known by key and cells replaced only where they changed, so that nothing jumps under a
// person's eyes, focus or selection. Roles are spelt out because narrow screens show each row as a card.

import { h, replace } from "./dom.js";

/**
 * Columns are `{label, cell(row), class?, sort?, wide?}`. `onSort(key, order)` is called by the buttons of headers.
 * Returns `{element, set(rows, empty), patch(row), has(key), sorted(key, order)}`.
 */
export function liveTable({ caption, columns, keyOf, onSort, rowClass }) {
  const body = h("tbody", { role: "rowgroup" });
  const heads = columns.map(column => head(column, onSort));
  const element = h(
    "div",
    { class: "table-scroll", role: "region", "aria-label": caption, tabindex: "0" },
    h(
      "table",
      { role: "table" },
      h("caption", { class: "spoken" }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)),
      body,
    ),
  );
  const held = new Map();

  const update = (tr, row) => {
    tr.className = rowClass?.(row) ?? "";
    columns.forEach((column, index) => replace(tr.children[index], column.cell(row)));
  };
  const make = () => {
    const cells = columns.map((column, index) =>
      h(index ? "td" : "th", {
        role: index ? "cell" : "rowheader",
        scope: index ? null : "row",
        class: column.class,
        "data-label": column.label || null,
      }),
    );
    return h("tr", { role: "row" }, cells);
  };

  return {
    element,
    set(rows, empty) {
      const wanted = new Set(rows.map(keyOf));
      for (const [key, tr] of held) {
        if (wanted.has(key)) continue;
        tr.remove();
        held.delete(key);
      }
      body.querySelector(".empty-row")?.remove();
      const focused = body.contains(document.activeElement) ? document.activeElement : null;
      let place = body.firstElementChild;
      for (const row of rows) {
        const key = keyOf(row);
        const tr = held.get(key) ?? make();
        held.set(key, tr);
        update(tr, row);
        if (tr === place) place = place.nextElementSibling;
        else body.insertBefore(tr, place);
      }
      // A row that moved takes its focus along.
      if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
      if (!rows.length)
        body.append(
          h("tr", { class: "empty-row", role: "row" }, h("td", { role: "cell", colspan: columns.length }, empty)),
        );
    },
    patch(row) {
      const tr = held.get(keyOf(row));
      if (tr) update(tr, row);
    },
    has: key => held.has(key),
    sorted(key, order) {
      columns.forEach((column, index) => {
        if (!column.sort) return;
        const direction = column.sort !== key ? "none" : order === "desc" ? "descending" : "ascending";
        heads[index].setAttribute("aria-sort", direction);
      });
    },
  };
}

function head(column, onSort) {
  const label = column.label || h("span", { class: "spoken" }, column.spoken ?? "Choose");
  if (!column.sort)
    return h(
      "th",
      { scope: "col", role: "columnheader", class: column.class },
      label,
      column.note ? h("small", {}, column.note) : null,
    );
  const act = event => {
    const now = event.currentTarget.closest("th").getAttribute("aria-sort");
    const first = column.first ?? "asc";
    const other = first === "asc" ? "desc" : "asc";
    const isFirst = now === (first === "asc" ? "ascending" : "descending");
    onSort(column.sort, isFirst ? other : first);
  };
  return h(
    "th",
    { scope: "col", role: "columnheader", class: column.class, "aria-sort": "none" },
    h("button", { type: "button", class: "sort", on: { click: act } }, label),
  );
}
