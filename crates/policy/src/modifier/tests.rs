//! Factors where there is a difference, and where there is none.

use super::*;
use proptest::prelude::*;

/// Deterministic counts with about the spread of chance.
fn noisy(mean: f64, seed: u64) -> f64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678;
    let mut normal = 0.0;
    for _ in 0..12 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        normal += (state >> 11) as f64 / (1_u64 << 53) as f64;
    }
    (mean + (normal - 6.0) * mean.sqrt()).round().max(0.0)
}

fn day(rates: &[f64; 24], clicks: f64, seed: u64) -> Vec<Measured> {
    let cell = |(hour, rate): (usize, &f64)| {
        let worth = noisy(clicks * rate, seed * 24 + hour as u64);
        Measured { exposure: clicks, worth, squares: worth, spend: clicks }
    };
    rates.iter().enumerate().map(cell).collect()
}

fn play(rates: &[f64; 24], clicks: f64, days: u64, seed: u64) -> (Vec<Measured>, Vec<Proven>) {
    let settings = Settings::default();
    let mut sums = vec![Measured::default(); 24];
    let mut evidence = [Evidence::default(); 24];
    for number in 0..days {
        let cells = day(rates, clicks, seed * 1_000 + number);
        let all: f64 = cells.iter().map(|cell| cell.worth).sum();
        for hour in 0..24 {
            let around = [(hour + 23) % 24, hour, (hour + 1) % 24];
            evidence[hour].take(around.iter().map(|h| cells[*h].worth).sum(), all, 3.0 / 24.0, &settings);
            sums[hour].exposure += cells[hour].exposure;
            sums[hour].worth += cells[hour].worth;
            sums[hour].squares += cells[hour].squares;
            sums[hour].spend += cells[hour].spend;
        }
    }
    (sums, proven(&evidence, &settings))
}

#[test]
fn an_evening_that_converts_three_times_as_often_is_found_within_days_and_gets_its_factor() {
    let mut rates = [0.04; 24];
    rates[17..20].fill(0.12);
    let (cells, on) = play(&rates, 100.0, 10, 1);
    assert!(on[17..20].iter().all(|proven| *proven == Proven::Above), "{on:?}");
    let factors = hour_factors(&cells, &on, &Settings::default());
    assert!(factors[18] > 1.7, "{factors:?}");
    assert!(factors[18] <= Settings::default().product_most);
    let others: Vec<f64> = (0..24).filter(|hour| !(17..20).contains(hour)).map(|hour| factors[hour]).collect();
    let (least, most) = others.iter().fold((f64::MAX, 0.0_f64), |(l, m), f| (l.min(*f), m.max(*f)));
    assert!(most / least < 1.2, "hours that are alike get like factors: {others:?}");
    assert!(others.iter().filter(|factor| **factor == 1.0).count() >= 18, "usual hours stay as they are: {others:?}");
}

#[test]
fn without_a_difference_hardly_any_campaign_gets_a_factor_within_four_weeks() {
    // The gate is looked at once a day here, too: a sum over the days' ends would miss what comes and goes.
    let off = |seed: u64| -> usize {
        (1..=28).map(|days| play(&[0.05; 24], 80.0, days, seed).1.iter().filter(|on| **on != Proven::No).count()).sum()
    };
    let hours: Vec<usize> = (0..200).map(off).collect();
    let campaigns = hours.iter().filter(|hours| **hours > 0).count();
    // By hours alone, a sixth of 5 % is allowed: 1.7 of 200; five are what chance makes of that in one try of a hundred.
    assert!(campaigns <= 5, "{campaigns} of 200");
    let share = hours.iter().sum::<usize>() as f64 / (200.0 * 28.0 * 24.0);
    assert!(share <= 0.003, "{share}");
}

#[test]
fn one_wild_day_proves_nothing() {
    let settings = Settings::default();
    let mut evidence = [Evidence::default(); 24];
    for day in 0..6 {
        for (hour, evidence) in evidence.iter_mut().enumerate() {
            // On the third day a broadcast brings ten times the evening's conversions; on the others nothing differs.
            let (seen, all) = match (day, hour) {
                (2, 18) => (40.0, 132.0),
                (2, _) => (4.0, 132.0),
                _ => (4.0, 96.0),
            };
            evidence.take(seen, all, 1.0 / 24.0, &settings);
        }
        assert!(proven(&evidence, &settings).iter().all(|on| *on == Proven::No), "day {day}");
    }
}

