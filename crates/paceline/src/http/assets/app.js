// The page: where we are, what is told everywhere (state of the line, halts, health), and which view is open.
//
// Addresses after the hash name a view and its filters, so that every view can be sent to somebody.

import * as api from "./api.js";
import { release, scopeWords } from "./act.js";
import { h, replace } from "./dom.js";
import { clock, count, duration, isKnown } from "./format.js";
import { follow, known, listen, may, mayRelease, readBasics, tell } from "./live.js";
import * as alerts from "./view-alerts.js";
import * as audit from "./view-audit.js";
import * as campaign from "./view-campaign.js";
import * as experiments from "./view-experiments.js";
import * as halts from "./view-halts.js";
import * as portfolio from "./view-portfolio.js";
import * as proposals from "./view-proposals.js";
import * as quality from "./view-quality.js";

const VIEWS = { "": portfolio, campaign, proposals, alerts, experiments, quality, halts, audit };
const NAV = [
  ["", "Portfolio"],
  ["proposals", "Proposals"],
  ["alerts", "Alerts"],
  ["experiments", "Experiments"],
  ["quality", "Data quality"],
  ["halts", "Halts"],
  ["audit", "Audit"],
];
const THEMES = ["system", "light", "dark"];
/** Figures are told as old when the line has been lost for longer than a blink. */
const GRACE_MS = 3000;

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const line = document.getElementById("line");
const banners = document.getElementById("banners");
let leave = null;

start();

