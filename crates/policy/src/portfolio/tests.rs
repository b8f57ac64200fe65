use super::explore::shifts;
use super::response::{Day, Response, gain, is_proven};
use super::*;
use proptest::prelude::*;

const EUR: i64 = 1_000_000;
pub(super) const CENT: i64 = 10_000;

fn member(budget: i64, ln_return: f64) -> Member {
    Member {
        budget_micros: budget * EUR,
        floor_micros: budget * EUR / 2,
        ceiling_micros: budget * EUR * 10,
        move_max_micros: budget * EUR / 5,
        may_take: true,
        ln_return,
    }
}

fn settings() -> Settings {
    Settings::default()
}

#[test]
fn money_goes_from_the_lower_return_to_the_higher_by_at_most_a_fifth_and_a_tenth_of_the_pool() {
    let moved = moves(&[member(100, 0.0), member(100, 0.3), member(100, 0.6)], CENT, &settings()).unwrap();
    assert_eq!(moved.iter().sum::<i64>(), 0);
    assert!(moved[2] == 20 * EUR && moved[0] < moved[1], "{moved:?}");
    let far =
        moves(&[member(100, 0.0), member(100, 0.0), member(100, 3.0), member(100, 3.0)], CENT, &settings()).unwrap();
    assert_eq!(far, [-20 * EUR, -20 * EUR, 20 * EUR, 20 * EUR]);
}

#[test]
fn returns_that_are_alike_and_a_pool_of_one_move_nothing() {
    assert_eq!(moves(&[member(100, 0.0), member(80, 0.14)], CENT, &settings()), Err(Stays::Balanced));
    assert_eq!(moves(&[member(100, 0.0)], CENT, &settings()), Err(Stays::Alone));
    assert_eq!(moves(&[member(100, 0.0), member(100, f64::NAN)], CENT, &settings()), Err(Stays::Alone));
    assert_eq!(moves(&[], CENT, &settings()), Err(Stays::Alone));
}

#[test]
fn who_is_not_bound_by_the_budget_takes_nothing() {
    let full = Member { may_take: false, ..member(100, 2.0) };
    assert_eq!(moves(&[member(100, 0.0), full], CENT, &settings()), Err(Stays::NoTaker));
    let moved = moves(&[member(100, 0.0), full, member(100, 1.0)], CENT, &settings()).unwrap();
    assert_eq!((moved[1], moved[0] + moved[2]), (0, 0));
}

#[test]
fn a_return_is_worth_of_an_event_over_the_bid_and_little_evidence_is_pulled_to_the_pool() {
    let of = |events: f64, worth: f64| Evidence { matured_events: events, worth, ln_bid: 0.0 };
    let returns = ln_return(&[of(10_000.0, 500.0), of(10_000.0, 300.0), of(10.0, 0.0)], 1.0);
    assert!(returns[0] > returns[2] && returns[2] > log(0.01), "{returns:?}");
    assert!((returns[0] - log(0.05)).abs() < 0.01);
    assert!(ln_return(&[of(0.0, 0.0)], 1.0).iter().all(|of| !of.is_finite()));
}

#[test]
fn the_common_step_is_a_whole_number_of_each() {
    assert_eq!(common_step([10_000, 15_000, 1]), Some(30_000));
    assert_eq!(common_step([999_983_000_001, 7]), None);
    assert_eq!(common_step([]), Some(1));
}

