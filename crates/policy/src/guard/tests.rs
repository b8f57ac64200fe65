//! Stories of single rules, then properties over any input.

use super::*;
use crate::pressure::Rate;
use proptest::prelude::*;

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
const EUR: i64 = 1_000_000;
const NOON: Millis = 12 * HOUR;

fn settings() -> &'static Settings {
    static SETTINGS: std::sync::OnceLock<Settings> = std::sync::OnceLock::new();
    SETTINGS.get_or_init(Settings::default)
}

/// A bidder's bid between 0.10 and 2.00 EUR.
fn limits() -> Limits<'static> {
    Limits {
        mode: Mode::Auto,
        protected: false,
        floor: Some(EUR / 10),
        ceiling: Some(2 * EUR),
        unit: 10_000,
        cool_down_ms: 5 * MINUTE,
        raise_life_ms: 5 * MINUTE,
        apply_ms: MINUTE,
        settings: settings(),
    }
}

/// 0.50 EUR in force since yesterday, half of 240 EUR spent at 10 EUR an hour.
fn ledger() -> LedgerView {
    let rate = Rate { spend_micros: 10 * EUR, span_ms: HOUR };
    LedgerView {
        in_force: Some(EUR / 2),
        hour_ago: Some(EUR / 2),
        at_day_start: Some(EUR / 2),
        baseline: Some(EUR * 4 / 10),
        day_end_ms: 24 * HOUR,
        exposure: Exposure { seen_micros: 120 * EUR, unseen_micros: 0, rate, rate_max: rate },
        day_ceiling_micros: 240 * EUR,
        allowance_micros: 120 * EUR,
        ..LedgerView::default()
    }
}

fn bid(eur: f64) -> Proposal {
    propose(Action::SetBid(eur * 1e6), Reason::PacingBehind)
}

fn propose(action: Action, reason: Reason) -> Proposal {
    Proposal { action, reason, group_sum_micros: None, approved: false }
}

fn emitted(verdict: Verdict) -> Checked {
    match verdict {
        Verdict::Emit(command) => command.checked().clone(),
        other => panic!("expected a command, found {other:?}"),
    }
}

fn held(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Hold(why) => why.as_str(),
        other => panic!("expected a hold, found {other:?}"),
    }
}

fn proposed(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Propose(proposal) => proposal.why().as_str(),
        other => panic!("expected a proposal, found {other:?}"),
    }
}

#[test]
fn a_small_raise_passes_rounded_down_and_falls_back_to_the_harmless_value() {
    let command = emitted(check(&bid(0.559), &limits(), &ledger(), NOON));
    assert_eq!((command.kind(), command.value_micros()), ("set_bid", Some(550_000)));
    assert_eq!(command.edit_words(), ["rounded_down"]);
    assert_eq!(command.fallback(), Some(Fallback { value: 400_000, when_ms: NOON + 5 * MINUTE }));
    assert_eq!((command.expires_at_ms(), command.lease_until_ms()), (NOON + 5 * MINUTE, Some(NOON + 5 * MINUTE)));
    // 10 EUR an hour for five minutes, traffic doubled, the bid's rise by a tenth to the fourth power: 2.44 EUR.
    assert_eq!(command.lease_spend_micros().map(|spend| spend / 10_000), Some(244));
}

#[test]
fn step_hour_and_day_limits_shrink_and_say_so() {
    let value = |eur: f64, ledger: LedgerView| {
        let command = emitted(check(&bid(eur), &limits(), &ledger, NOON));
        (command.value_micros().unwrap(), command.edit_words().join(" "))
    };
    assert_eq!(value(1.0, ledger()), (600_000, "step_up".into()));
    assert_eq!(value(0.1, ledger()), (300_000, "step_down".into()));
    let rose = LedgerView { hour_ago: Some(450_000), ..ledger() };
    assert_eq!(value(1.0, rose), (560_000, "step_up hour_up rounded_down".into()));
    let day = LedgerView { at_day_start: Some(350_000), ..ledger() };
    assert_eq!(value(0.58, day), (520_000, "day_up rounded_down".into()));
    let low = LedgerView { in_force: Some(160_000), hour_ago: None, at_day_start: None, ..ledger() };
    assert_eq!(value(0.05, low), (100_000, "floor".into()));
}

#[test]
fn limits_used_up_hold() {
    let up = LedgerView { hour_ago: Some(400_000), ..ledger() };
    assert_eq!(held(check(&bid(0.55), &limits(), &up, NOON)), "raise_limit");
    let down = LedgerView { at_day_start: Some(4 * EUR), ..ledger() };
    assert_eq!(held(check(&bid(0.45), &limits(), &down, NOON)), "cut_limit");
}

