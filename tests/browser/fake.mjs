// A service made up for the browser: the page's real files and the API's shapes over invented campaigns. It can be told
// to be empty, to fail, to fall silent, to ask for a token, or to hold ten thousand campaigns, which a real service
// shows only on a bad or a big day.

import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { START, all, attribution, breakdown, detail, series, overview, proposals, alerts, experiments, quality } from "./world.mjs";

const ASSETS = fileURLToPath(new URL("../../crates/paceline/src/http/assets/", import.meta.url));

const KINDS = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
  txt: "text/plain",
};

/** As the service sends it. */
const POLICY = readFileSync(join(ASSETS, "../page.rs"), "utf8")
  .match(/const POLICY: &str = "([^;]+;[\s\S]*?)";\n/)[1]
  .replace(/\\\n\s*/g, "");

/** Starts it; `knobs` may be changed while it runs: campaigns, fail, token, and `silence()` cuts all streams. */
export async function fake(knobs = {}) {
  const state = {
    campaigns: 12,
    fail: null,
    token: null,
    halts: [],
    audit: [],
    decided: new Map(),
    streams: new Set(),
    ...knobs,
  };
  const server = createServer((request, answer) => serve(state, request, answer));
  await new Promise(done => server.listen(state.port ?? 0, "127.0.0.1", done));
  return {
    state,
    address: `http://127.0.0.1:${server.address().port}`,
    silence() {
      for (const stream of state.streams) stream.destroy();
    },
    tell: (event, data) => tell(state, event, data),
    stop() {
      server.closeAllConnections();
      return new Promise(done => server.close(done));
    },
  };
}

function serve(state, request, answer) {
  const url = new URL(request.url, "http://fake");
  const path = url.pathname;
  if (path === "/" || path.startsWith("/assets/")) return file(path === "/" ? "index.html" : path.slice(8), answer);
  if (state.fail && path !== "/api/v1/session")
    return problem(answer, state.fail, "the service is not able to answer now: controller: restoring");
  const isWayIn = path === "/api/v1/session" && request.method === "POST";
  if (state.token && !isWayIn && request.headers.cookie !== `paceline_token=${state.token}`)
    return problem(answer, 401, "no token, or one that is not known");
  const parts = path.replace("/api/v1/", "").split("/").map(decodeURIComponent);
  if (request.method === "POST") return change(state, parts, request, answer);
  if (parts[0] === "stream") return stream(state, answer);
  const body = view(state, parts, url.searchParams);
  return body ? json(answer, 200, body) : problem(answer, 404, `nothing is known at ${path}`);
}

function view(state, [name, account, id, deep], query) {
  if (name === "session")
    return {
      name: "ann",
      role: state.role ?? "admin",
      tokens: Boolean(state.token),
      can: state.role === "viewer" ? [] : ["approve", "reject", "halt", "release", "release_all", "read_audit"],
    };
  if (name === "overview") return overview(state);
  if (name === "halts") return { halts: state.halts };
  if (name === "proposals")
    return {
      ...list(
        "proposals",
        proposals(state).filter(one => query.get("state") === "all" || one.state === "proposed"),
      ),
      campaigns: named(state, proposals(state)),
    };
  if (name === "alerts")
    return {
      ...list("alerts", query.get("state") === "resolved" ? [] : alerts(state)),
      campaigns: named(state, alerts(state)),
    };
  if (name === "experiments") return { experiments: experiments(state) };
  if (name === "audit") return list("entries", state.audit);
  if (name === "data-quality") return quality(state);
  if (name === "dead-letters") return list("dead_letters", deadLetters());
  if (name === "adjustments" && id === "undo") {
    const table = account.endsWith("t0");
    const factor = account.endsWith("m0");
    return {
      command_id: account,
      account_id: "account-0",
      campaign_id: "campaign-00000",
      currency: "EUR",
      possible: true,
      possible_reason: null,
      kind: factor ? "set_modifier" : table ? "set_modifier_table" : "set_bid",
      dimension: factor ? { name: "device", value: "mobile" } : null,
      from_ppm: factor ? 1_080_000 : null,
      to_ppm: factor ? 1_000_000 : null,
      from_micros: table || factor ? null : 1_200_000,
      to_micros: table || factor ? null : 1_000_000,
      from_table_ppm: table ? Array.from({ length: 24 }, (_, hour) => (hour >= 17 && hour < 20 ? 1_250_000 : 940_000)) : null,
      to_table_ppm: table ? Array(24).fill(1_000_000) : null,
      goes_as: "command",
      left_alone_hours: 24,
    };
  }
  if (name !== "campaigns") return null;
  if (deep === "series") return series(state, id, query.get("window"));
  if (deep === "breakdown") return breakdown(state, id, query.get("dimension") ?? "device", query.get("window") ?? "7d");
  if (deep === "attribution") return attribution(state, id, query.get("window") ?? "7d");
  if (id) return detail(state, account, id);
  return page(state, query);
}