#[test]
fn a_curve_is_found_where_spend_varied_and_stays_open_where_it_did_not() {
    let truth = |spend: f64| 400.0 * (1.0 - exp(-spend / 1e8));
    let days = |sway: f64| -> Vec<Day> {
        (0..28)
            .map(|day| {
                let spend = 1e8 * (1.0 + sway * (f64::from(day % 7) - 3.0) / 3.0);
                Day { budget_micros: spend as i64, worth: truth(spend), seen_share: 1.0 }
            })
            .collect()
    };
    let slope = |response: &Response| exp(response.ln_return(100 * EUR)) * 1e8;
    let varied = Response::of(&days(0.5), &settings()).unwrap();
    assert!((slope(&varied) / (400.0 * exp(-1.0)) - 1.0).abs() < 0.15, "{}", slope(&varied));
    let flat = Response::of(&days(0.0), &settings()).unwrap();
    let alike = gain(&[Some(&flat), Some(&flat)], &[100 * EUR; 2], &[20 * EUR, -20 * EUR], 0.0).unwrap();
    assert!(alike.low < 0.0 && alike.high > 0.0 && !is_proven(&alike), "{alike:?}");
    assert_eq!(Response::of(&[], &settings()), None);
}

#[test]
fn a_clear_gain_is_told_and_one_whose_interval_touches_nothing_is_not() {
    let of = |a: f64, b: f64| {
        let day = |day: i32| {
            let spend = 1e8 * (0.5 + f64::from(day % 7) / 6.0);
            Day { budget_micros: spend as i64, worth: a * (1.0 - exp(-spend / b)), seen_share: 1.0 }
        };
        Response::of(&(0..28).map(day).collect::<Vec<_>>(), &settings())
    };
    // One is nearly full, the other nearly straight.
    let pool = [of(4_000.0, 3e7), of(20_000.0, 6e8)];
    let found = gain(&pool.each_ref().map(Option::as_ref), &[100 * EUR; 2], &[-20 * EUR, 20 * EUR], 0.0).unwrap();
    assert!(is_proven(&found), "{found:?}");
    let back = gain(&pool.each_ref().map(Option::as_ref), &[100 * EUR; 2], &[20 * EUR, -20 * EUR], 0.0).unwrap();
    assert!(back.mid < 0.0 && !is_proven(&back));
}

fn any_member() -> impl Strategy<Value = Member> {
    let money = prop_oneof![0..1_000 * EUR, any::<i64>()];
    let ln_return = prop_oneof![-5.0..5.0_f64, any::<f64>()];
    (money.clone(), money.clone(), money.clone(), money, any::<bool>(), ln_return).prop_map(
        |(budget_micros, floor_micros, ceiling_micros, move_max_micros, may_take, ln_return)| Member {
            budget_micros,
            floor_micros,
            ceiling_micros,
            move_max_micros,
            may_take,
            ln_return,
        },
    )
}

/// Likely pools: steps divide budgets, bounds make sense.
fn pool() -> impl Strategy<Value = Vec<Member>> {
    prop::collection::vec((1..2_000_i64, -2.0..2.0_f64, any::<bool>()), 1..60).prop_map(|members| {
        members.into_iter().map(|(budget, ln, may_take)| Member { may_take, ..member(budget, ln) }).collect()
    })
}

fn check(members: &[Member], moved: &[i64], step: i64) -> Result<(), TestCaseError> {
    prop_assert_eq!(moved.iter().map(|change| i128::from(*change)).sum::<i128>(), 0);
    for (member, change) in members.iter().zip(moved) {
        prop_assert_eq!(change % step, 0);
        let after = i128::from(member.budget_micros) + i128::from(*change);
        if *change < 0 {
            prop_assert!(after >= i128::from(member.floor_micros) && after > 0);
        }
        if *change > 0 {
            prop_assert!(member.may_take && after <= i128::from(member.ceiling_micros));
        }
        prop_assert!(change.unsigned_abs() <= member.move_max_micros.max(0).unsigned_abs());
    }
    Ok(())
}