#[test]
fn a_bid_of_a_few_units_moves_by_one() {
    let yen = Limits { floor: Some(EUR), ceiling: Some(9 * EUR), unit: EUR, ..limits() };
    let three = LedgerView {
        in_force: Some(3 * EUR),
        hour_ago: Some(3 * EUR),
        at_day_start: Some(3 * EUR),
        baseline: None,
        ..ledger()
    };
    assert_eq!(emitted(check(&bid(4.2), &yen, &three, NOON)).value_micros(), Some(4 * EUR));
    assert_eq!(emitted(check(&bid(2.9), &yen, &three, NOON)).value_micros(), Some(2 * EUR));
    assert_eq!(held(check(&bid(3.9), &yen, &three, NOON)), "no_change");
    assert_eq!(
        held(check(&bid(0.4), &Limits { floor: Some(1), ..yen }, &LedgerView { in_force: Some(EUR), ..three }, NOON)),
        "cut_limit"
    );
}

#[test]
fn bounds_come_first_and_last() {
    // The highest bid was lowered to 0.20: back to it at once, although the step allows only 0.30.
    let lowered = Limits { ceiling: Some(200_000), ..limits() };
    assert_eq!(emitted(check(&bid(0.5), &lowered, &ledger(), NOON)).value_micros(), Some(200_000));
    // The lowest bid was raised to 1.00: too far for a step.
    let raised = Limits { floor: Some(EUR), ..limits() };
    assert_eq!(held(check(&bid(0.5), &raised, &ledger(), NOON)), "outside_bounds");
    for (floor, ceiling) in [(None, Some(1)), (Some(1), None), (Some(0), Some(1)), (Some(2), Some(1))] {
        assert_eq!(held(check(&bid(0.5), &Limits { floor, ceiling, ..limits() }, &ledger(), NOON)), "no_bounds");
    }
}

#[test]
fn nothing_raises_on_stale_data_and_only_the_hard_stop_acts_on_dead_ones() {
    let cap = propose(Action::Pause(Holder::DailyCap, Some(24 * HOUR)), Reason::DailyCap);
    let resume = propose(Action::Resume(Holder::DailyCap), Reason::DayStarted);
    let at = |freshness| LedgerView { freshness, ..ledger() };
    let stale = at(Freshness::Stale);
    assert_eq!(held(check(&bid(0.55), &limits(), &stale, NOON)), "stale_data");
    assert_eq!(held(check(&resume, &limits(), &stale, NOON)), "stale_data");
    assert_eq!(emitted(check(&bid(0.45), &limits(), &stale, NOON)).value_micros(), Some(450_000));
    let dead = at(Freshness::Dead);
    assert_eq!(held(check(&bid(0.45), &limits(), &dead, NOON)), "dead_data");
    assert_eq!(emitted(check(&cap, &limits(), &dead, NOON)).holder(), Some(Holder::DailyCap));
    let gap = LedgerView { increases_held: true, ..ledger() };
    assert_eq!(held(check(&bid(0.55), &limits(), &gap, NOON)), "increases_held");
}

#[test]
fn a_halt_lets_only_its_own_pause_out() {
    let halted = LedgerView { halted: true, ..ledger() };
    let pause = |reason| propose(Action::Pause(Holder::Halt, None), reason);
    assert_eq!(held(check(&bid(0.45), &limits(), &halted, NOON)), "halted");
    assert_eq!(held(check(&pause(Reason::DailyCap), &limits(), &halted, NOON)), "halted");
    assert_eq!(emitted(check(&pause(Reason::Halt), &limits(), &halted, NOON)).kind(), "pause");
    assert_eq!(held(check(&pause(Reason::Halt), &Limits { protected: true, ..limits() }, &halted, NOON)), "protected");
}

#[test]
fn emergencies_skip_cool_down_and_limits_on_cuts_and_nothing_else() {
    let talked = LedgerView { last_command_ms: Some(NOON - MINUTE), ..ledger() };
    assert_eq!(held(check(&bid(0.45), &limits(), &talked, NOON)), "cool_down");
    let runaway = |eur: f64| propose(Action::SetBid(eur * 1e6), Reason::Runaway);
    assert_eq!(emitted(check(&runaway(0.2), &limits(), &talked, NOON)).value_micros(), Some(200_000));
    assert_eq!(emitted(check(&runaway(0.01), &limits(), &talked, NOON)).value_micros(), Some(100_000));
    assert_eq!(held(check(&runaway(0.6), &limits(), &talked, NOON)), "cool_down");
    // A clock that jumped back is no reason to talk.
    let ahead = LedgerView { last_command_ms: Some(NOON + HOUR), ..ledger() };
    assert_eq!(held(check(&bid(0.45), &limits(), &ahead, NOON)), "cool_down");
}

