// The invented campaigns of the made-up service: always the same, of several currencies, time zones and paces, with a
// name that looks like markup among them.

export const START = Date.UTC(2026, 10, 22, 9, 0);

const CURRENCIES = [
  ["EUR", "Europe/Berlin"],
  ["USD", "America/New_York"],
  ["GBP", "Europe/London"],
  ["JPY", "Asia/Tokyo"],
];

const PACES = ["on_plan", "on_plan", "ahead", "behind", "on_plan", "paused", "unknown", "exhausted"];

/** All campaigns, made once for each number of them and each set of halts. */
export function all(state) {
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
  const hasFlight = index % 4 === 2;
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
    flight_end: hasFlight ? START + 9e8 : null,
    watermark: START - 4000,
    event_time: START,
    spend_day_micros: spend,
    spend_month_micros: spend * 12,
    spend_flight_micros: spend * 12,
    budget_day_micros: budget,
    flight_budget_micros: hasFlight ? spend * 26 : null,
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
    forecast_flight: hasFlight ? { low_micros: spend * 22, mid_micros: spend * 24, high_micros: spend * 27 } : null,
    forecast_flight_reason: hasFlight ? null : "no_flight_end",
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

export function detail(state, account, id) {
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
    rules: rules(),
    commands: [0, 1, 2].map(at =>
      command(state, 0, `${id.slice(9)}c${at}`, {
        issued_at: START - at * 5e6 - 6e5,
        account_id: account,
        campaign_id: id,
        currency: one.currency,
        kind: at === 2 ? "pause" : "set_bid",
        value_micros: at === 2 ? null : 390000 - at * 20000,
      }),
    ).concat(
      command(state, 0, `${id.slice(9)}t0`, {
        issued_at: START - 9e6,
        account_id: account,
        campaign_id: id,
        currency: one.currency,
        kind: "set_modifier_table",
        reason: "modifiers",
        value_micros: null,
        expected_previous: { value_micros: null },
        table: EVENINGS,
      }),
      command(state, 0, `${id.slice(9)}m0`, {
        issued_at: START - 9.5e6,
        account_id: account,
        campaign_id: id,
        currency: one.currency,
        kind: "set_modifier",
        reason: "modifiers",
        value_micros: null,
        value_ppm: 1_080_000,
        expected_previous: { value_ppm: 1_000_000 },
        dimension: MOBILE,
      }),
    ),
    undos: [
      {
        command_id: `${id.slice(9)}m0`,
        kind: "set_modifier",
        issued_at: START - 9.5e6,
        ...NO_VALUES,
        dimension: MOBILE,
        from_ppm: 1_080_000,
        to_ppm: 1_000_000,
      },
      {
        command_id: `${id.slice(9)}t0`,
        kind: "set_modifier_table",
        issued_at: START - 9e6,
        from_micros: null,
        to_micros: null,
        from_table_ppm: EVENINGS,
        to_table_ppm: EVENINGS.map(() => 1_000_000),
      },
      { command_id: `${id.slice(9)}c0`, kind: "set_bid", issued_at: START - 6e5, from_micros: 390_000, to_micros: 370_000 },
    ],
    holds: [{ lever: "budget", holder: "person", since: START - 7e6, until: START + 8e7 }],
    proposals: mine(proposals(state)),
    alerts: mine(alerts(state)),
  };
}

