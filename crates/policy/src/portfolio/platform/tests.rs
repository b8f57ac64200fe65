use super::super::response::Day;
use super::super::tests::{CENT, Seller, draws, greatest};
use super::*;
use libm::{exp, floor, sqrt};

/// A pool of a platform's bids, played day by day: campaigns in second-price auctions, whose conversions are counted.
struct Played {
    sellers: Vec<Seller>,
    budgets: Vec<i64>,
    centers: Vec<i64>,
    /// By campaign, oldest first: budget, spend, conversions, whether the budget held it.
    days: Vec<Vec<(i64, f64, f64, bool)>>,
    /// Value in conversions.
    conversion_worth: f64,
    /// Standard deviation of the logarithm of what a day brings, beside chance.
    day_noise: f64,
}

/// What a pool came to.
#[derive(Debug, Default)]
struct Course {
    before: f64,
    after: f64,
    shifts: usize,
    proposals: usize,
    /// Proposals that in truth lost.
    wrong: usize,
}

impl Played {
    fn of(count: usize, saturated: usize, spread: f64, conversions_a_day: f64, seed: u64) -> Self {
        let mut draw = draws(seed);
        let mut played = Played {
            sellers: Vec::new(),
            budgets: Vec::new(),
            centers: Vec::new(),
            days: vec![Vec::new(); count],
            conversion_worth: 0.0,
            day_noise: 0.1,
        };
        for at in 0..count {
            let (bid, sigma, z) = (0.2 + 1.8 * draw(), 0.3 + 0.9 * draw(), -1.2 + 1.4 * draw());
            let full = at < saturated;
            let worth = bid * exp((2.0 * draw() - 1.0) * spread);
            let bid_max = if full { bid * 1.3 } else { bid * 50.0 };
            let (supply, median) = (2_000.0 + 8_000.0 * draw(), bid * exp(-z * sigma));
            let seller = Seller { supply, median, sigma, worth, bid_max };
            let budget = seller.clicks_and_spend(bid).1 * if full { 2.5 } else { 1.0 };
            played.budgets.push((budget * 100.0).round() as i64 * CENT);
            played.sellers.push(seller);
        }
        played.centers.clone_from(&played.budgets);
        played.conversion_worth = played.value() / (conversions_a_day * count as f64);
        played
    }

    fn value_of(&self, budgets: &[i64]) -> f64 {
        self.sellers.iter().zip(budgets).map(|(of, budget)| of.value(*budget as f64 / 1e6)).sum()
    }

    fn value(&self) -> f64 {
        self.value_of(&self.budgets)
    }

    fn best(&self) -> f64 {
        let sum = self.budgets.iter().sum::<i64>() as f64 / 1e6;
        let at = |scale: f64| {
            let each = self.sellers.iter().map(|of| (of, of.clicks_and_spend((scale * of.worth).min(of.bid_max))));
            each.fold((0.0, 0.0), |sum, (of, (clicks, spend))| (sum.0 + clicks * of.worth, sum.1 + spend))
        };
        at(greatest(1e3, |scale| at(scale).1 <= sum)).0
    }

    fn day(&mut self, draw: &mut impl FnMut() -> f64) {
        for (at, of) in self.sellers.iter().enumerate() {
            let budget = self.budgets[at] as f64 / 1e6;
            let bid = of.bid_for(budget);
            let (clicks, spend) = of.clicks_and_spend(bid);
            let mut normal = || (0..12).map(|_| draw()).sum::<f64>() - 6.0;
            let mean = clicks * of.worth / self.conversion_worth * exp(self.day_noise * normal());
            let counted = floor((mean + sqrt(mean) * normal() + 0.5).max(0.0));
            self.days[at].push((self.budgets[at], spend, counted, spend >= budget * 0.98));
            let excess = self.days[at].len().saturating_sub(28);
            self.days[at].drain(..excess);
        }
    }