proptest! {
    #[test]
    fn money_is_conserved_within_bounds_for_any_input(
        members in prop::collection::vec(any_member(), 0..12), step in prop_oneof![Just(CENT), any::<i64>()],
    ) {
        if let Ok(moved) = moves(&members, step, &settings()) {
            check(&members, &moved, step.max(1))?;
        }
    }

    #[test]
    fn money_is_conserved_in_pools_as_they_are(members in pool(), step in prop_oneof![Just(CENT), Just(EUR), Just(3 * CENT)]) {
        if let Ok(moved) = moves(&members, step, &settings()) {
            check(&members, &moved, step)?;
            let more: i64 = moved.iter().filter(|change| **change > 0).sum();
            let all: i64 = members.iter().map(|member| member.budget_micros).sum();
            prop_assert!(more as f64 <= all as f64 * settings().pool_share_max);
        }
        if members.len() == 1 {
            prop_assert_eq!(moves(&members, step, &settings()), Err(Stays::Alone));
        }
    }

    #[test]
    fn shifts_that_explore_sum_to_nothing_and_stay_small(
        pool in prop::collection::vec((0..1_000 * EUR, prop::option::of(any::<bool>())), 0..20),
    ) {
        let (centers, up): (Vec<i64>, Vec<Option<bool>>) = pool.into_iter().unzip();
        let shifts = shifts(&centers, &up, &settings());
        let all = centers.iter().sum::<i64>() as f64;
        prop_assert!(shifts.iter().sum::<f64>().abs() <= 1e-6 * all.max(1.0));
        prop_assert!(shifts.iter().map(|shift| shift.max(0.0)).sum::<f64>() <= all * 0.02 * (1.0 + 1e-9));
        for (shift, center) in shifts.iter().zip(&centers) {
            prop_assert!(shift.abs() <= *center as f64 * 0.1 * (1.0 + 1e-9));
        }
    }

    #[test]
    fn what_comes_back_is_no_more_than_what_is_lacking(lacking in prop::collection::vec(any::<i64>(), 0..9), sum in any::<i64>()) {
        let back = give_back(&lacking, sum);
        let all: i128 = lacking.iter().map(|lack| i128::from((*lack).max(0))).sum();
        prop_assert_eq!(back.iter().map(|share| i128::from(*share)).sum::<i128>(), i128::from(sum.max(0)).min(all));
        prop_assert!(back.iter().zip(&lacking).all(|(share, lack)| (0..=(*lack).max(0)).contains(share)));
    }

    #[test]
    fn no_days_and_no_numbers_break_the_curves(
        days in prop::collection::vec((any::<i64>(), any::<f64>(), any::<f64>()), 0..9), to in any::<i64>(), from in any::<i64>(),
    ) {
        let days: Vec<Day> = days.into_iter().map(|(budget_micros, worth, seen_share)| Day { budget_micros, worth, seen_share }).collect();
        let response = Response::of(&days, &settings());
        _ = gain(&[response.as_ref()], &[from], &[to], 0.0);
    }
}

/// A campaign in second-price auctions with log-normal prices: what a day's budget buys, and at which bid.
pub(super) struct Seller {
    pub(super) supply: f64,
    pub(super) median: f64,
    pub(super) sigma: f64,
    pub(super) worth: f64,
    pub(super) bid_max: f64,
}

impl Seller {
    pub(super) fn clicks_and_spend(&self, bid: f64) -> (f64, f64) {
        let normal = |z: f64| 0.5 * libm::erfc(-z / core::f64::consts::SQRT_2);
        let z = log(bid / self.median) / self.sigma;
        let mean = self.median * exp(self.sigma * self.sigma / 2.0);
        (self.supply * normal(z), self.supply * mean * normal(z - self.sigma))
    }

    pub(super) fn bid_for(&self, budget: f64) -> f64 {
        greatest(self.bid_max, |bid| self.clicks_and_spend(bid).1 <= budget)
    }

    pub(super) fn value(&self, budget: f64) -> f64 {
        self.worth * self.clicks_and_spend(self.bid_for(budget)).0
    }
}

pub(super) fn greatest(most: f64, fits: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (most * 1e-6, most);
    if fits(most) {
        return most;
    }
    for _ in 0..60 {
        let middle = libm::sqrt(low * high);
        if fits(middle) { low = middle } else { high = middle }
    }
    low
}