#[test]
fn a_day_s_rise_is_counted_from_the_day_before_where_an_evening_had_cut_the_bid() {
    let limits = Limits { ceiling: Some(5 * EUR), ..limits() };
    let evening = LedgerView {
        in_force: Some(290_000),
        hour_ago: Some(270_000),
        at_day_start: Some(200_000),
        mildest_of_rate: None,
        ..ledger()
    };
    let value = |ledger: &LedgerView| emitted(check(&bid(0.34), &limits, ledger, NOON)).value_micros();
    assert_eq!(value(&evening), Some(300_000), "half more than where the day began");
    assert_eq!(
        value(&LedgerView { day_before: Some(500_000), ..evening }),
        Some(330_000),
        "a unit below the hour's limit"
    );
    assert_eq!(value(&LedgerView { day_before: Some(100_000), ..evening }), Some(300_000), "never less");
}

#[test]
fn a_worst_case_above_the_allowance_holds_a_raise_and_never_a_cut() {
    let tight = LedgerView { allowance_micros: EUR, ..ledger() };
    assert_eq!(held(check(&bid(0.55), &limits(), &tight, NOON)), "worst_case");
    // A cut has no lease: the whole room, since ten an hour twice over would use it up by midnight, and once more the minute
    // that a pause takes, since the rate foretold one of it.
    let minute = (10 * EUR + 59) / 60;
    assert_eq!(emitted(check(&bid(0.45), &limits(), &tight, NOON)).worst_case_micros(), 120 * EUR + minute);
    let spent = LedgerView { day_ceiling_micros: 120 * EUR, ..ledger() };
    assert_eq!(held(check(&bid(0.55), &limits(), &spent, NOON)), "ceiling_reached");
    // After silence the rate says nothing: all of the room is at risk.
    let silent = Exposure { rate_max: Rate { spend_micros: 0, span_ms: HOUR }, ..ledger().exposure };
    let idle = LedgerView { exposure: silent, ..ledger() };
    assert_eq!(emitted(check(&bid(0.55), &limits(), &idle, NOON)).worst_case_micros(), 120 * EUR);
}

#[test]
fn a_worst_case_knows_earlier_raises_the_hour_and_the_chance_in_few_events() {
    let raised = |ledger: &LedgerView| emitted(check(&bid(0.55), &limits(), ledger, NOON));
    let cents = |ledger: &LedgerView| raised(ledger).lease_spend_micros().unwrap() / 10_000;
    assert_eq!(cents(&ledger()), 244);
    // What is printed waits for no lease: the value that it falls back to spends on.
    assert!(raised(&ledger()).worst_case_micros() >= 120 * EUR);
    // The rate was spent with a lower bid: 1.1 x 1.25 to the fourth power.
    assert_eq!(cents(&LedgerView { mildest_of_rate: Some(400_000), ..ledger() }), 595);
    assert_eq!(cents(&LedgerView { traffic_of_lease: 3.0, traffic_of_day: 9.0, ..ledger() }), 732);
    // About seven events of 0.35 EUR are expected: that twice as dear ones come, and so many, has a chance of one in a million.
    assert_eq!(cents(&LedgerView { event_micros: 350_000, ..ledger() }), 1_325);
    // Where the room is less than that, it bounds, and what is in flight comes on top: a minute of 0.17 EUR, threefold by raise
    // and traffic, and with chance, less what the rate foretold.
    let near = LedgerView { event_micros: 10_000, day_ceiling_micros: 121 * EUR, ..ledger() };
    assert_eq!((cents(&near), raised(&near).worst_case_micros() / 10_000), (100, 194));
}