    fn campaign(&self, at: usize, up: bool, settings: &Settings) -> Campaign {
        let days = &self.days[at];
        let bound: Vec<Day> = days
            .iter()
            .filter(|day| day.3)
            .map(|day| Day { budget_micros: day.0, worth: day.2, seen_share: 1.0 })
            .collect();
        let response = Response::of(&bound, settings);
        let budget = self.budgets[at];
        let mean = days.iter().map(|day| day.1).sum::<f64>() / days.len() as f64 * 1e6;
        let recent = days.iter().rev().take(14);
        let most = recent.clone().map(|day| day.1).fold(0.0, f64::max) * 1e6;
        let idle = if recent.clone().any(|day| day.3) { 0 } else { budget - (most * 1.25) as i64 };
        let member = Member {
            budget_micros: budget,
            floor_micros: (mean / 2.0) as i64,
            ceiling_micros: self.budgets.iter().sum(),
            move_max_micros: budget / 5,
            may_take: days.last().is_some_and(|day| day.3),
            ln_return: response.as_ref().map_or(f64::NAN, |response| response.ln_return(self.centers[at])),
        };
        let daily = days.iter().map(|day| day.2).sum::<f64>() / days.len() as f64;
        Campaign { member, response, daily, idle_micros: idle.max(0), center_micros: self.centers[at], up: Some(up) }
    }

    /// So many days, with a person who says yes to each proposal.
    fn play(&mut self, nights: usize, seed: u64) -> Course {
        let settings = Settings::default();
        let mut draw = draws(seed ^ 0x5DEE_CE66);
        let (first, best) = (self.value(), self.best());
        let mut course = Course { before: first / best, ..Course::default() };
        for night in 0..nights {
            self.day(&mut draw);
            if night < 14 {
                continue;
            }
            let campaigns: Vec<Campaign> =
                (0..self.sellers.len()).map(|at| self.campaign(at, draw() < 0.5, &settings)).collect();
            let (changes, is_shift) = match tonight(&campaigns, CENT, true, &settings) {
                Ok(Tonight::Proven(changes, _)) => (changes, false),
                Ok(Tonight::Explores(changes, _)) => (changes, true),
                Err(_) => continue,
            };
            assert_eq!(changes.iter().sum::<i64>(), 0);
            let after: Vec<i64> = self.budgets.iter().zip(&changes).map(|(budget, change)| budget + change).collect();
            if is_shift {
                course.shifts += changes.iter().filter(|change| **change != 0).count();
            } else {
                course.proposals += 1;
                course.wrong += usize::from(self.value_of(&after) < self.value() * 0.9999);
            }
            if !is_shift {
                self.centers.iter_mut().zip(&changes).for_each(|(center, change)| *center += change);
            }
            self.budgets = after;
        }
        course.after = self.value() / best;
        course
    }
}

fn courses(saturated: usize, spread: f64, conversions_a_day: f64, nights: usize) -> Vec<Course> {
    let of = |seed| Played::of(3, saturated, spread, conversions_a_day, seed).play(nights, seed);
    (1..=5).chain(101..=105).map(of).collect()
}

fn mean(courses: &[Course], of: impl Fn(&Course) -> f64) -> f64 {
    courses.iter().map(of).sum::<f64>() / courses.len() as f64
}

#[test]
fn nothing_moves_where_nothing_is_to_be_gained_or_too_little_would_be_learned() {
    for (saturated, spread, conversions) in [(0, 0.0, 300.0), (0, 0.5, 30.0)] {
        let courses = courses(saturated, spread, conversions, 60);
        assert!(courses.iter().all(|course| course.shifts + course.proposals == 0), "{courses:?}");
    }
}

#[test]
fn what_is_proposed_gains_and_no_pool_ends_below_its_start() {
    // Much is idle; little is idle, and returns lie far apart.
    for (saturated, spread, conversions, gains) in [(1, 0.5, 30.0, 0.03), (0, 1.5, 3_000.0, 0.02)] {
        let courses = courses(saturated, spread, conversions, 60);
        println!("{courses:?}");
        assert!(courses.iter().all(|course| course.wrong == 0 && course.after >= course.before - 1e-3), "{courses:?}");
        assert!(mean(&courses, |course| course.after - course.before) >= gains, "{courses:?}");
        assert!(mean(&courses, |course| course.shifts as f64) <= 30.0, "{courses:?}");
    }
}
