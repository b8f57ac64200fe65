// A service made up for the browser: the page's real files and the API's shapes over invented campaigns. It can be told
// to be empty, to fail, to fall silent, to ask for a token, or to hold ten thousand campaigns, which a real service
// shows only on a bad or a big day.

import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";

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
const START = Date.UTC(2026, 10, 22, 9, 0);
const CURRENCIES = [
  ["EUR", "Europe/Berlin"],
  ["USD", "America/New_York"],
  ["GBP", "Europe/London"],
  ["JPY", "Asia/Tokyo"],
];
const PACES = ["on_plan", "on_plan", "ahead", "behind", "on_plan", "paused", "unknown", "exhausted"];

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
    return list(
      "proposals",
      proposals(state).filter(one => query.get("state") === "all" || one.state === "proposed"),
    );
  if (name === "alerts")
    return list(
      "alerts",
      alerts(state).filter(one => query.get("state") !== "resolved"),
    );
  if (name === "audit") return list("entries", state.audit);
  if (name === "data-quality") return quality(state);
  if (name !== "campaigns") return null;
  if (deep === "series") return series(state, id);
  if (id) return detail(state, account, id);
  return page(state, query);
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

/** All campaigns, made once for each number of them and each set of halts. */
function all(state) {
  const key = `${state.campaigns} ${JSON.stringify(state.halts)}`;
  if (state.made?.key !== key)
    state.made = { key, rows: Array.from({ length: state.campaigns }, (_, index) => campaign(state, index)) };
  return [...state.made.rows];
}

function campaign(state, index) {
  const random = seeded(index + 1);
  const [currency, time_zone] = CURRENCIES[index % CURRENCIES.length];
  const unit = currency === "JPY" ? 150 : 1;
  const pace = PACES[index % PACES.length];
  const budget = pace === "unknown" ? null : Math.round((40 + random() * 900) * unit) * 1e6;
  const share =
    { ahead: 0.71, behind: 0.31, exhausted: 1, on_plan: 0.52, paused: 0.4, unknown: 0.2 }[pace] + random() * 0.04;
  const spend = Math.round((budget ?? 30e6 * unit) * share);
  const plan = budget === null ? null : Math.round(budget * 0.53);
  const halted = state.halts.some(
    halt => halt.scope === "global" || halt.scope === `campaign=account-${index % 4}/campaign-${pad(index)}`,
  );
  const sparkline = Array.from({ length: 52 }, (_, at) => ({
    at: START - (51 - at) * 900_000,
    spend_day_micros: Math.round(spend * (at / 51) ** (pace === "ahead" ? 0.7 : 1.3)),
    plan_micros: plan === null ? null : Math.round((plan * at) / 51),
  }));
  return {
    account_id: `account-${index % 4}`,
    campaign_id: `campaign-${pad(index)}`,
    name:
      index === 3
        ? `<img src=x onerror="alert(1)"> & sons`
        : `${["Brand search", "Spring display", "Video prospecting", "Retargeting of a long-named audience segment"][index % 4]} ${index}`,
    currency,
    time_zone,
    status: "active",
    mode: ["auto", "approve", "observe"][index % 3],
    bid_strategy: "target_cpa",
    platform: null,
    channel: "search",
    flight_start: START - 9e8,
    flight_end: START + 9e8,
    watermark: START - 4000,
    event_time: START,
    spend_day_micros: spend,
    spend_month_micros: spend * 12,
    spend_flight_micros: spend * 12,
    budget_day_micros: budget,
    flight_budget_micros: null,
    plan_micros: plan,
    pace,
    binding: "budget",
    bid_micros: 390000 * unit,
    bid_confirmed_micros: index % 2 ? 390000 * unit : 370000 * unit,
    pause_holders: pace === "paused" ? ["daily_cap"] : [],
    halted,
    why_nothing: index % 2 ? ["bid: cool_down", "budget: awaiting_approval"] : [],
    impressions_day: 16437 + index,
    clicks_day: 1001 + index,
    conversions_day: 52,
    value_day_micros: spend * 3,
    forecast_day:
      budget === null
        ? null
        : {
            low_micros: Math.round(budget * 0.9),
            mid_micros: Math.round(budget * 0.98),
            high_micros: Math.round(budget * 1.06),
          },
    forecast_day_reason: budget === null ? "no_plan" : null,
    forecast_flight: null,
    forecast_flight_reason: "no_flight_budget",
    goal:
      index % 3 === 0
        ? {
            metric: "cpa",
            unit: "micros",
            target: 5e6 * unit,
            actual: (index % 2 ? 4.1e6 : 6.2e6) * unit,
            actual_reason: null,
            direction: "at_most",
            on_track: index % 2 === 1,
            window: "day",
            deadline: null,
          }
        : null,
    goal_reason: index % 3 ? "no_goal" : null,
    last_command: {
      command_id: `${pad(index)}c0`,
      kind: "set_bid",
      state: "issued",
      reason: "pacing_behind",
      text: "Bid up from 0.34 to 0.39: spend is behind what the rest of the plan needs.",
      at: START - 600_000,
    },
    last_command_reason: null,
    sparkline,
    sparkline_reason: null,
  };
}

