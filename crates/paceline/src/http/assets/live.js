// The one stream of the page, what it last said, and whether it still says anything. Views listen here.
//
// The stream is read by hand, since a browser's own reader hides the comments that keep the line open: silence is known
// after SILENCE_MS, and told as stale instead of showing old figures as if they were new.

import * as api from "./api.js";

/** The service speaks at least every 15 s. */
const SILENCE_MS = 40_000;
const RETRY_MS = [500, 1000, 2000, 4000, 8000, 15_000];

/** Last known: overview, session, halts, and the state of the line (connecting, live, lost). */
export const known = {
  overview: null,
  session: null,
  halts: null,
  line: "connecting",
  since: Date.now(),
  trouble: null,
};

const listeners = new EventTarget();

/** Calls back with each event of a type until the view is left. */
export function listen(type, act, signal) {
  listeners.addEventListener(type, event => act(event.detail), { signal });
}

/** Tells those who listen. */
export const tell = (type, detail) => listeners.dispatchEvent(new CustomEvent(type, { detail }));

/** The service's clock, as last heard: the demo's runs faster than the wall's. */
export const now = () => known.overview?.server_time ?? Date.now();

/** Currency of an account, where it is known. */
export const currencyOf = account =>
  known.overview?.accounts?.find(one => one.account_id === account)?.currency ?? null;

/** Whether the person may do something. */
export const may = action => known.session === null || known.session.can?.includes(action);

/** The whole, and the hold of a journal gap, are released by administrators. */
export const mayRelease = scope =>
  may("release") && (known.session === null || !["global", "integrity"].includes(scope) || may("release_all"));

/** Reads who we are and how things stand; a 401 is for the caller to ask for a token. */
export async function readBasics() {
  known.session = await api.get("/session").catch(error => {
    if (error.status === 401) throw error;
    return null;
  });
  const [overview, halts] = await Promise.all([api.get("/overview"), api.get("/halts")]);
  takeOverview(overview);
  takeHalts(halts.halts);
}

/** Keeps the stream open for as long as the page is. */
export async function follow() {
  for (let tries = 0; ; tries += 1) {
    const stop = new AbortController();
    try {
      const body = await api.stream(stop.signal);
      line("live", null);
      if (tries > 0) {
        await readBasics().catch(() => {});
        tell("resync", {});
      }
      tries = 0;
      await read(body, stop);
      line("lost", "the service ended the line");
    } catch (error) {
      line(
        "lost",
        error.status === 429 ? "too many pages are open" : error.status === 401 ? "a token is needed" : "no answer",
      );
    } finally {
      stop.abort();
    }
    await new Promise(done => setTimeout(done, RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]));
  }
}

async function read(body, stop) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const silence = setTimeout(() => stop.abort(), SILENCE_MS);
    const { value, done } = await reader.read().finally(() => clearTimeout(silence));
    if (done) return;
    text += value.replaceAll("\r\n", "\n");
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      take(text.slice(0, end));
      text = text.slice(end + 2);
    }
  }
}

/** One block of the stream: an event, or a comment that says no more than that somebody is there. */
function take(block) {
  let type = "message";
  const data = [];
  for (const row of block.split("\n")) {
    if (row.startsWith("event:")) type = row.slice(6).trim();
    else if (row.startsWith("data:")) data.push(row.slice(5).replace(/^ /, ""));
  }
  known.heard = Date.now();
  if (!data.length) return;
  let detail;
  try {
    detail = JSON.parse(data.join("\n"));
  } catch {
    return;
  }
  if (type === "overview") takeOverview(detail);
  else if (type === "halt") takeHalts(detail.halts);
  else if (type === "health" && known.overview) takeOverview({ ...known.overview, health: detail });
  else tell(type, detail);
}

function takeOverview(overview) {
  known.overview = overview;
  if (overview.halts) known.halts = overview.halts;
  tell("overview", overview);
}

function takeHalts(halts) {
  known.halts = halts;
  tell("halts", halts);
}

function line(state, trouble) {
  if (known.line !== state) known.since = Date.now();
  known.line = state;
  known.trouble = trouble;
  tell("line", state);
}