#[test]
fn budgets_have_periods_accounts_and_approvals() {
    let budget = |eur: f64| propose(Action::SetDailyBudget(eur * 1e6), Reason::BudgetPlan);
    let limits = Limits { floor: Some(EUR), ceiling: Some(5_000 * EUR), ..limits() };
    let at = |in_force: i64| LedgerView {
        in_force: Some(in_force * EUR),
        hour_ago: None,
        at_day_start: Some(in_force * EUR),
        account_budgets_micros: 1_000 * EUR,
        ..ledger()
    };
    let value = |proposal, ledger| emitted(check(&proposal, &limits, &ledger, NOON)).value_micros().unwrap() / EUR;
    assert_eq!(value(budget(110.0), at(100)), 110);
    assert_eq!(value(budget(500.0), at(100)), 120);
    let spent = LedgerView { account_increases_hour_micros: 95 * EUR, ..at(100) };
    assert_eq!(value(budget(500.0), spent), 105);
    let used = LedgerView { account_increases_hour_micros: 100 * EUR, ..at(100) };
    assert_eq!(held(check(&budget(110.0), &limits, &used, NOON)), "account_increases");
    assert_eq!(value(budget(110.0), LedgerView { period_left_micros: Some(104 * EUR), ..at(100) }), 104);
    let over = LedgerView { period_left_micros: Some(90 * EUR), ..at(100) };
    assert_eq!(held(check(&budget(110.0), &limits, &over, NOON)), "period_spent");
    assert_eq!(proposed(check(&budget(75.0), &limits, &at(100), NOON)), "large_budget_move");
    let large = LedgerView { account_budgets_micros: 9_000 * EUR, ..at(2_000) };
    assert_eq!(proposed(check(&budget(2_201.0), &limits, &large, NOON)), "large_budget_move");
    let approved = Proposal { approved: true, ..budget(75.0) };
    assert_eq!(value(approved, at(100)), 75);
    let group = |sum| Proposal { group_sum_micros: Some(sum), ..budget(110.0) };
    assert_eq!(held(check(&group(1), &limits, &at(100), NOON)), "conservation");
    assert_eq!(value(group(0), at(100)), 110);
    let clamped = Proposal { group_sum_micros: Some(0), ..budget(130.0) };
    assert_eq!(held(check(&clamped, &limits, &at(100), NOON)), "conservation");
}

#[test]
fn modes_decide_the_door() {
    let with = |mode| Limits { mode, ..limits() };
    assert_eq!(proposed(check(&bid(0.55), &with(Mode::Observe), &ledger(), NOON)), "observe_mode");
    assert_eq!(proposed(check(&bid(0.55), &with(Mode::Approve), &ledger(), NOON)), "approve_mode");
    let approved = Proposal { approved: true, ..bid(0.55) };
    assert_eq!(emitted(check(&approved, &with(Mode::Approve), &ledger(), NOON)).value_micros(), Some(550_000));
    assert_eq!(proposed(check(&approved, &with(Mode::Observe), &ledger(), NOON)), "observe_mode");
    assert_eq!(Mode::parse("anything"), Mode::Observe);
    let target = propose(Action::SetTargetRoas(450_000.0), Reason::Target);
    assert_eq!(proposed(check(&target, &limits(), &ledger(), NOON)), "set_target");
    let latched = LedgerView { runaway_latched: true, ..ledger() };
    let resume = propose(Action::Resume(Holder::Runaway), Reason::RunawayOver);
    assert_eq!(proposed(check(&resume, &limits(), &latched, NOON)), "runaway_latched");
    let minute = (10 * EUR + 59) / 60;
    assert_eq!(emitted(check(&resume, &limits(), &ledger(), NOON)).worst_case_micros(), 120 * EUR + minute);
}

#[test]
fn a_return_target_spends_more_when_it_falls() {
    let lower = Proposal { approved: true, ..propose(Action::SetTargetRoas(450_000.0), Reason::Target) };
    let command = emitted(check(&lower, &limits(), &ledger(), NOON));
    assert!(command.raises_spend() && command.value_micros().is_none());
    let wide = LedgerView { day_ceiling_micros: 100_000 * EUR, allowance_micros: 100_000 * EUR, ..ledger() };
    let worst_case = |action| {
        let proposal = Proposal { approved: true, ..propose(action, Reason::Target) };
        emitted(check(&proposal, &limits(), &wide, NOON)).lease_spend_micros()
    };
    let (lower_return, dearer) =
        (worst_case(Action::SetTargetRoas(450_000.0)), worst_case(Action::SetTargetCpa(550_000.0)));
    assert!(dearer < lower_return, "a tenth less of return is a ninth more of bid");
    let since = |mildest| LedgerView { mildest_of_rate: Some(mildest), ..wide };
    let after = |mildest| emitted(check(&lower, &limits(), &since(mildest), NOON)).lease_spend_micros();
    assert!(after(500_000) < after(600_000), "the rate was spent with less bid than now");
    assert_eq!((command.value_ppm(), command.fallback().unwrap().value), (Some(450_000), 500_000));
    let higher = Proposal { approved: true, ..propose(Action::SetTargetRoas(550_000.0), Reason::Target) };
    assert!(!emitted(check(&higher, &limits(), &ledger(), NOON)).raises_spend());
}