function deadLetters() {
  const letter = (offset, reason, detail, sample) => ({
    refused_at: START,
    topic: "ads.clicks",
    partition: 1,
    offset,
    timestamp: START - 1_000,
    reason,
    detail,
    bytes: 312,
    sample,
  });
  return [
    letter(17, "too_old", "", { event_id: "e-17", campaign_id: "campaign-00000", user_key: "***", geo: "DE" }),
    letter(18, "bad_frame", "no framing is known that begins so", { undecodable_bytes: 312, begins_with_hex: "4f626a0104" }),
  ];
}

function page(state, query) {
  let rows = all(state).filter(row =>
    ["account", "mode", "status", "pace"].every(
      key => !query.get(key) || (row[key] ?? row[`${key}_id`]) === query.get(key),
    ),
  );
  const wanted = (query.get("q") ?? "").toLowerCase();
  if (wanted)
    rows = rows.filter(row => `${row.name} ${row.account_id} ${row.campaign_id}`.toLowerCase().includes(wanted));
  const key =
    { spend: row => row.spend_day_micros, budget: row => row.budget_day_micros ?? -1, name: row => row.name }[
      query.get("sort")
    ] ?? (row => row.campaign_id);
  rows.sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) * (query.get("order") === "desc" ? -1 : 1));
  const from = Number(query.get("cursor") ?? 0);
  const limit = Number(query.get("limit") ?? 100);
  return {
    campaigns: rows.slice(from, from + limit),
    total: rows.length,
    next: from + limit < rows.length ? String(from + limit) : null,
  };
}

async function change(state, parts, request, answer) {
  let text = "";
  for await (const piece of request) text += piece;
  const body = JSON.parse(text);
  if (parts[0] === "session") {
    if (body.token !== state.token) return problem(answer, 401, "this token is not known");
    return answer
      .writeHead(200, {
        "Content-Type": "application/json",
        "Set-Cookie": `paceline_token=${body.token}; Path=/api/v1; HttpOnly; SameSite=Strict`,
      })
      .end("{}");
  }
  if (request.headers["content-type"] !== "application/json" || !body.reason)
    return problem(answer, 400, "a reason is needed");
  const ids = parts[0] !== "proposals" ? [body.scope] : parts[1] === "bulk" ? body.ids : [parts[1]];
  const action = parts[0] === "halts" ? (parts[1] ? "release" : "halt") : (body.action ?? parts[2]);
  for (const id of ids)
    state.audit.unshift({
      at: START + state.audit.length,
      actor: "ann",
      role: "admin",
      action,
      subject: id,
      reason: body.reason,
      outcome: "sent",
    });
  setTimeout(() => {
    if (action === "halt")
      state.halts = [
        {
          scope: body.scope,
          level: body.scope.split("=")[0],
          account_id: null,
          campaign_id: null,
          since: START,
          since_reason: null,
          actor: "ann",
          reason: body.reason,
        },
      ];
    else if (action === "release") state.halts = state.halts.filter(one => one.scope !== body.scope);
    else for (const id of ids) state.decided.set(id, action === "approve" ? "approved" : "rejected");
    tell(state, "halt", { halts: state.halts });
    tell(state, "overview", overview(state));
    tell(state, "proposal", {});
  }, 150);
  json(answer, 202, { sent: ids.map(subject => ({ action, subject, outcome: "sent" })) });
}

function stream(state, answer) {
  answer.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  answer.write(": here\n\n");
  state.streams.add(answer);
  answer.on("close", () => state.streams.delete(answer));
}

function tell(state, event, data) {
  for (const one of state.streams) one.write(`event: ${event}\nid: ${Date.now()}\ndata: ${JSON.stringify(data)}\n\n`);
}

function file(name, answer) {
  try {
    const body = readFileSync(join(ASSETS, name));
    answer
      .writeHead(200, {
        "Content-Type": KINDS[name.split(".").at(-1)] ?? "text/plain",
        "Content-Security-Policy": POLICY,
      })
      .end(body);
  } catch {
    answer.writeHead(404).end();
  }
}

const list = (name, rows) => ({ [name]: rows, total: rows.length, next: null });

/** Names and zones of the campaigns of a list, as the service gives them. */
const named = (state, rows) =>
  Object.fromEntries(
    all(state)
      .filter(one => rows.some(row => row.account_id === one.account_id && row.campaign_id === one.campaign_id))
      .map(one => [`${one.account_id}/${one.campaign_id}`, { name: one.name, time_zone: one.time_zone }]),
  );

const json = (answer, status, body) =>
  answer.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));

const problem = (answer, status, detail) =>
  answer
    .writeHead(status, { "Content-Type": "application/problem+json" })
    .end(JSON.stringify({ type: "about:blank", title: "Problem", status, detail }));

// By hand: node fake.mjs PORT CAMPAIGNS
if (process.argv[1] === fileURLToPath(import.meta.url))
  console.log((await fake({ port: Number(process.argv[2] ?? 0), campaigns: Number(process.argv[3] ?? 12) })).address);