function detail(state, account, id) {
  const one = all(state).find(row => row.campaign_id === id && row.account_id === account);
  if (!one) return null;
  const mine = list => list.filter(other => other.campaign_id === id);
  return {
    ...one,
    windows: [],
    spec: {},
    halts: [],
    holders: [
      {
        holder: "daily_cap",
        since: START - 7e6,
        until: START + 1e7,
        holds: one.pause_holders.length > 0,
        command_id: null,
        reason: "daily_cap",
      },
    ],
    commands: [0, 1, 2].map(at =>
      command(state, 0, `${id.slice(9)}c${at}`, {
        issued_at: START - at * 5e6 - 6e5,
        account_id: account,
        campaign_id: id,
        currency: one.currency,
        kind: at === 2 ? "pause" : "set_bid",
        value_micros: at === 2 ? null : 390000 - at * 20000,
      }),
    ),
    proposals: mine(proposals(state)),
    alerts: mine(alerts(state)),
  };
}

function series(state, id) {
  const one = all(state).find(row => row.campaign_id === id);
  const points = Array.from({ length: 13 }, (_, hour) => {
    const clicks = 60 + ((hour * 37) % 50);
    const conversions = 2 + ((hour * 5) % 4);
    const matured = Math.round(1e6 * (1 - hour / 20));
    const spend = Math.round(one.spend_day_micros / 13);
    return {
      start: START - (13 - hour) * 3_600_000,
      end: START - (12 - hour) * 3_600_000,
      open: hour === 12,
      spend_micros: spend,
      gross_spend_micros: spend,
      plan_micros: null,
      impressions: clicks * 20,
      clicks,
      conversions,
      value_micros: spend * 3,
      conversions_corrected_micro: Math.round((conversions * 1e12) / matured),
      matured_ppm: matured,
      ctr_ppm: 50000,
      cvr_ppm: Math.round((1e6 * conversions) / clicks),
      cpc_micros: Math.round(spend / clicks),
      cpa_micros: Math.round(spend / conversions),
      roas_ppm: 3e6,
      pace: "on_plan",
      attributed: [
        { model: "last", conversions_micro: conversions * 1e6, value_micros: spend * 3 },
        { model: "linear", conversions_micro: conversions * 0.9e6, value_micros: spend * 2.7 },
      ],
    };
  });
  return {
    currency: one.currency,
    time_zone: one.time_zone,
    window: "hour",
    points,
    points_reason: null,
    trace: one.sparkline,
  };
}

function overview(state) {
  const rows = all(state);
  const by = key =>
    rows.reduce((groups, row) => {
      (groups[row[key]] ??= []).push(row);
      return groups;
    }, {});
  const size = groups => Object.fromEntries(Object.entries(groups).map(([key, list]) => [key, list.length]));
  const sum = (list, key) => list.reduce((total, row) => total + (row[key] ?? 0), 0);
  const currencies = Object.entries(by("currency")).map(([currency, list]) => ({
    currency,
    campaigns: list.length,
    spend_day_micros: sum(list, "spend_day_micros"),
    budget_day_micros: sum(list, "budget_day_micros"),
    plan_micros: sum(list, "plan_micros"),
    without_budget: list.filter(row => row.budget_day_micros === null).length,
  }));
  return {
    build: "0.1.0+fake",
    server_time: START + 1000,
    policy_version: 1,
    health: { ok: true, reasons: [] },
    accounts: Object.entries(by("account_id")).map(([account_id, list]) => ({
      account_id,
      currency: list[0].currency,
      campaigns: list.length,
      halted: false,
    })),
    campaigns: rows.length,
    campaigns_by_pace: size(by("pace")),
    campaigns_by_mode: size(by("mode")),
    currencies,
    alerts_open: { info: 0, warning: Math.min(1, rows.length), critical: Math.min(1, rows.length) },
    proposals_pending: proposals(state).filter(one => one.state === "proposed").length,
    halts: state.halts,
    watermark: rows.length ? START - 4000 : null,
    watermark_reason: rows.length ? null : "no_events_yet",
    event_time: START,
    commands_held: 3,
    proposals_held: 2,
    streams: 1,
  };
}

function proposals(state) {
  if (state.campaigns < 6) return [];
  return [1, 4].map(index => {
    const row = campaign(state, index);
    const id = `${pad(index)}p`;
    return command(state, index, id, {
      account_id: row.account_id,
      campaign_id: row.campaign_id,
      currency: row.currency,
      kind: "set_daily_budget",
      value_micros: 131_360_000,
      expected_previous: { value_micros: 166_540_000 },
      state: state.decided.get(id) ?? "proposed",
      decide_by: START + 14_400_000,
      reason: "budget_plan",
    });
  });
}