#[test]
fn the_breaker_holds_all_but_emergencies() {
    let clamped = BreakerCounts { proposals: 20, clamped: 5, commands_hour: 0, campaigns: 10 };
    let broken = LedgerView { breaker: clamped, ..ledger() };
    assert_eq!(held(check(&bid(0.45), &limits(), &broken, NOON)), "breaker");
    let stop = propose(Action::Pause(Holder::DailyCap, None), Reason::DailyCap);
    assert_eq!(emitted(check(&stop, &limits(), &broken, NOON)).kind(), "pause");
    let counts = |proposals, clamped, commands_hour| BreakerCounts { proposals, clamped, commands_hour, campaigns: 10 };
    assert_eq!(breaker(&counts(20, 4, 30), settings()), None);
    assert_eq!(breaker(&counts(19, 19, 30), settings()), None);
    assert_eq!(breaker(&counts(0, 0, 31), settings()), Some(BreakerCause::Commands));
}

#[test]
fn nonsense_is_held() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
        assert_eq!(held(check(&bid(value), &limits(), &ledger(), NOON)), "not_finite");
    }
    assert_eq!(held(check(&bid(-1.0), &limits(), &ledger(), NOON)), "not_positive");
    assert_eq!(held(check(&bid(0.5), &limits(), &LedgerView { in_force: None, ..ledger() }, NOON)), "nothing_in_force");
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), (1_i64..3_000_000).prop_map(|v| v as f64), any::<i64>().prop_map(|v| v as f64)]
}

fn any_money() -> impl Strategy<Value = i64> {
    prop_oneof![2 => any::<i64>(), 5 => 0..3_000_000_i64, 2 => 0..500_000_000_i64]
}

fn any_proposal() -> impl Strategy<Value = Proposal> {
    let holder = prop::sample::select(vec![Holder::DailyCap, Holder::Runaway, Holder::Halt, Holder::Underperformer]);
    let reason = prop::sample::select(vec![
        Reason::PacingBehind,
        Reason::PacingAhead,
        Reason::DailyCap,
        Reason::Runaway,
        Reason::Halt,
        Reason::BudgetPlan,
    ]);
    let group = prop_oneof![4 => Just(None), 1 => Just(Some(0)), 1 => any::<i64>().prop_map(Some)];
    (0..6_u8, any_value(), holder, any::<Option<i64>>(), reason, group, any::<bool>()).prop_map(
        |(which, value, holder, until, reason, group_sum_micros, approved)| {
            let action = match which {
                0 => Action::SetBid(value),
                1 => Action::SetDailyBudget(value),
                2 => Action::SetTargetCpa(value),
                3 => Action::SetTargetRoas(value),
                4 => Action::Pause(holder, until),
                _ => Action::Resume(holder),
            };
            Proposal { action, reason, group_sum_micros, approved }
        },
    )
}

fn any_limits() -> impl Strategy<Value = Limits<'static>> {
    let mode = prop::sample::select(vec![Mode::Observe, Mode::Approve, Mode::Auto, Mode::Auto]);
    let bound = |money: i64| prop_oneof![1 => Just(None), 6 => any_money().prop_map(Some), 6 => Just(Some(money))];
    let unit = prop_oneof![Just(10_000), Just(1), any::<i64>()];
    (mode, prop::bool::weighted(0.05), bound(1), bound(3_000_000), unit, any_money(), any_money()).prop_map(
        |(mode, protected, floor, ceiling, unit, cool_down_ms, raise_life_ms)| Limits {
            mode,
            protected,
            floor,
            ceiling,
            unit,
            cool_down_ms,
            raise_life_ms,
            apply_ms: cool_down_ms,
            settings: settings(),
        },
    )
}

