use super::*;
use proptest::prelude::*;

const EUR: i64 = 1_000_000;
const DAY: Millis = 86_400_000;

/// Three full days at a cap of 1 EUR: each spent 1,000 EUR and brought `conversions`.
fn days(conversions: i64) -> Vec<Cell> {
    let cap = log_bid(EUR).unwrap();
    let cell = |day: Millis| Cell {
        begun_ago_ms: day * DAY,
        spend_micros: 1_000 * EUR,
        clicks: 1_000,
        conversions_micro: conversions * EUR,
        capped_micros: 1_000 * EUR,
        capped_times_cap: 1_000 * cap,
        seen_share: 1.0,
        ..Cell::default()
    };
    (1..=30).map(cell).collect()
}

fn input(cells: Vec<Cell>) -> Input {
    Input {
        cells,
        log_bid: log_bid(EUR).unwrap(),
        in_force_micros: EUR,
        bid_min_micros: EUR / 100,
        bid_max_micros: 100 * EUR,
        ..Input::default()
    }
}

const CPA: Cpa = Cpa { target_micros: 50 * EUR };

fn moved(cells: Vec<Cell>) -> i64 {
    evaluate(&CPA, &input(cells), &Settings::default()).unwrap().log_bid - log_bid(EUR).unwrap()
}

#[test]
fn a_season_makes_more_due_and_lifts_the_bid_outside_of_the_memory() {
    let usual = evaluate(&CPA, &input(days(20)), &Settings::default()).unwrap();
    let cells = days(20).into_iter().map(|cell| Cell { log_season: libm::log(2.0), ..cell }).collect();
    let double = evaluate(&CPA, &input(cells), &Settings::default()).unwrap();
    assert!((double.due / usual.due - 2.0).abs() < 1e-9 && double.log_bid < usual.log_bid, "{double:?}");
    assert_eq!(in_season(1_000, libm::log(2.0), (1, i64::MAX)), 1_000 + 693_147);
    assert_eq!(in_season(1_000, 0.0, (1_000_000, 2_000_000)), 1_000, "no season changes nothing");
    assert_eq!(in_season(0, f64::NAN, (1, 2)), 0);
    let most = log_bid(1_000_000).unwrap();
    assert_eq!([0, most].map(|bid| in_season(bid, 3.0, (1, 1_000_000))), [3_000_000, most], "never above the ceiling");
}

#[test]
fn at_the_target_nothing_moves_and_steps_are_bounded() {
    assert_eq!(moved(days(20)), 0);
    assert_eq!([moved(days(60)), moved(days(5))], [50_000, -100_000]);
}

#[test]
fn the_window_ends_after_three_days_with_fifty_conversions_due() {
    let step = evaluate(&CPA, &input(days(21)), &Settings::default()).unwrap();
    assert_eq!((step.due, step.seen, step.window_ms), (60.0, 63.0, 3 * DAY));
    // ln(73 / 70).
    assert_eq!(step.log_bid - log_bid(EUR).unwrap(), 41_964);
    let rare = Cpa { target_micros: 500 * EUR };
    let step = evaluate(&rare, &input(days(2)), &Settings::default()).unwrap();
    assert_eq!((step.due, step.window_ms), (50.0, 25 * DAY));
    let never = Cpa { target_micros: 50_000 * EUR };
    assert_eq!(evaluate(&never, &input(days(0)), &Settings::default()).unwrap().window_ms, 28 * DAY);
}

#[test]
fn silence_is_weak_evidence_at_first() {
    let first = Cell {
        spend_micros: 50 * EUR,
        capped_micros: EUR,
        capped_times_cap: log_bid(EUR).unwrap() / EUR,
        ..days(0)[0]
    };
    let step = evaluate(&CPA, &input(vec![first]), &Settings::default()).unwrap();
    assert!((step.error - libm::log(10.0 / 11.0)).abs() < 1e-12);
}