async function start() {
  theme(localStorage.getItem("paceline-theme") ?? "system");
  document
    .getElementById("theme")
    .addEventListener("click", () =>
      theme(THEMES[(THEMES.indexOf(localStorage.getItem("paceline-theme") ?? "system") + 1) % THEMES.length]),
    );
  document.addEventListener("keydown", shortcut);
  banners.addEventListener("click", event => {
    const scope = event.target.closest("button[data-scope]")?.dataset.scope;
    if (scope) release(scope);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => tell("theme", {}));
  for (const type of ["overview", "halts", "line"]) listen(type, drawFrame);
  document.getElementById("leave").addEventListener("click", () => api.signOut().finally(() => location.reload()));
  setInterval(drawFrame, 1000);
  addEventListener("hashchange", open);
  addEventListener("resize", showWhere);
  drawFrame();
  if (await entered()) {
    follow();
    open();
  }
}

/** Reads who we are; asks for a token where the service wants one. */
async function entered() {
  try {
    await readBasics();
    return true;
  } catch (error) {
    if (error.status !== 401) return true;
    main.replaceChildren(signIn());
    main.querySelector("input").focus();
    return false;
  }
}

function signIn() {
  const input = h("input", { id: "token", type: "password", autocomplete: "off", required: true });
  const told = h("p", { role: "alert" }, "This service asks for a token.");
  const submit = async event => {
    event.preventDefault();
    try {
      await api.signIn(input.value.trim());
      location.reload();
    } catch (error) {
      told.textContent = `The token was not accepted: ${error.message}`;
      input.select();
    }
  };
  return h(
    "form",
    { class: "card sign-in", on: { submit } },
    h("h1", {}, "Who is there?"),
    told,
    h("label", { for: "token" }, "Token"),
    input,
    h("p", { class: "hint" }, "Kept for twelve hours, where no script can read it."),
    h("div", { class: "buttons" }, h("button", { type: "submit", class: "primary" }, "Enter")),
  );
}

/** Opens the view that the address names; the one before ends with its listeners and requests. */
function open() {
  const route = read(location.hash);
  const view = VIEWS[route.parts[0]];
  leave?.abort();
  leave = new AbortController();
  const root = h("div", { class: "view" });
  main.replaceChildren(root);
  if (!view || (view === campaign && route.parts.length < 3))
    root.append(
      h("h1", { tabindex: "-1" }, "Not found"),
      h("p", {}, "There is no such view. ", h("a", { href: "#/" }, "To the portfolio")),
    );
  else view.mount(root, route, leave.signal);
  document.title = `${view ? view.title(route) : "Not found"} \u2013 Paceline`;
  scrollTo(0, 0);
  if (opened) root.querySelector("h1")?.focus({ preventScroll: true });
  opened = true;
  drawFrame();
  showWhere();
}
let opened = false;

function read(hash) {
  const [path, search] = hash.replace(/^#?\/?/, "").split("?");
  const parts = path.split("/").map(part => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { parts, query: new URLSearchParams(search ?? "") };
}

/** On a narrow screen the views' names scroll: the one that is open is brought into sight. */
function showWhere() {
  const here = nav.querySelector("[aria-current]");
  if (here) nav.parentElement.scrollLeft = here.offsetLeft - (nav.parentElement.clientWidth - here.offsetWidth) / 2;
}

function drawFrame() {
  const here = read(location.hash).parts[0];
  const overview = known.overview;
  const open = overview?.alerts_open;
  const numbers = {
    proposals: overview?.proposals_pending,
    alerts: open ? open.info + open.warning + open.critical : 0,
    halts: known.halts?.length,
  };
  replace(
    nav,
    NAV.filter(([path]) => path !== "audit" || may("read_audit")).map(([path, name]) =>
      h(
        "li",
        {},
        h(
          "a",
          {
            href: `#/${path}`,
            "aria-current": path === here || (here === "campaign" && path === "") ? "page" : null,
            "data-focus": `nav ${path}`,
          },
          name,
          numbers[path]
            ? h("span", { class: `badge ${path === "alerts" && open.critical ? "bad" : ""}` }, count(numbers[path]))
            : null,
        ),
      ),
    ),
  );
  replace(line, lineWords());
  document.getElementById("leave").hidden = !known.session?.tokens;
  replace(banners, told());
}

/** The state of the line to the service, always in words. */
function lineWords() {
  const overview = known.overview;
  const state = known.line === "live" && overview?.health?.ok === false ? "not ready" : known.line;
  const text = { live: "Live", connecting: "Connecting", lost: "Not live", "not ready": "Not ready" }[state];
  const data =
    overview && isKnown(overview.watermark)
      ? [h("span", { class: "wide" }, "data until "), clock(overview.watermark, "UTC", false, true)]
      : overview
        ? "no data yet"
        : "";
  const readOnly = known.session && !["approve", "halt"].some(may) ? "read-only" : null;
  return [
    h("span", { class: `dot dot-${state.replace(" ", "-")}`, "aria-hidden": "true" }),
    h("b", {}, text),
    h("span", { class: "soft" }, data, readOnly ? ` \u00b7 ${readOnly}` : ""),
  ];
}

/** What must be seen wherever one is. */
function told() {
  const list = [];
  const silent = Date.now() - known.since;
  if (known.line === "lost" && silent > GRACE_MS) {
    const since = known.heard ? ` The figures are ${duration(Date.now() - known.heard)} old.` : "";
    list.push(
      h(
        "div",
        { class: "banner banner-stale" },
        h("p", {}, h("b", {}, "The line to the service is lost"), ` (${known.trouble}).${since} Trying again.`),
      ),
    );
  }
  const health = known.overview?.health;
  if (health && !health.ok)
    list.push(
      h("div", { class: "banner banner-warn" }, h("p", {}, h("b", {}, "Not ready. "), health.reasons.join("; "))),
    );
  const halted = known.halts ?? [];
  for (const one of halted.slice(0, 3)) list.push(haltBanner(one));
  if (halted.length > 3)
    list.push(
      h(
        "div",
        { class: "banner banner-halt" },
        h("p", {}, h("a", { href: "#/halts", "data-focus": "more halts" }, `${halted.length - 3} more halts`)),
      ),
    );
  return list;
}

function haltBanner(one) {
  const by = [one.actor ? `by ${one.actor}` : null, isKnown(one.since) ? `since ${clock(one.since, "UTC")}` : null]
    .filter(Boolean)
    .join(" ");
  return h(
    "div",
    { class: "banner banner-halt" },
    h("p", {}, h("b", {}, `Halted: ${scopeWords(one.scope)}`), by ? ` ${by}` : "", one.reason ? `: ${one.reason}` : ""),
    mayRelease(one.scope)
      ? h(
          "button",
          { type: "button", "data-scope": one.scope, "data-focus": `banner ${one.scope}` },
          "Release\u2026",
          h("span", { class: "spoken" }, ` ${scopeWords(one.scope)}`),
        )
      : null,
  );
}

function theme(name) {
  localStorage.setItem("paceline-theme", name);
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  const button = document.getElementById("theme");
  button.textContent = `Theme: ${{ system: "auto", light: "light", dark: "dark" }[name]}`;
  button.title = name === "system" ? "Light or dark as the system is; press for light" : "Press for the next theme";
  tell("theme", {});
}

function shortcut(event) {
  if (
    event.key !== "/" ||
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    event.target.closest("input, select, textarea, dialog")
  )
    return;
  const search = document.getElementById("q");
  if (!search) return;
  event.preventDefault();
  search.focus();
}
