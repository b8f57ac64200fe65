use super::explore::shifts;
use super::response::{Day, Response, gain, is_worth_it};
use super::*;
use proptest::prelude::*;

const EUR: i64 = 1_000_000;
const CENT: i64 = 10_000;

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
                Day { spend_micros: spend as i64, worth: truth(spend), seen_share: 1.0 }
            })
            .collect()
    };
    let slope = |response: &Response| exp(response.ln_return(100 * EUR)) * 1e8;
    let varied = Response::of(&days(0.5), &settings()).unwrap();
    assert!((slope(&varied) / (400.0 * exp(-1.0)) - 1.0).abs() < 0.15, "{}", slope(&varied));
    let flat = Response::of(&days(0.0), &settings()).unwrap();
    let alike = gain(&[Some(flat.clone()), Some(flat)], &[100 * EUR; 2], &[20 * EUR, -20 * EUR]).unwrap();
    assert!(alike.low < 0.0 && alike.high > 0.0 && !is_worth_it(&alike, &settings()), "{alike:?}");
    assert_eq!(Response::of(&[], &settings()), None);
}

#[test]
fn a_clear_gain_is_told_and_one_whose_interval_touches_nothing_is_not() {
    let of = |a: f64, b: f64| {
        let day = |day: i32| {
            let spend = 1e8 * (0.5 + f64::from(day % 7) / 6.0);
            Day { spend_micros: spend as i64, worth: a * (1.0 - exp(-spend / b)), seen_share: 1.0 }
        };
        Response::of(&(0..28).map(day).collect::<Vec<_>>(), &settings())
    };
    // One is nearly full, the other nearly straight.
    let pool = [of(4_000.0, 3e7), of(20_000.0, 6e8)];
    let found = gain(&pool, &[100 * EUR; 2], &[-20 * EUR, 20 * EUR]).unwrap();
    assert!(is_worth_it(&found, &settings()), "{found:?}");
    let back = gain(&pool, &[100 * EUR; 2], &[20 * EUR, -20 * EUR]).unwrap();
    assert!(back.mid < 0.0 && !is_worth_it(&back, &settings()));
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
        let days: Vec<Day> = days.into_iter().map(|(spend_micros, worth, seen_share)| Day { spend_micros, worth, seen_share }).collect();
        let response = Response::of(&days, &settings());
        _ = gain(&[response], &[from], &[to]);
    }
}