fn any_ledger() -> impl Strategy<Value = LedgerView> {
    let maybe = || prop_oneof![1 => Just(None), 6 => any_money().prop_map(Some)];
    let values = prop::array::uniform4(maybe());
    let fresh = prop::sample::select(vec![Freshness::Fresh, Freshness::Fresh, Freshness::Stale, Freshness::Dead]);
    let flags = prop::array::uniform3(prop::bool::weighted(0.15));
    (values, maybe(), fresh, flags, prop::array::uniform12(any_money()), maybe()).prop_map(
        |(v, last_command_ms, freshness, flags, n, period_left_micros)| LedgerView {
            halted: flags[0],
            in_force: v[0],
            hour_ago: v[1],
            at_day_start: v[2],
            day_before: v[3].or(v[0]),
            baseline: v[3],
            mildest_of_rate: v[2].or(v[1]),
            traffic_of_lease: n[9] as f64 / n[10] as f64,
            traffic_of_day: n[10] as f64,
            event_micros: n[11],
            last_command_ms,
            freshness,
            increases_held: flags[1],
            day_end_ms: n[0],
            exposure: Exposure {
                seen_micros: n[1],
                unseen_micros: n[2],
                rate: Rate::default(),
                rate_max: Rate { spend_micros: n[3], span_ms: n[4] },
            },
            day_ceiling_micros: n[5],
            allowance_micros: n[6],
            period_left_micros,
            account_increases_hour_micros: n[7],
            account_budgets_micros: n[8],
            pool_left_micros: None,
            changes_hour: (n[9] % 6, n[10] % 6),
            runaway_latched: flags[2],
            breaker: BreakerCounts {
                proposals: n[9] % 50,
                clamped: n[10] % 50,
                commands_hour: n[11] % 50,
                campaigns: 10,
            },
        },
    )
}

fn passed(verdict: &Verdict) -> Option<&Checked> {
    match verdict {
        Verdict::Emit(command) => Some(command.checked()),
        Verdict::Propose(proposal) => Some(proposal.checked()),
        Verdict::Hold(_) => None,
    }
}

/// A ledger and limits that mostly let something out, so that each limit is met from both sides.
fn likely() -> impl Strategy<Value = (Proposal, Limits<'static>, LedgerView)> {
    let base = || prop_oneof![1 => Just(None), 3 => (300_000_i64..900_000).prop_map(Some)];
    let money = || 0..2_000_000_i64;
    (0..4_u8, 50_000.0..3_000_000.0, [base(), base(), base()], 300_000_i64..900_000, [money(), money(), money()])
        .prop_map(|(which, value, bases, in_force, n)| {
            let action = match which {
                0 => Action::SetDailyBudget(value),
                1 => Action::SetTargetRoas(value),
                _ => Action::SetBid(value),
            };
            let ledger = LedgerView {
                in_force: Some(in_force),
                hour_ago: bases[0],
                at_day_start: bases[1],
                day_before: bases[0].or(bases[2]),
                period_left_micros: bases[2],
                account_increases_hour_micros: n[0] / 10,
                account_budgets_micros: n[1] * 2,
                allowance_micros: n[2] * 200,
                ..ledger()
            };
            (propose(action, Reason::PacingBehind), limits(), ledger)
        })
}

#[test]
fn a_platform_that_takes_four_changes_an_hour_is_not_sent_a_fifth() {
    let limits = Limits { floor: Some(EUR), ceiling: Some(900 * EUR), cool_down_ms: 0, ..limits() };
    let held = |changes_hour, action| {
        let view =
            LedgerView { changes_hour, in_force: Some(100 * EUR), account_budgets_micros: 1_000 * EUR, ..ledger() };
        matches!(
            check(&propose(action, Reason::BudgetPlan), &limits, &view, NOON),
            Verdict::Hold(GuardHold::ChangeLimit)
        )
    };
    let cut = Action::SetDailyBudget(90e6);
    assert_eq!([held((3, 4), cut), held((4, 4), cut), held((99, 0), cut)], [false, true, false]);
    assert!(!held((4, 4), Action::Pause(Holder::DailyCap, None)), "a pause is no change of the budget");
}

#[test]
fn the_pause_at_the_end_of_a_flight_leaves_on_dead_data() {
    let dead = LedgerView { freshness: Freshness::Dead, ..ledger() };
    let passes = |holder, reason| {
        matches!(check(&propose(Action::Pause(holder, None), reason), &limits(), &dead, NOON), Verdict::Emit(_))
    };
    assert!(passes(Holder::Flight, Reason::FlightEnd));
    assert!(!passes(Holder::DailyCap, Reason::TinyBudgetTurn));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_passes_of_any_input_is_within_bounds_fresh_affordable_and_stable(
        proposal in any_proposal(), limits in any_limits(), ledger in any_ledger(), now in any_money(),
    ) {
        all_rules_hold(&proposal, &limits, &ledger, now)?;
    }

    #[test]
    fn whatever_passes_of_likely_input_is_within_bounds_fresh_affordable_and_stable(
        (proposal, limits, ledger) in likely(),
    ) {
        all_rules_hold(&proposal, &limits, &ledger, NOON)?;
    }
}