function command(state, index, command_id, more) {
  return {
    command_id,
    account_id: "account-0",
    campaign_id: `campaign-${pad(index)}`,
    currency: "EUR",
    kind: "set_bid",
    state: "issued",
    reason: "pacing_ahead",
    mode: "auto",
    target: { level: "campaign", id: "x" },
    holder: null,
    decide_by: null,
    issued_at: START - 900_000,
    decided_at_event_time: START - 910_000,
    effective_from: START - 900_000,
    expires_at: START + 86_400_000,
    expected_previous: { value_micros: 370_000 },
    value_micros: 390_000,
    value_ppm: null,
    expected_effect: { metric: "spend_day_micros", low: 33_047_098, mid: 131_368_917, high: 141_368_917 },
    risk: { at_stake_micros: 35_180_000, worst_case_micros: 98_321_819 },
    explanation: {
      text: "Spend is ahead of what the rest of the plan needs; 174.66 of 191.18 spent or on its way, planned by now 155.42.",
      without: "The budget is gone before the day is.",
      guard_edits: ["rounded_down"],
      windows: [
        {
          name: "day",
          start: START - 4e7,
          end: START,
          impressions: 8650,
          clicks: 444,
          conversions_micro: 16_000_000,
          spend_micros: 174_385_969,
          value_micros: 971_573_813,
        },
      ],
      terms: [
        { name: "spend_day_micros", value: 174_385_969 },
        { name: "plan_share_ppm", value: 812_975 },
        { name: "data_age_ms", value: 73_020 },
        { name: "budget_log_bid_micro_nats", value: 12_676_604 },
      ],
      build: "0.1.0+fake",
      policy_version: 1,
      journal_partition: 0,
      journal_offset: 482,
    },
    ...more,
  };
}

function alerts(state) {
  if (!state.campaigns) return [];
  return [
    ["overspend", "critical", 2],
    ["data_gap", "warning", 7],
  ]
    .filter(([, , index]) => index < state.campaigns)
    .map(([kind, severity, index]) => {
      const row = campaign(state, index);
      return {
        alert_id: kind,
        kind,
        severity,
        state: "opened",
        scope: "campaign",
        account_id: row.account_id,
        campaign_id: row.campaign_id,
        opened_at: START - 3e6,
        updated_at: START - 1e6,
        resolved_at: null,
        observed: 1,
        expected: 1,
        money_at_stake_micros: 24_057_450,
        incident_id: kind,
        suggested_command: null,
        text: `Campaign ${row.campaign_id}: the day will end 24.05 above its ceiling if nothing is done.`,
      };
    });
}

function quality(state) {
  if (!state.campaigns)
    return {
      watermark_delay_seconds: null,
      watermark_delay_reason: "no_watermark_yet",
      lag_records: null,
      lag_reason: "not known",
      sources: [],
      events: [],
      dead_letters: [],
      transactions: [],
    };
  const sources = ["ads.clicks", "ads.conversions", "ads.impressions"].flatMap(topic =>
    [0, 1].map(partition => ({
      topic,
      partition,
      watermark: START - 4000 - (topic === "ads.clicks" && partition ? 62_000 : 0),
      watermark_reason: null,
      lag_records: partition * 120,
      lag_reason: null,
      idle: topic === "ads.conversions",
    })),
  );
  return {
    watermark_delay_seconds: 66,
    lag_records: 360,
    sources,
    events: ["impression", "click", "conversion"].map((event_type, index) => ({
      event_type,
      consumed: (1_203_331 / 20 ** index) | 0,
      late: 12,
      duplicate: 140,
      dedupe_evicted: 0,
    })),
    dead_letters: [{ topic: "ads.clicks", reason: "too_old", count: 2 }],
    stage1: [
      { what: "conversions_credited", count: 174 },
      { what: "clicks_of_user_evicted", count: 0 },
    ],
    transactions: [
      { stage: "aggregator", result: "committed", count: 812 },
      { stage: "controller", result: "aborted", count: 1 },
    ],
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
const json = (answer, status, body) =>
  answer.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
const problem = (answer, status, detail) =>
  answer
    .writeHead(status, { "Content-Type": "application/problem+json" })
    .end(JSON.stringify({ type: "about:blank", title: "Problem", status, detail }));
const pad = index => String(index).padStart(5, "0");

function seeded(seed) {
  let state = (seed * 2_654_435_761) % 2 ** 32;
  return () => (state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32) / 2 ** 32;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  console.log((await fake({ port: Number(process.argv[2] ?? 0), campaigns: Number(process.argv[3] ?? 12) })).address);
