//! The default pressure: a linear error, damped by two events' cost, and an integrator on the log-bid (section 4).
//!
//! Linear on purpose: the log of a ratio is biased upwards by few events and spends the day's money early.
//!
//! The gain grows with the error's distance from what counts of events explain: chance is followed slowly, a halved budget
//! or a dearer market at once. That a quick loop does not overshoot is owed to the window, which tells what it would have
//! cost at the bid that the loop stands at.
//!
//! A day begins with the bid that bought the middle of the day before. What was bid in its last hours followed what
//! was left of that day's money, and what is left of a day is mostly chance: carried over midnight, a low bid of 300 events
//! a day cost half of the next day, since the guard limits how far a bid rises from where a day began.

use super::{Input, Memory, Pressure, Step, admitted, moved, need};
use crate::arithmetic::{NAT, finite, half_to_even, ppm};
use crate::hold::Hold;
use crate::settings::Pressure as Settings;

/// e = clamp((R - S_w) / (R + q), -2, 1); u += clamp(k g e / 2, -0.20, 0.10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Linear;

impl Pressure for Linear {
    fn evaluate(&self, input: &Input, memory: &mut Memory, settings: &Settings) -> Result<Step, Hold> {
        let bounds = admitted(input, settings)?;
        remember(input, memory);
        let need = need(input)?;
        let error = error(need, input, settings)?;
        let surprise = surprise(need, input, settings);
        if let Some(way) = way_home(input, memory, error, surprise) {
            // Few commands: as far as the bid in force may be left behind.
            let step = way.clamp(-settings.wind_up_max, settings.wind_up_max);
            return Ok(Step { returns: true, ..moved(input, bounds, step, error, 1.0)? });
        }
        let gain = (gain(input, settings)? * surprise).min(settings.gain_max);
        let wanted = (gain * error / settings.elasticity).clamp(-settings.step_down_max, settings.step_up_max);
        moved(input, bounds, wanted, error, gain)
    }
}

/// Parts of the plan between which a day's bid is remembered: before it few events tell anything, after it what is left of
/// the day's money is mostly chance.
const MIDDLE: [f64; 2] = [0.35, 0.85];
/// So much of the plan, in parts per million, must have been seen there.
const MIDDLE_SEEN_PPM: i64 = 250_000;
/// As near as this, in nats, the bid is back: no command is worth less.
const HOME_NATS: f64 = 0.05;

/// Notes the bid that the loop stands at, by the part of the plan that it bought; a new day takes the mean as its home.
fn remember(input: &Input, memory: &mut Memory) {
    let since = memory.since(input);
    if since.new_day {
        let follows = memory
            .day_start_ms
            .is_some_and(|day| input.day_start_ms.saturating_sub(day) < input.day_ms.saturating_add(input.day_ms / 2));
        let seen = follows && memory.signals >= MIDDLE_SEEN_PPM;
        memory.home = seen.then(|| half_to_even(memory.signal_sum / memory.signals as f64).ok()).flatten();
        memory.is_returning = memory.home.is_some();
        (memory.signal_sum, memory.signals) = (0.0, 0);
    }
    let done = 1.0 - input.share_left;
    if (MIDDLE[0]..=MIDDLE[1]).contains(&done) {
        let weight = ppm(since.share);
        memory.signal_sum += weight as f64 * input.log_bid as f64;
        memory.signals = memory.signals.saturating_add(weight);
    }
    memory.note(input);
}

/// How far, in nats, the bid still has to return. The way ends there, where the middle of the day begins, and where more
/// than chance speaks against it.
fn way_home(input: &Input, memory: &mut Memory, error: f64, surprise: f64) -> Option<f64> {
    let home = memory.home.filter(|_| memory.is_returning)?;
    let way = home.saturating_sub(input.log_bid) as f64 / NAT;
    let is_refuted = surprise > 1.0 && way * error < 0.0;
    memory.is_returning = way.abs() > HOME_NATS && 1.0 - input.share_left < MIDDLE[0] && !is_refuted;
    memory.is_returning.then_some(way)
}