/// Numbers between 0 and 1 (Knuth's linear congruence): another seed is another market.
pub(super) fn draws(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Shares of the best split before the first and after the last of `nights` moves; `noise` is the standard error of a worth.
fn nights(count: usize, saturated: usize, seed: u64, noise: f64) -> (f64, f64) {
    let mut draw = draws(seed);
    let mut sellers = Vec::new();
    let mut budgets = Vec::new();
    for at in 0..count {
        let (bid, sigma, z) = (0.2 + 1.8 * draw(), 0.3 + 0.9 * draw(), -1.2 + 1.4 * draw());
        let full = at < saturated;
        let worth = bid * exp(draw() - 0.5);
        let bid_max = if full { bid * 1.3 } else { bid * 5.0 };
        let seller =
            Seller { supply: 2_000.0 + 8_000.0 * draw(), median: bid * exp(-z * sigma), sigma, worth, bid_max };
        budgets.push(((seller.clicks_and_spend(bid).1 * if full { 2.5 } else { 1.0 }) * 100.0).round() as i64 * CENT);
        sellers.push(seller);
    }
    let sum: i64 = budgets.iter().sum();
    let best = {
        let at = |scale: f64| {
            let each = sellers.iter().map(|of| (of, of.clicks_and_spend((scale * of.worth).min(of.bid_max))));
            each.fold((0.0, 0.0), |sum, (of, (clicks, spend))| (sum.0 + clicks * of.worth, sum.1 + spend))
        };
        at(greatest(1e3, |scale| at(scale).1 <= sum as f64 / 1e6)).0
    };
    let value = |budgets: &[i64]| {
        sellers.iter().zip(budgets).map(|(of, budget)| of.value(*budget as f64 / 1e6)).sum::<f64>() / best
    };
    let first = value(&budgets);
    let mut bids: Vec<Vec<f64>> = vec![Vec::new(); count];
    let errors: Vec<f64> = (0..count).map(|_| noise * ((0..12).map(|_| draw()).sum::<f64>() - 6.0)).collect();
    let floors: Vec<i64> = budgets.iter().map(|budget| budget / 4).collect();
    for _ in 0..14 {
        let members: Vec<Member> = (0..count)
            .map(|at| {
                let bid = sellers[at].bid_for(budgets[at] as f64 / 1e6);
                bids[at].push(log(bid));
                let last = &bids[at][bids[at].len().saturating_sub(7)..];
                let mean = last.iter().sum::<f64>() / last.len() as f64;
                Member {
                    budget_micros: budgets[at],
                    floor_micros: floors[at],
                    ceiling_micros: sum,
                    move_max_micros: budgets[at] / 5,
                    may_take: bid < sellers[at].bid_max,
                    ln_return: log(sellers[at].worth) + errors[at] - mean,
                }
            })
            .collect();
        if let Ok(moved) = moves(&members, CENT, &settings()) {
            assert_eq!(moved.iter().sum::<i64>(), 0);
            budgets.iter_mut().zip(&moved).for_each(|(budget, change)| *budget += change);
        }
    }
    (first, value(&budgets))
}

#[test]
fn fourteen_nights_bring_a_pool_near_the_best_split_of_the_true_curves() {
    for (count, saturated) in [(3, 1), (50, 5)] {
        let runs: Vec<(f64, f64)> = (1..=20).map(|seed| nights(count, saturated, seed, 0.1)).collect();
        let mut after: Vec<f64> = runs.iter().map(|(_, after)| *after).collect();
        after.sort_by(f64::total_cmp);
        let before = runs.iter().map(|(before, _)| *before).sum::<f64>() / 20.0;
        println!("{count} campaigns: from {before:.3} (mean) to {:.3} (median), {:.3} (worst)", after[10], after[0]);
        assert!(after[10] >= 0.98 && runs.iter().all(|(before, after)| after >= before), "{runs:?}");
    }
}
