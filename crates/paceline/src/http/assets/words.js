// Closed words of the service as sentences for people. A word that is not here is shown as it is, with spaces.

const WORDS = {
  on_plan: "on plan",
  set_bid: "Bid",
  set_daily_budget: "Daily budget",
  set_modifier: "Factor",
  set_modifiers: "Factors",
  set_modifier_table: "Factors by hour",
  hours: "Factors by hour",
  pause: "Pause",
  resume: "Resume",
  unpause: "Resume",
  cpa: "CPA",
  cpc: "CPC",
  cpm: "CPM",
  ctr: "CTR",
  cvr: "CVR",
  roas: "ROAS",
  roi: "ROI",
  spend: "spend",
  conversions: "conversions",
  spend_day_micros: "Spend of the day",
  no_budget: "no budget",
  no_plan: "no plan yet",
  no_goal: "no goal",
  no_rows_yet: "no closed window yet",
  no_window: "the pacing has no window yet",
  nothing_left_to_spend: "nothing left to spend",
  no_events_today: "no events today",
  nothing_to_divide_by: "nothing to divide by in these windows",
  nothing_to_divide_by_today: "nothing to divide by today",
  no_flight_budget: "no flight budget",
  not_recorded: "not recorded",
  nothing_read_yet: "it has no clock of its own, or nothing was read yet",
  none_since_this_process_started: "none since the service started",
  given_before_this_process_started: "given before this process started",
  no_flight_end: "the flight has no end",
  no_forecast_of_the_day: "no forecast of the day yet",
  undo: "taken back by a person",
  halted: "it is halted; release it first",
  protected: "it is protected, so nothing touches it",
  platform: "the platform holds it",
  no_impressions: "no impressions",
  no_clicks: "no clicks",
  no_conversions: "no conversion credited",
  nothing_spent: "nothing spent",
  no_events_in_the_window: "no events in these days",
  no_conversion_was_credited_in_the_window: "no conversion was credited in these days",
  no_path_led_to_a_conversion: "no path has led to a conversion yet",
  no_path_with_this_campaign: "no path leads over this campaign",
  corrections_name_no_dimension: "corrections name the campaign only",
  time_decay: "time decay",
};

const WHY_NOTHING = {
  halted_global: "everything is halted",
  halted_account: "the account is halted",
  halted_campaign: "the campaign is halted",
  no_spec: "there is no specification",
  ended: "it has ended",
  before_flight: "the flight has not begun",
  after_flight: "the flight is over",
  paused_by_person: "a person paused it",
  protected: "it is protected, so nothing touches it",
  not_ours: "this lever is not Paceline's",
  no_bid_bounds: "no least and greatest bid are set",
  no_bounds: "no bounds are set",
  no_budget: "no budget",
  human_override: "a person has set the value, which is left alone",
  awaiting_ack: "the last command is not acknowledged yet",
  pool_move_under_way: "the pool's move of last night is under way",
  pool_of_one: "fewer than two campaigns of the pool have shown enough",
  returns_alike: "money returns about the same in all campaigns of the pool",
  no_taker: "no campaign of the pool that returns more would spend more",
  below_step: "less than a step would move",
  gain_not_proven: "no gain is proven",
  too_little_to_learn: "no gain is proven, and small shifts would not prove one",
  anomaly: "broken tracking hides what money returns",
  unsettled: "a value of the pool is not settled",
  pool_young: "its first event is too young for a move",
  pool_few_conversions: "it has brought too few conversions for a move",
  pool_nothing_known: "nothing is known of what money returns",
  pool_other_zone: "its time zone is not the pool's",
  pool_stopped: "it is paused, ends or is protected",
  pool_uneven_budget: "its budget is not a whole number of steps",
  pool_bids_not_ours: "a platform sets its bids",
  awaiting_approval: "a proposal waits for approval",
  learning: "the platform is still learning",
  integrity_gap: "the journal has a gap, so only decreases pass",
  stale_data: "the data are stale, so only decreases pass",
  dead_data: "no data arrive, so only a hard stop passes",
  cool_down: "the last change is too young (cool-down)",
  rule_holds: "a rule has set the value, which is left alone for its cool-down",
  dead_band: "the change would be too small to matter (dead band)",
  raise_limit: "no further raise is allowed for now",
  increases_held: "increases are held",
  no_events: "there are no events to judge by",
  no_change: "the value is right as it is",
  cut_limit: "no further cut is allowed for now",
  outside_bounds: "the value would leave its bounds",
  nothing_in_force: "no value in force is known",
  below_unit: "the change is smaller than the platform's unit",
  ceiling_reached: "the ceiling is reached",
  period_spent: "the period's budget is spent",
  worst_case: "the worst case would cost more than is allowed",
  conservation: "the sum of budgets must not grow",
  halted: "it is halted",
  paused: "it is paused",
  waits_for_the_instant: "factors by hour change once a day, at their instant",
  breaker: "the circuit breaker is open",
  no_spec_yet: "there is no specification",
};