fn error(need: f64, input: &Input, settings: &Settings) -> Result<f64, Hold> {
    let damping = settings.damping_events * input.cost_micros as f64;
    if need + damping <= 0.0 {
        return Err(Hold::EmptyDenominator);
    }
    let error = (need - input.window_spend_micros as f64) / (need + damping);
    Ok(finite(error)?.clamp(-settings.error_down_max, settings.error_up_max))
}

/// k = min(0.5, 0.25 dt / (w/2 + lag + apply)): a slow loop must move slowly.
fn gain(input: &Input, settings: &Settings) -> Result<f64, Hold> {
    let turn_ms = input.window_ms.max(0) as f64 / 2.0 + input.lag_ms.max(0) as f64 + input.apply_ms.max(0) as f64;
    if turn_ms <= 0.0 {
        return Err(Hold::EmptyDenominator);
    }
    finite((settings.gain_per_turn * input.since_last_ms as f64 / turn_ms).min(settings.gain_max))
}

/// g: how often the window is further from its need than a Poisson count of events of cost c would be, between 1 and the
/// set most; 1 where the window remembers other bids. One event is added to the variance, so that nothing is certain after
/// none.
fn surprise(need: f64, input: &Input, settings: &Settings) -> f64 {
    if !input.is_at_bid {
        return 1.0;
    }
    let cost = input.cost_micros as f64;
    let doubt = settings.gain_doubts * libm::sqrt(cost * need + cost * cost);
    let off = (need - input.window_spend_micros as f64).abs();
    (off / doubt).clamp(1.0, settings.gain_growth_max)
}

#[cfg(test)]
mod tests {
    use super::super::Block;
    use super::*;
    use crate::arithmetic::log_bid;
    use proptest::prelude::*;

    const MINUTE: i64 = 60_000;
    const EUR: i64 = 1_000_000;

    /// Half of the day is over, half of 240 EUR is spent, the last hour (a twelfth of the rest) cost what it should.
    fn noon() -> Input {
        Input {
            since_last_ms: 5 * MINUTE,
            lag_ms: MINUTE,
            apply_ms: MINUTE,
            budget_micros: 240 * EUR,
            exposed_micros: 120 * EUR,
            window_ms: 60 * MINUTE,
            window_spend_micros: 10 * EUR,
            is_at_bid: true,
            window_share: 1.0 / 24.0,
            share_left: 0.5,
            cost_micros: EUR / 2,
            log_bid: log_bid(EUR / 2).unwrap(),
            bid_min_micros: EUR / 10,
            bid_max_micros: 2 * EUR,
            ..Input::default()
        }
    }

    fn evaluate(input: Input) -> Result<Step, Hold> {
        Linear.evaluate(&input, &mut Memory::default(), &Settings::default())
    }

    /// Plays a day of evaluations with this bid in the middle of its plan and another at its ends.
    fn lived(memory: &mut Memory, day: i64, middle: i64, ends: i64) {
        for minute in (0..24 * 60).step_by(5).skip(1) {
            let done = minute as f64 / 1_440.0;
            let bid = if (MIDDLE[0]..=MIDDLE[1]).contains(&done) { middle } else { ends };
            memory.is_returning = false;
            let input = Input { share_left: 1.0 - done, log_bid: log_bid(bid).unwrap(), ..of_day(day) };
            Linear.evaluate(&input, memory, &Settings::default()).unwrap();
        }
    }

    fn of_day(day: i64) -> Input {
        Input {
            day_start_ms: day * 1_440 * MINUTE,
            day_ms: 1_440 * MINUTE,
            share_left: 0.99,
            window_spend_micros: 5 * EUR,
            ..noon()
        }
    }

    #[test]
    fn a_day_begins_with_the_bid_that_bought_the_middle_of_the_day_before() {
        let mut memory = Memory::default();
        lived(&mut memory, 1, EUR / 2, EUR / 5);
        assert_eq!(memory.home, None, "nothing is known before the first day");
        let mut stands = log_bid(EUR / 5).unwrap();
        let mut steps = 0;
        loop {
            let input = Input { log_bid: stands, ..of_day(2) };
            let step = Linear.evaluate(&input, &mut memory, &Settings::default()).unwrap();
            if !step.returns {
                break;
            }
            assert!((step.log_bid - stands).abs() <= 200_000);
            (stands, steps) = (step.log_bid, steps + 1);
        }
        // ln(0.5 / 0.2) is 0.92: five steps of at most 0.20, but for what the edges of the middle remember of the ends.
        assert!(steps == 5 && (stands - log_bid(EUR / 2).unwrap()).abs() < 20_000, "{steps} {stands}");
    }