#[test]
fn a_value_gets_its_factor_and_the_unproven_rest_stays_at_one() {
    let settings = Settings::default();
    let rates = [0.05, 0.05, 0.15, 0.05, 0.05];
    let mut cells = vec![Measured::default(); 5];
    let mut evidence = vec![Evidence::default(); 5];
    for day in 0..10 {
        let seen: Vec<f64> = rates.iter().zip(0..).map(|(rate, at)| noisy(400.0 * rate, 77 + day * 5 + at)).collect();
        let all = seen.iter().sum();
        for ((cell, evidence), seen) in cells.iter_mut().zip(&mut evidence).zip(&seen) {
            evidence.take(*seen, all, 0.2, &settings);
            cell.exposure += 400.0;
            cell.worth += seen;
            cell.squares += seen;
            cell.spend += 400.0;
        }
    }
    let proven = proven(&evidence, &settings);
    assert_eq!((proven[2], proven[0] == Proven::Above), (Proven::Above, false));
    let factors = value_factors(&cells, &proven, &settings);
    // Bounded to twice the mean, which the strong value itself has raised to 1.4 of the others.
    assert!((2.2..3.0).contains(&factors[2]), "{factors:?}");
    assert!((0.85..=1.0).contains(&factors[0]), "{factors:?}");
    assert_eq!(value_factors(&cells, &[Proven::No; 5], &settings), [1.0; 5]);
}

#[test]
fn nothing_is_said_of_equal_cells_and_little_of_few_conversions() {
    let equal = vec![Measured { exposure: 100.0, worth: 5.0, squares: 5.0, spend: 1.0 }; 4];
    assert_eq!(rates_over_mean(&equal), [1.0; 4]);
    let mut few = vec![Measured { exposure: 10.0, worth: 1.0, squares: 1.0, spend: 1.0 }; 4];
    few[0].worth = 4.0;
    few[0].squares = 4.0;
    let many: Vec<Measured> = few
        .iter()
        .map(|c| Measured { exposure: c.exposure * 100.0, worth: c.worth * 100.0, squares: c.squares * 100.0, ..*c })
        .collect();
    let (few, many) = (rates_over_mean(&few), rates_over_mean(&many));
    assert!(few[0] < many[0] && few[0] >= 1.0 && many[0] > 2.0, "{few:?} {many:?}");
}

#[test]
fn a_stretch_may_pass_midnight_and_values_need_more_than_counts() {
    let cell = |worth: f64, square: f64| Measured { exposure: 200.0, worth, squares: worth * square, spend: 1.0 };
    let mut cells = vec![cell(10.0, 1.0); 24];
    for hour in [23, 0, 1] {
        cells[hour] = cell(25.0, 1.0);
    }
    let rates = rates_over_mean(&cells);
    let mean = (21.0 * 10.0 + 3.0 * 25.0) / 24.0;
    assert!((rates[0] - 25.0 / mean).abs() < 1e-9 && (rates[12] - 10.0 / mean).abs() < 1e-9, "{rates:?}");
    // Single values of ten to each mean: the same sums may be three lucky sales.
    let wild: Vec<Measured> = cells.iter().map(|c| Measured { squares: 10.0 * c.worth, ..*c }).collect();
    assert!(rates_over_mean(&wild)[0] < 1.2);
}

#[test]
fn a_table_is_published_when_one_factor_has_moved_by_a_tenth() {
    let settings = Settings::default();
    assert!(!is_worth_a_command(&[1_000_000, 1_090_000], &[], &settings));
    assert!(is_worth_a_command(&[1_000_000, 1_110_000], &[], &settings));
    assert!(!is_worth_a_command(&[900_000, 1_900_000], &[950_000, 2_000_000], &settings));
    assert!(is_worth_a_command(&[1_000_000], &[700_000], &settings));
}

proptest! {
    #[test]
    fn any_numbers_give_finite_factors_within_bounds(
        cells in prop::collection::vec((any::<f64>(), any::<f64>(), any::<f64>(), any::<f64>(), any::<bool>()), 0..30),
        seen in any::<f64>(), all in any::<f64>(), share in any::<f64>(),
    ) {
        let settings = Settings::default();
        let on: Vec<Proven> = cells.iter().map(|cell| if cell.4 { Proven::Above } else { Proven::Below }).collect();
        let cells: Vec<Measured> = cells
            .iter()
            .map(|c| Measured { exposure: c.0, worth: c.1, squares: c.2, spend: c.3 })
            .collect();
        let both = [hour_factors(&cells, &on, &settings), value_factors(&cells, &on, &settings)];
        for factor in both.into_iter().flatten() {
            prop_assert!((settings.product_least..=settings.product_most).contains(&factor), "{factor}");
        }
        let mut evidence = Evidence::default();
        evidence.take(seen, all, share, &settings);
        evidence.take(3.0, 10.0, 0.2, &settings);
        prop_assert!(evidence.e_value() >= 0.0);
        let _ = evidence.is_above();
    }
}