const GUARD = {
  floor: "raised to the least value allowed",
  ceiling: "lowered to the greatest value allowed",
  step_up: "held the raise to one step",
  step_down: "held the cut to one step",
  hour_up: "held the raise to what one hour allows",
  hour_down: "held the cut to what one hour allows",
  day_up: "held the raise to what one day allows",
  day_down: "held the cut to what one day allows",
  period: "held it to what the period has left",
  account_increases: "held it to what the account may raise",
  rounded_down: "rounded down to what the platform takes",
};

const HOLDERS = {
  daily_cap: "the day's ceiling",
  flight_cap: "the flight's budget",
  month_cap: "the month's ceiling",
  halt: "a halt",
  flight: "the flight's dates",
  person: "a person",
  schedule: "the schedule",
  account_cap: "the account's ceiling",
};

const TERMS = {
  spend_day_micros: "Spent today",
  unseen_micros: "Estimated spend not seen yet",
  ceiling_micros: "Ceiling of the day",
  plan_share_ppm: "Share of the plan due by now",
  data_age_ms: "Age of the newest data",
  apply_ms: "Time until a command acts",
  budget_day_micros: "Budget of the day",
  cost_per_event_micros: "Cost of one event",
  need_micros: "Needed in the window",
  window_spend_at_bid_micros: "The window's spend, had its bid been the loop's",
  error_ppm: "Deviation from the need",
  gain_ppm: "Gain of the controller",
  lease_spend_micros: "Spend until the raise ends, at twice the fastest rate",
  step_micro_nats: "Step of the bid",
  propensity_ppm: "Propensity",
  budget_log_bid_micro_nats: "Bid that the budget asks for",
  target_log_bid_micro_nats: "Bid that the target asks for",
  target_mean_cap_micro_nats: "Greatest bid that the target allows",
  target_window_ms: "Window of the target",
  target_due_micro: "Conversions due",
  target_seen_micro: "Conversions seen",
  target_error_ppm: "Deviation from the target",
};

/** Words of a code. */
export const words = code => WORDS[code] ?? String(code ?? "").replaceAll("_", " ");

/** The same, as the beginning of a line. */
export const Words = code => capital(words(code));

/** "bid: cool_down" as a sentence. */
export function whyNothing(text) {
  const [lever, reason] = splitOnce(text, ": ");
  const told = WHY_NOTHING[reason ?? lever] ?? words(reason ?? lever);
  return reason ? `${capital(words(lever))}: ${told}.` : `${capital(told)}.`;
}

const LIMITS = {
  budget: "the budget",
  target: "the target",
  bid_max: "the highest bid",
  bid_min: "the lowest bid",
  supply: "what the market offers",
};

/** What keeps a campaign from spending more, or a goal from being reached. */
export const limit = code => LIMITS[code] ?? words(code);

/** What held something back, as half a sentence. */
export const heldBack = code => WHY_NOTHING[code] ?? words(code);

/** Who holds a campaign. */
export const holder = code => HOLDERS[code] ?? words(code);

/** A number that was computed with. */
export const term = name => TERMS[name] ?? capital(words(name.replace(/_(micros|ppm|ms|micro_nats|micro)$/, "")));

/** What the guard changed. */
export const guardEdit = code => GUARD[code] ?? words(code);

const capital = text => text.charAt(0).toUpperCase() + text.slice(1);

function splitOnce(text, by) {
  const at = text.indexOf(by);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + by.length)];
}