    #[test]
    fn no_way_leads_back_against_the_evidence_or_into_the_middle_of_the_day_or_after_days_away() {
        let mut memory = Memory::default();
        lived(&mut memory, 1, EUR / 2, EUR / 5);
        let stands = log_bid(EUR / 5).unwrap();
        let returns = |input: Input, memory: &Memory| {
            Linear.evaluate(&input, &mut { *memory }, &Settings::default()).unwrap().returns
        };
        let next = Input { log_bid: stands, ..of_day(2) };
        assert!(returns(next.clone(), &memory));
        assert!(!returns(Input { window_spend_micros: 100 * EUR, share_left: 0.9, ..next.clone() }, &memory));
        assert!(!returns(Input { share_left: 0.6, ..next.clone() }, &memory));
        assert!(!returns(Input { log_bid: log_bid(EUR / 2).unwrap(), ..next.clone() }, &memory));
        assert!(!returns(Input { day_start_ms: 4 * 1_440 * MINUTE, ..next }, &memory));
        // Half a middle tells too little.
        let half = Memory { signals: MIDDLE_SEEN_PPM - 1, ..memory };
        assert!(!returns(Input { log_bid: stands, ..of_day(2) }, &half));
    }

    #[test]
    fn on_plan_nothing_moves() {
        let step = evaluate(noon()).unwrap();
        assert_eq!((step.need_micros, step.log_bid - noon().log_bid), (10 * EUR, 0));
    }

    #[test]
    fn an_hour_that_cost_half_raises_the_bid_as_worked_by_hand() {
        // R = 10, S_w = 5, q = 2 x 0.50: e = 5/11; k = 0.25 x 5 / (30 + 1 + 1); twenty events of 0.50 were due and ten came:
        // 5 is 1.46 times what one and a half standard errors explain.
        let step = evaluate(Input { window_spend_micros: 5 * EUR, ..noon() }).unwrap();
        let surprise = 5.0 / (1.5 * libm::sqrt(0.5 * 10.0 + 0.25));
        let expected: f64 = 0.25 * 5.0 / 32.0 * surprise * (5.0 / 11.0) / 2.0;
        assert_eq!(step.log_bid - noon().log_bid, (expected * 1e6).round() as i64);
    }

    #[test]
    fn what_chance_explains_is_followed_slowly_and_what_it_does_not_at_once() {
        let gain = |spend_micros| evaluate(Input { window_spend_micros: spend_micros, ..noon() }).unwrap().gain;
        let slow = 0.25 * 5.0 / 32.0;
        assert_eq!([gain(10 * EUR), gain(8 * EUR), gain(13 * EUR)], [slow; 3]);
        assert_eq!([gain(60 * EUR), gain(200 * EUR)], [4.0 * slow; 2]);
        // A window that remembers other bids is followed slowly, whatever it says.
        let stale = Input { window_spend_micros: 60 * EUR, is_at_bid: false, ..noon() };
        assert_eq!(evaluate(stale).unwrap().gain, slow);
        // The same share off, of fewer and dearer events, is less of a surprise.
        let few = Input { window_spend_micros: 5 * EUR, cost_micros: 3 * EUR / 2, ..noon() };
        assert_eq!(evaluate(few).unwrap().gain, slow);
    }

    #[test]
    fn overspending_cuts_deeper_than_underspending_raises() {
        let rich = Input { since_last_ms: 60 * MINUTE, ..noon() };
        let up = evaluate(Input { window_spend_micros: 0, ..rich.clone() }).unwrap();
        let down = evaluate(Input { window_spend_micros: 100 * EUR, ..rich }).unwrap();
        // 0.25 x 60 / 32 = 0.469, times 10/11 and 2, halved; the raise is capped at 0.10, the cut at 0.20.
        assert_eq!((up.step, down.step), (0.10, -0.20));
    }

    #[test]
    fn a_spent_budget_needs_nothing_and_the_bid_falls() {
        let step = evaluate(Input { exposed_micros: 300 * EUR, ..noon() }).unwrap();
        assert_eq!(step.need_micros, 0);
        assert!(step.log_bid < noon().log_bid);
    }