export function series(state, id, window) {
  const one = all(state).find(row => row.campaign_id === id);
  if (window === "day") return { ...series(state, id, "hour"), window, points: days(one) };
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

/** A week of local days, the last one open; in London days are those of UTC. */
function days(one) {
  const midnight = START - (START % 86_400_000);
  return Array.from({ length: 7 }, (_, at) => {
    const start = midnight - (6 - at) * 86_400_000;
    const spend = at === 6 ? one.spend_day_micros : Math.round(one.spend_day_micros * (0.9 + 0.05 * at));
    const more = { impressions: 9000, clicks: 500 + at, conversions: 21 + at, cpa_micros: Math.round(spend / (21 + at)) };
    return { start, end: start + 86_400_000, open: at === 6, spend_micros: spend, ...more };
  });
}

/** By one dimension: the last value has seen nothing that could be divided by. */
export function breakdown(state, id, dimension, window) {
  const one = all(state).find(row => row.campaign_id === id);
  const values = {
    device: ["mobile", "desktop", "tv"],
    geo: ["DE", "US-CA", ""],
    placement: ["news.example", "(other)", "(not kept)"],
    creative: ["cr-0", "cr-1", "cr-2"],
    channel: [],
  }[dimension];
  const value = (name, at) => {
    const share = [0.7, 0.3, 0][at];
    const some = (number, reason) => [share ? number : null, share ? null : reason];
    const [ctr_ppm, ctr_reason] = some(21_000 + at * 900, "no_impressions");
    const [cvr_ppm, cvr_reason] = some(43_000, "no_clicks");
    const [cpc_micros, cpc_reason] = some(420_000, "no_clicks");
    const [cpa_micros, cpa_reason] = some(9_750_000, "no_conversions");
    const [roas_ppm, roas_reason] = some(3_100_000, "nothing_spent");
    const conversions = Math.round(40 * share);
    return {
      value: name,
      impressions: Math.round(90_000 * share),
      clicks: Math.round(1_900 * share),
      spend_micros: Math.round(one.spend_flight_micros * share),
      conversions,
      value_micros: conversions * 3e7,
      credited_conversions_micro: conversions * 1e6,
      credited_value_micros: conversions * 3e7,
      touched_conversions_micro: conversions * 1e6,
      touched_value_micros: conversions * 3e7,
      spend_share_ppm: share * 1e6,
      spend_share_reason: null,
      ...{ ctr_ppm, ctr_reason, cvr_ppm, cvr_reason, cpc_micros, cpc_reason, cpa_micros, cpa_reason },
      ...{ roas_ppm, roas_reason },
    };
  };
  const rows = values.map(value);
  const { value: _, ...total } = rows[0] ?? value("", 2);
  return {
    account_id: one.account_id,
    campaign_id: id,
    currency: one.currency,
    time_zone: one.time_zone,
    dimension,
    window,
    rows,
    rows_reason: rows.length ? null : "no_events_in_the_window",
    total,
    invalid_clicks: null,
    invalid_clicks_reason: "corrections_name_no_dimension",
  };
}

/** The models side by side; one of them credits nothing. */
export function attribution(state, id, window) {
  const one = all(state).find(row => row.campaign_id === id);
  const model = (name, at) => {
    const conversions = at === 4 ? 0 : 40e6 - at * 3.5e6;
    return {
      model: name,
      in_force: name === "last",
      conversions_micro: conversions,
      value_micros: conversions * 30,
      cpa_micros: conversions ? Math.round((one.spend_flight_micros * 1e6) / conversions) : null,
      cpa_reason: conversions ? null : "no_conversions",
      roas_ppm: one.spend_flight_micros ? 3_000_000 : null,
      roas_reason: one.spend_flight_micros ? null : "nothing_spent",
    };
  };
  return {
    account_id: one.account_id,
    campaign_id: id,
    currency: one.currency,
    time_zone: one.time_zone,
    window,
    spend_micros: one.spend_flight_micros,
    models: ["last", "first", "linear", "position", "time_decay"].map(model),
    models_reason: null,
    paths: [
      {
        conversion_type: "purchase",
        paths_micro: 9e6,
        lengths_micro: [5e6, 3e6, 1e6, ...Array(13).fill(0)],
        steps: [{ from: null, to: id, paths_micro: 9e6 }],
        other_steps_micro: 0,
        removal_effect_ppm: 640_000,
        removal_effect_reason: null,
      },
    ],
    paths_reason: null,
  };
}

export function overview(state) {
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
    goals: rows.length ? goals() : [],
  };
}

/** Goals of accounts in each of their standings. */
function goals() {
  const goal = (name, metric, unit, target, more) => ({
    account_id: "account-0",
    name,
    currency: "EUR",
    from: START - 18 * 86_400_000,
    goal: {
      metric,
      unit,
      target,
      actual: null,
      actual_reason: null,
      direction: "at_least",
      on_track: null,
      window: "goal",
      deadline: START + 12 * 86_400_000,
      standing: "unknown",
      chance_ppm: null,
      ends_low: null,
      ends_mid: null,
      ends_high: null,
      needs: null,
      ...more,
    },
  });
  const needs = { bid_micros: null, spend_day_micros: 312_400_000, limit: null };
  return [
    goal("CPA of the quarter", "cpa", "micros", 25_000_000, {
      direction: "at_most",
      actual: 23_410_000,
      standing: "on_track",
      chance_ppm: 812_000,
      on_track: true,
      needs: { ...needs, rate: 27_380_000, rate_now: 23_410_000 },
    }),
    goal("Return in spring", "roas", "ppm", 4_000_000, { actual_reason: "nothing_to_divide_by" }),
    goal("Sales in November", "conversions", "count", 800, {
      actual: 411,
      standing: "at_risk",
      chance_ppm: 173_000,
      on_track: false,
      ends_low: 655,
      ends_mid: 702,
      ends_high: 749,
      needs: { ...needs, rate: 32, rate_now: 24 },
    }),
    goal("Visitors", "clicks", "count", 10_000, {
      actual: 10_233,
      standing: "met",
      on_track: true,
      chance_ppm: 1_000_000,
      ends_low: 10_233,
      ends_mid: 16_000,
      ends_high: 18_000,
    }),
  ];
}