#[test]
fn hope_is_some_standard_errors_of_what_is_missing_and_ends_with_enough_evidence() {
    let one = |due: i64| vec![Cell { spend_micros: due * 50 * EUR, conversions_micro: due * EUR, ..days(0)[0] }];
    let wide = Settings { step_up_max: 10.0, ..Settings::default() };
    let hope = |due: i64, settings: &Settings| {
        let input = input(one(due));
        evaluate(&CPA, &input, settings).unwrap().log_bid - input.log_bid
    };
    // 0.6 of 50 are missing, and 30 conversions have a standard error of 1 / sqrt(30).
    assert_eq!(hope(20, &wide), (0.4 * 0.6 / 30_f64.sqrt() * NAT).round() as i64);
    assert_eq!([hope(50, &wide), hope(60, &wide)], [0, 0], "enough is known");
    assert_eq!(hope(20, &Settings { optimism: 0.0, ..wide }), 0);
    // The same count says the same where the promise is one of value.
    let roas = |settings: &Settings| {
        let cells = one(20).into_iter().map(|cell| Cell {
            value_micros: 2_000 * EUR,
            value_squares: 20 * 100_000_i64 * 100_000,
            ..cell
        });
        let input = input(cells.collect());
        evaluate(&Roas { target_ppm: 2_000_000 }, &input, settings).unwrap().log_bid - input.log_bid
    };
    assert_eq!(roas(&wide), hope(20, &wide));
}

#[test]
fn clicks_whose_conversions_are_still_to_come_are_not_held_against_the_bid() {
    let young = days(5).into_iter().map(|cell| Cell { seen_share: 0.25, ..cell }).collect();
    assert_eq!(moved(young), 0);
    let newest = Cell { begun_ago_ms: DAY / 24, seen_share: 0.04, conversions_micro: 0, ..days(0)[0] };
    assert_eq!(moved([vec![newest], days(20)].concat()), 0);
}

#[test]
fn the_error_counts_from_the_cap_that_the_cells_remember() {
    // The cap has been halved since: half of the money was bought at 1 EUR, so the cells answer for that.
    let now = Input { log_bid: log_bid(EUR / 2).unwrap(), ..input(days(10)) };
    let step = evaluate(&CPA, &now, &Settings::default()).unwrap();
    assert_eq!(step.mean_cap, log_bid(EUR).unwrap());
    assert_eq!(step.log_bid - now.log_bid, 50_000);
}

#[test]
fn the_cap_stays_near_the_budget_and_near_what_a_click_is_worth() {
    let settings = Settings::default();
    let bound = Input { budget_log_bid: Some(log_bid(EUR).unwrap() - 480_000), ..input(days(60)) };
    assert_eq!(evaluate(&CPA, &bound, &settings).unwrap().log_bid - bound.log_bid, 20_000);
    // One conversion in 1,000 clicks and an account that converts as seldom: at most 5 x 50 EUR x 0.001.
    let dear = Input { account_rate: Some(0.001), ..input(days(1)) };
    let most = evaluate(&CPA, &dear, &settings).unwrap();
    assert_eq!(most.log_bid, log_bid(EUR / 4).unwrap());
}

#[test]
fn values_that_differ_say_less() {
    let valued = |squares: i64| -> Vec<Cell> {
        // 20 conversions of 100 EUR a day at a target of 2.5: 25 were due.
        let cell = |cell: Cell| Cell { value_micros: 2_000 * EUR, value_squares: squares, ..cell };
        days(20).into_iter().map(cell).collect()
    };
    let roas = Roas { target_ppm: 2_500_000 };
    let error = |squares| evaluate(&roas, &input(valued(squares)), &Settings::default()).unwrap().error;
    let even = 20 * 100_000_i64 * 100_000;
    assert!((error(even) - libm::log(70.0 / 85.0)).abs() < 1e-12, "{}", error(even));
    // Twice the squares: z = 2, and 100 conversions are needed: four days and not three.
    assert!((error(2 * even) - libm::log((80.0 + 20.0) / (100.0 + 20.0))).abs() < 1e-12);
    assert_eq!(evaluate(&roas, &input(days(0)), &Settings::default()), Err(Hold::NoCost));
}

