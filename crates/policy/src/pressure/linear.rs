//! The default pressure: a linear error, damped by two events' cost, and an integrator on the log-bid (section 4).
//!
//! Linear on purpose: the log of a ratio is biased upwards by few events and spends the day's money early.
//!
//! The gain grows with the error's distance from what counts of events explain: chance is followed slowly, a halved budget
//! or a dearer market at once. That a quick loop does not overshoot is owed to the window, which tells what it would have
//! cost at the bid that the loop stands at.

use super::{Input, Memory, Pressure, Step, admitted, moved, need};
use crate::arithmetic::finite;
use crate::hold::Hold;
use crate::settings::Pressure as Settings;

/// e = clamp((R - S_w) / (R + q), -2, 1); u += clamp(k g e / 2, -0.20, 0.10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Linear;

impl Pressure for Linear {
    fn evaluate(&self, input: &Input, _memory: &mut Memory, settings: &Settings) -> Result<Step, Hold> {
        let bounds = admitted(input, settings)?;
        let need = need(input)?;
        let error = error(need, input, settings)?;
        let gain = (gain(input, settings)? * surprise(need, input, settings)).min(settings.gain_max);
        let wanted = (gain * error / settings.elasticity).clamp(-settings.step_down_max, settings.step_up_max);
        moved(input, bounds, wanted, error, gain)
    }
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