/** What rules said: one that acted, one that holds and cools down, one that lost, one that cannot tell, one not. */
function rules() {
  const said = (rule, word, detail, when, then, more) => ({
    rule,
    word,
    detail,
    action: null,
    matched: !["no_match", "absent", "too_little"].includes(word),
    when,
    then,
    mode: "auto",
    cool_down_ms: 86_400_000,
    ...more,
  });
  return [
    said("a bad hour", "no_match", "last_1h.cvr 0.031", "last_1h.cvr < 0.01", "pause 6h"),
    said("cut what is dear", "cooling_down", "last_7d.cpa 31.2, last_7d.conversions 44", "last_7d.cpa > 25 && last_7d.conversions >= 10", "scale_bid 0.9"),
    said("no sales", "absent", "today.conversions is not known", "today.conversions == 0 && today.spend > 50", "alert warning"),
    said("raise what pays", "observed", "last_28d.roas 5.1", "last_28d.roas > 4", "scale_budget 1.1", { action: "set_daily_budget 183.19 EUR (step_up)", mode: "observe" }),
    said("raise what pays less", "lost", "to raise what pays", "last_28d.roas > 3", "scale_budget 1.05"),
    said("young", "too_little", "clicks", "last_7d.ctr < 0.001", "pause day"),
  ];
}

const MOBILE = { name: "device", value: "mobile" };
const NO_VALUES = { from_micros: null, to_micros: null, from_table_ppm: null, to_table_ppm: null };
const EVENINGS = Array.from({ length: 24 }, (_, hour) => (hour >= 17 && hour < 20 ? 1_250_000 : 940_000));

export function proposals(state) {
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

export function alerts(state) {
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

/** One of each verdict; the running one has three arms. */
export function experiments(state) {
  if (!state.campaigns) return [];
  const experiment = (id, verdict, more) => ({
    account_id: "account-0",
    id,
    metric: "conversions_per_budget",
    unit: "campaign_day",
    start: "2026-11-02",
    days: 42,
    mature_days: 3,
    alpha: 0.05,
    verdict,
    winner: null,
    decided_on: null,
    arms: [
      { name: "as it is", share: 0.5, days_judged: 84, mean: 0.04213 },
      { name: "quicker", share: 0.5, days_judged: 79, mean: 0.04407 },
    ],
    comparisons: [{ arm: "quicker", ln_e: 1.1, p_value: 0.333, effect: { low: -0.041, mid: 0.046, high: 0.133 } }],
    sample_ratio_ln_e: 0,
    ...more,
  });
  const young = name => ({ name, share: 0.5, days_judged: 0, mean: null });
  return [
    experiment("bolder raises", "decided", {
      winner: "bold",
      decided_on: "2026-11-19",
      metric: "value_per_spend",
      arms: [
        { name: "as it is", share: 0.5, days_judged: 120, mean: 3.1 },
        { name: "bold", share: 0.5, days_judged: 117, mean: 3.62 },
      ],
      comparisons: [{ arm: "bold", ln_e: 9.2, p_value: 0.0001, effect: { low: 0.06, mid: 0.168, high: 0.27 } }],
    }),
    experiment("next spring", "planned", {
      start: "2027-03-01",
      arms: [young("as it is"), young("longer windows")],
      comparisons: [{ arm: "longer windows", ln_e: 0, p_value: 1, effect: null }],
    }),
    experiment("quicker", "running", {}),
    experiment("barely begun", "running", {
      mature_days: 1,
      arms: [
        { name: "as it is", share: 0.5, days_judged: 2, mean: 0.115 },
        { name: "quicker", share: 0.5, days_judged: 2, mean: 0.087 },
      ],
      comparisons: [{ arm: "quicker", ln_e: 0, p_value: 1, effect: null }],
    }),
    experiment("half of it left out", "void", {}),
    experiment("smaller steps", "over", { decided_on: "2026-11-20" }),
  ];
}

export function quality(state) {
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

const pad = index => String(index).padStart(5, "0");

function seeded(seed) {
  let state = (seed * 2_654_435_761) % 2 ** 32;
  return () => (state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32) / 2 ** 32;
}