#[test]
fn what_cannot_be_computed_holds() {
    let settings = Settings::default();
    let hold = |input: Input| evaluate(&CPA, &input, &settings).unwrap_err().as_str();
    assert_eq!(hold(input(Vec::new())), "empty_denominator");
    assert_eq!(hold(Input { frozen: true, ..input(days(1)) }), "frozen");
    assert_eq!(hold(Input { bid_min_micros: 0, ..input(days(1)) }), "no_bounds");
    assert_eq!(evaluate(&Cpa { target_micros: 0 }, &input(days(1)), &settings), Err(Hold::NoCost));
}

#[test]
fn a_young_account_is_not_taken_for_a_fast_one() {
    let settings = Settings::default();
    // Half of the conversions come within an hour, half on the third day; clicks of the last two days show the first only.
    let cell = |age: Millis| {
        let mut buckets = [0; BUCKETS];
        buckets[0] = 500 * EUR;
        buckets[bucket_of(60 * 3_600_000)] = if age >= 3 * DAY { 500 * EUR } else { 0 };
        (age, buckets)
    };
    let old = SeenShare::of(&(0..28).map(|day| cell(day * DAY)).collect::<Vec<_>>(), &settings);
    assert!((old.at(2 * 3_600_000) - 0.5).abs() < 0.01 && old.at(5 * DAY) > 0.99, "{old:?}");
    let young = SeenShare::of(&[cell(0), cell(DAY)], &settings);
    let without = SeenShare::of(&[], &settings);
    assert!((young.at(64 * 3_600_000) - without.at(64 * 3_600_000)).abs() < 1e-9);
    assert!(young.at(8 * 3_600_000) > without.at(8 * 3_600_000));
}

fn any_cell() -> impl Strategy<Value = Cell> {
    (any::<[i64; 8]>(), any::<f64>(), any::<f64>()).prop_map(|(n, seen_share, log_season)| Cell {
        log_season,
        begun_ago_ms: n[0],
        spend_micros: n[1],
        clicks: n[2],
        conversions_micro: n[3],
        value_micros: n[4],
        value_squares: n[5],
        capped_micros: n[6],
        capped_times_cap: n[7],
        seen_share,
    })
}

proptest! {
    #[test]
    fn any_input_gives_a_bid_between_the_bounds_or_a_reason(
        cells in prop::collection::vec(any_cell(), 0..6), n in any::<[i64; 6]>(), rate in any::<Option<f64>>(),
    ) {
        let input = Input {
            cells, log_bid: n[0], budget_log_bid: Some(n[1]), in_force_micros: n[2], bid_min_micros: n[3],
            bid_max_micros: n[4], account_rate: rate, frozen: false,
        };
        for target in [&Cpa { target_micros: n[5] } as &dyn Target, &Roas { target_ppm: n[5] }] {
            if let Ok(step) = evaluate(target, &input, &Settings::default()) {
                prop_assert!(step.log_bid >= log_bid(n[3]).unwrap() && step.log_bid <= log_bid(n[4]).unwrap());
                prop_assert!(step.error.is_finite());
            }
        }
    }

    #[test]
    fn more_conversions_never_lower_and_more_spend_never_raises_the_bid(
        k in 0_i64..200, more in 0_i64..200, spend in 0_i64..2_000, extra in 0_i64..2_000,
    ) {
        let with = |k: i64, spend: i64| {
            let cells = days(k).into_iter().take(3).map(|cell| Cell { spend_micros: spend * EUR, ..cell }).collect();
            moved(cells)
        };
        prop_assert!(with(k + more, spend) >= with(k, spend));
        prop_assert!(with(k, spend + extra) <= with(k, spend));
    }

    #[test]
    fn the_share_rises_from_nothing_to_all(
        cells in prop::collection::vec((0_i64..60 * DAY, any::<[i64; BUCKETS]>()), 0..5),
    ) {
        let share = SeenShare::of(&cells, &Settings::default());
        let shares: Vec<f64> = (0..=30 * 24).map(|hour| share.at(hour * 3_600_000)).collect();
        prop_assert_eq!((shares[0], shares[720]), (0.0, 1.0));
        prop_assert!(shares.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12), "{:?}", shares);
        prop_assert!((0.0..=1.0).contains(&share.between(0, DAY)));
    }
}