    #[test]
    fn a_block_stops_raises_and_not_cuts() {
        let blocked = Input { block: Some(Block::NoSignOfLife), ..noon() };
        let up = evaluate(Input { window_spend_micros: 0, ..blocked.clone() }).unwrap();
        assert_eq!((up.log_bid, up.blocked), (noon().log_bid, Some(Block::NoSignOfLife)));
        let down = evaluate(Input { window_spend_micros: 20 * EUR, ..blocked }).unwrap();
        assert!(down.log_bid < noon().log_bid && down.blocked.is_none());
        let recovering = Input { step_up_limit: Some(0.001), window_spend_micros: 0, ..noon() };
        assert_eq!(evaluate(recovering).unwrap().log_bid, noon().log_bid + 1_000);
    }

    #[test]
    fn edges_hold_with_their_reason() {
        let all = [
            Input { frozen: true, ..noon() },
            Input { budget_micros: 0, ..noon() },
            Input { budget_micros: 9 * EUR, ..noon() },
            Input { bid_min_micros: 0, ..noon() },
            Input { bid_min_micros: 2 * EUR, ..noon() },
            Input { window_share: 0.0, ..noon() },
            Input { share_left: f64::NAN, ..noon() },
            Input { cost_micros: 0, ..noon() },
            Input { since_last_ms: -1, ..noon() },
        ];
        let reasons = all.map(|input| evaluate(input).unwrap_err().as_str());
        assert_eq!(
            reasons,
            [
                "frozen",
                "no_budget",
                "tiny_budget",
                "no_bounds",
                "bid_fixed",
                "plan_over",
                "plan_over",
                "no_cost",
                "no_time_passed"
            ]
        );
    }

    fn any_input() -> impl Strategy<Value = Input> {
        let number = || prop_oneof![any::<i64>(), 0..1_000_000_000_i64];
        let share = || prop_oneof![any::<f64>(), 0.0..1.0];
        (prop::array::uniform12(number()), share(), share(), any::<Option<f64>>()).prop_map(|(n, f, left, limit)| {
            Input {
                since_last_ms: n[0],
                lag_ms: n[1],
                apply_ms: n[2],
                budget_micros: n[3],
                exposed_micros: n[4],
                window_ms: n[5],
                window_spend_micros: n[6],
                is_at_bid: n[6] % 3 != 0,
                window_share: f,
                share_left: left,
                day_start_ms: 0,
                elapsed_ms: n[0],
                day_ms: 24 * 60 * MINUTE,
                spent_micros: n[4],
                cost_micros: n[7],
                log_bid: n[8],
                bid_min_micros: n[9],
                bid_max_micros: n[10],
                step_up_limit: limit,
                block: (n[11] % 2 == 0).then_some(Block::NoEvents),
                frozen: false,
            }
        })
    }

    proptest! {
        #[test]
        fn any_input_gives_a_bid_within_bounds_or_a_hold(input in any_input()) {
            if let Ok(step) = evaluate(input.clone()) {
                let bounds = log_bid(input.bid_min_micros).unwrap()..=log_bid(input.bid_max_micros).unwrap();
                prop_assert!(bounds.contains(&step.log_bid));
                prop_assert!((-0.20..=0.10).contains(&step.step));
                prop_assert!(input.block.is_none() || step.step <= 0.0);
            }
        }

        #[test]
        fn spending_more_never_raises_and_a_larger_budget_never_cuts(
            spend in 0..50_i64, more in 0..50_i64, budget in 130..400_i64, exposed in 0..300_i64,
        ) {
            let at = |spend: i64, budget: i64, exposed: i64| {
                let money = |eur: i64| eur * EUR;
                let input = Input {
                    window_spend_micros: money(spend), budget_micros: money(budget), exposed_micros: money(exposed),
                    ..noon()
                };
                evaluate(input).unwrap().log_bid
            };
            prop_assert!(at(spend + more, budget, exposed) <= at(spend, budget, exposed));
            prop_assert!(at(spend, budget + more, exposed) >= at(spend, budget, exposed));
            prop_assert!(at(spend, budget, exposed + more) <= at(spend, budget, exposed));
        }
    }
}
