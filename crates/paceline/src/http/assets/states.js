// Truthful states of a part of a page: it is being read, it could not be read, it is empty.

import { h } from "./dom.js";

/**
 * Keeps `host` telling how the reading goes. `read` answers data, `show(data)` draws them. After the first drawing a
 * failure is told above what was drawn, which stays and is called old. Returns a function that reads again.
 */
export function reading(host, signal, read, show) {
  const trouble = h("div", { class: "trouble-slot", "aria-live": "polite" });
  const place = h("div", {}, loading());
  host.append(trouble, place);
  let isDrawn = false;
  let running = null;
  let again = false;

  const once = async () => {
    try {
      const data = await read();
      if (signal.aborted) return;
      trouble.replaceChildren();
      if (!isDrawn) place.replaceChildren();
      isDrawn = true;
      show(data, place);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Error)) throw error;
      if (!isDrawn) place.replaceChildren();
      trouble.replaceChildren(failed(error, isDrawn, refresh));
    }
  };
  async function refresh() {
    if (running) {
      again = true;
      return running;
    }
    running = once();
    await running;
    running = null;
    if (again && !signal.aborted) {
      again = false;
      await refresh();
    }
  }
  refresh();
  return refresh;
}

/** Nothing there, and what that means. */
export const empty = (text, more) =>
  h("div", { class: "empty" }, h("p", {}, text), more ? h("p", { class: "hint" }, more) : null);

const loading = () => h("p", { class: "loading", role: "status" }, "Reading\u2026");

function failed(error, isDrawn, refresh) {
  const what = error.status === 404 ? "Not found" : error.status === 403 ? "Not allowed" : "This could not be read";
  return h(
    "div",
    { class: "trouble" },
    h("p", {}, h("b", {}, `${what}. `), error.message, isDrawn ? " What is shown below is what was read before." : ""),
    h("button", { type: "button", on: { click: () => refresh() } }, "Try again"),
  );
}