fn all_rules_hold(
    proposal: &Proposal,
    limits: &Limits<'_>,
    ledger: &LedgerView,
    now: Millis,
) -> Result<(), TestCaseError> {
    let verdict = check(proposal, limits, ledger, now);
    prop_assert_eq!(&verdict, &check(proposal, limits, ledger, now));
    let Some(checked) = passed(&verdict) else { return Ok(()) };
    let emergency = proposal.reason.is_emergency() && !checked.raises_spend();
    // Mode, halt, staleness.
    if matches!(verdict, Verdict::Emit(_)) {
        prop_assert!(limits.mode == Mode::Auto || (limits.mode == Mode::Approve && proposal.approved));
    }
    prop_assert!(!limits.protected);
    prop_assert!(!ledger.halted || (proposal.reason == Reason::Halt && !checked.raises_spend()));
    prop_assert!(!checked.raises_spend() || ledger.freshness == Freshness::Fresh);
    prop_assert!(ledger.freshness != Freshness::Dead || emergency);
    // Money.
    if checked.raises_spend() {
        prop_assert!(!ledger.increases_held);
        let exposed = ledger.exposure.exposed_micros().max(0);
        let room = ledger.day_ceiling_micros.max(0).saturating_sub(exposed).max(0);
        prop_assert!(checked.worst_case_micros() >= room);
        prop_assert!(checked.lease_spend_micros().is_none_or(|spend| spend <= ledger.allowance_micros.min(room)));
        prop_assert!(ledger.exposure.exposed_micros() < ledger.day_ceiling_micros);
    }
    prop_assert!(checked.worst_case_micros() >= 0);
    // The value.
    let Some(value) = checked.value_micros().or(checked.value_ppm()) else { return Ok(()) };
    let (asked, in_force) = (proposal.action.value().unwrap(), ledger.in_force.unwrap());
    prop_assert!(limits.floor.unwrap() <= value && value <= limits.ceiling.unwrap());
    prop_assert_eq!(value % limits.unit.max(1), 0);
    prop_assert!(value > 0 && value != in_force);
    let unit = limits.unit.max(1);
    if let Action::SetBid(_) = proposal.action {
        let one = |base: i64, share: f64| ((base.max(0) as f64 * share) as i64).max(unit).saturating_add(1);
        if value > in_force {
            prop_assert!(value <= in_force.saturating_add(one(in_force, 0.20)));
            let day = ledger.at_day_start.unwrap_or(in_force).max(ledger.day_before.unwrap_or(0));
            for (base, share) in [(ledger.hour_ago, 0.25), (Some(day), 0.50)] {
                let base = base.unwrap_or(in_force).max(0);
                prop_assert!(value <= base.saturating_add(one(base, share)));
            }
        } else if !emergency && value < limits.ceiling.unwrap() / unit * unit {
            prop_assert!(value.saturating_add(unit) > in_force.saturating_sub(one(in_force, 0.40)));
        }
    }
    if let Action::SetDailyBudget(_) = proposal.action
        && value > in_force
    {
        let share = (ledger.account_budgets_micros.max(0) as f64 * 0.10) as i64;
        prop_assert!(value - in_force <= share.saturating_add(1));
        prop_assert!(ledger.period_left_micros.is_none_or(|left| value <= left));
    }
    // Never further than asked, unless a bound asks for it.
    let (floor, ceiling) = (limits.floor.unwrap() as f64, limits.ceiling.unwrap() as f64);
    let bounded = asked.clamp(floor, ceiling);
    if value > in_force {
        prop_assert!(value as f64 <= bounded * (1.0 + 1e-9) + 1.0);
    } else {
        prop_assert!(value.saturating_add(unit) as f64 >= bounded.min(ceiling) * (1.0 - 1e-9) - 1.0);
    }
    // A second pass changes nothing.
    let again = Proposal { action: proposal.action.with_value(value as f64), ..*proposal };
    // f64 holds integers up to 2^53 exactly; larger money does not occur and may be off by its rounding.
    if value < 1 << 53 && proposal.group_sum_micros.is_none() {
        let second = check(&again, limits, ledger, now);
        let twice = passed(&second).and_then(|c| c.value_micros().or(c.value_ppm()));
        prop_assert_eq!(twice, Some(value));
    }
    Ok(())
}

mod factors {
    use super::super::{FactorView, check_factors};
    use super::*;
    use crate::explain::Reason;
    use crate::gates::Freshness;
    use crate::settings::Modifiers;

    fn passed(wanted: &[f64], in_force: &[i64], ledger: &LedgerView, now: i64) -> Verdict {
        let limits = Limits { ceiling: Some(1_500_000), cool_down_ms: HOUR, ..limits() };
        let proposal = Proposal {
            action: Action::SetModifierTable,
            reason: Reason::Modifiers,
            group_sum_micros: None,
            approved: false,
        };
        let view = FactorView { wanted, in_force, known: &[], is_over: false, settings: &Modifiers::default() };
        check_factors(&proposal, &view, &limits, ledger, now)
    }

    fn quiet() -> LedgerView {
        LedgerView {
            in_force: Some(1_000_000),
            freshness: Freshness::Fresh,
            day_end_ms: 86_400_000,
            day_ceiling_micros: 100_000_000,
            allowance_micros: 100_000_000,
            ..LedgerView::default()
        }
    }

    fn table(verdict: &Verdict) -> Vec<i64> {
        match verdict {
            Verdict::Emit(command) => command.checked().factors().to_vec(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn no_hour_bids_more_than_the_campaign_may_nor_jumps() {
        let mut wanted = [1.0; 24];
        wanted[3] = 0.1;
        wanted[18] = 9.0;
        let verdict = passed(&wanted, &[], &quiet(), 0);
        let first = table(&verdict);
        assert_eq!((first[3], first[18], first[7]), (600_000, 1_500_000, 1_000_000), "steps of -40 % and +50 %");
        let second = table(&passed(&wanted, &first, &quiet(), 0));
        assert_eq!((second[3], second[18]), (360_000, 1_500_000), "1.5 times the bid is the campaign's highest");
        let Verdict::Emit(command) = verdict else { panic!() };
        assert!(command.checked().raises_spend() && command.checked().lease_until_ms() == Some(300_000));
    }

    #[test]
    fn a_table_is_held_like_a_raise_and_one_that_only_cuts_is_not() {
        let (mut up, mut down) = ([1.0; 24], [1.0; 24]);
        (up[5], down[5]) = (1.2, 0.8);
        let held = LedgerView { increases_held: true, ..quiet() };
        assert_eq!(passed(&up, &[], &held, 0), Verdict::Hold(GuardHold::IncreasesHeld));
        assert_eq!(table(&passed(&down, &[], &held, 0))[5], 800_000);
        let poor = LedgerView { allowance_micros: -1, ..quiet() };
        assert_eq!(passed(&up, &[], &poor, 0), Verdict::Hold(GuardHold::WorstCase));
        let halted = LedgerView { halted: true, ..quiet() };
        assert_eq!(passed(&down, &[], &halted, 0), Verdict::Hold(GuardHold::Halted));
        let again = LedgerView { last_command_ms: Some(0), ..quiet() };
        assert_eq!(passed(&down, &[], &again, 3_599_999), Verdict::Hold(GuardHold::CoolDown));
        assert_eq!(passed(&[1.0; 24], &[], &quiet(), 0), Verdict::Hold(GuardHold::NoChange));
        assert_eq!(passed(&[f64::NAN; 24], &[], &quiet(), 0), Verdict::Hold(GuardHold::NotFinite));
        assert_eq!(passed(&[1.0; 7], &[], &quiet(), 0), Verdict::Hold(GuardHold::NoBounds));
    }
}

#[test]
fn no_rise_lifts_the_sum_of_what_may_be_in_force_in_a_pool() {
    let budget = |value: i64| Proposal { action: Action::SetDailyBudget(value as f64), ..bid(0.5) };
    let in_pool = |left: i64| LedgerView {
        in_force: Some(100 * EUR),
        hour_ago: None,
        at_day_start: Some(100 * EUR),
        baseline: Some(100 * EUR),
        last_command_ms: None,
        account_budgets_micros: 1_000 * EUR,
        pool_left_micros: Some(left),
        ..ledger()
    };
    let wide = Limits { floor: Some(EUR), ceiling: Some(1_000 * EUR), unit: 10_000, ..limits() };
    assert_eq!(held(check(&budget(110 * EUR), &wide, &in_pool(9 * EUR), NOON)), "conservation");
    assert!(matches!(check(&budget(110 * EUR), &wide, &in_pool(10 * EUR), NOON), Verdict::Emit(_)));
    assert!(matches!(check(&budget(90 * EUR), &wide, &in_pool(-EUR), NOON), Verdict::Emit(_)));
}
