//! How to split a budget over response curves: equal marginal return, within bounds.
//!
//! Each campaign answers a spend s with value a (1 - e^(-s/b)). The best split gives every campaign that is not at a bound
//! the same marginal return mu = (a/b) e^(-s/b) (the Karush-Kuhn-Tucker conditions), so one number is searched by
//! bisection. What always holds: spends are whole micros, sum to the budget exactly and keep their bounds; the same input
//! gives the same bytes. What is missing on purpose: how the curves are learned, and how fast money may move.

/// How one campaign answers money.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curve {
    /// Value that no spend exceeds, in any unit, at least 0.
    pub a: f64,
    /// Micros of spend that bring 63 % of it, above 0.
    pub b: f64,
    /// Least spend.
    pub min_micros: i64,
    /// Greatest spend.
    pub max_micros: i64,
}

impl Curve {
    /// Value of a spend.
    pub fn value(&self, spend_micros: i64) -> f64 {
        -self.a * libm::expm1(-(spend_micros as f64) / self.b)
    }

    /// Logarithm of the value of one more micro; minus infinity where nothing is gained.
    fn ln_marginal(&self, spend_micros: i64) -> f64 {
        libm::log(self.a) - libm::log(self.b) - spend_micros as f64 / self.b
    }

    /// The spend inside the bounds at which one more micro brings e^`ln_return`.
    fn spend_at(&self, ln_return: f64) -> f64 {
        let free = self.b * (libm::log(self.a) - libm::log(self.b) - ln_return);
        free.max(self.min_micros as f64).min(self.max_micros as f64)
    }
}

/// The best split.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// In the order of the curves.
    pub spends_micros: Vec<i64>,
    /// What the spends bring together.
    pub value: f64,
    /// Value of the next micro, the same for all campaigns that are not at a bound; `None` without curves.
    pub marginal_return: Option<f64>,
}

/// Why a budget cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The curve with this number is not a curve: a below 0, b not above 0, or not finite.
    Curve(usize),
    /// The curve with this number has a negative least spend, or one above its greatest.
    Bounds(usize),
    /// The least spends sum to more than the budget.
    BudgetBelowMinima,
    /// The greatest spends sum to less than the budget.
    BudgetAboveMaxima,
}

/// Splits a budget so that no other split within the bounds brings more.
pub fn split(budget_micros: i64, curves: &[Curve]) -> Result<Split, Fault> {
    check(budget_micros, curves)?;
    let mut spends: Vec<i64> = curves.iter().map(|curve| curve.min_micros).collect();
    if let Some(ln_return) = common_return(budget_micros, curves) {
        for (spend, curve) in spends.iter_mut().zip(curves) {
            // Rounded down, so that what is left over is never negative by more than rounding.
            *spend = (libm::floor(curve.spend_at(ln_return)) as i64).clamp(curve.min_micros, curve.max_micros);
        }
    }
    settle(budget_micros, curves, &mut spends);
    let value = curves.iter().zip(&spends).map(|(curve, spend)| curve.value(*spend)).sum();
    let marginal_return = marginal_return(curves, &spends);
    Ok(Split { spends_micros: spends, value, marginal_return })
}

fn check(budget_micros: i64, curves: &[Curve]) -> Result<(), Fault> {
    for (at, curve) in curves.iter().enumerate() {
        if !(curve.a >= 0.0 && curve.a.is_finite() && curve.b > 0.0 && curve.b.is_finite()) {
            return Err(Fault::Curve(at));
        }
        if curve.min_micros < 0 || curve.min_micros > curve.max_micros {
            return Err(Fault::Bounds(at));
        }
    }
    let sum = |of: fn(&Curve) -> i64| curves.iter().map(|curve| i128::from(of(curve))).sum::<i128>();
    if sum(|curve| curve.min_micros) > i128::from(budget_micros) {
        return Err(Fault::BudgetBelowMinima);
    }
    if sum(|curve| curve.max_micros) < i128::from(budget_micros) {
        return Err(Fault::BudgetAboveMaxima);
    }
    Ok(())
}

/// ln of the marginal return at which the curves take the budget, by bisection; `None` where no curve brings anything.
fn common_return(budget_micros: i64, curves: &[Curve]) -> Option<f64> {
    let wanted = budget_micros as f64;
    let worth: Vec<&Curve> = curves.iter().filter(|curve| curve.a > 0.0).collect();
    let taken = |ln_return: f64| curves.iter().map(|curve| curve.spend_at(ln_return)).sum::<f64>();
    let mut above = worth.iter().map(|curve| curve.ln_marginal(curve.min_micros)).fold(f64::NEG_INFINITY, f64::max);
    let mut below = worth.iter().map(|curve| curve.ln_marginal(curve.max_micros)).fold(f64::INFINITY, f64::min);
    if worth.is_empty() {
        return None;
    }
    if taken(below) <= wanted {
        return Some(below);
    }
    loop {
        let middle = 0.5 * (above + below);
        if middle == above || middle == below || !middle.is_finite() {
            // The side that takes no more than there is.
            return Some(above);
        }
        if taken(middle) > wanted { below = middle } else { above = middle }
    }
}

/// Brings the sum to the budget: missing micros go where they bring most, surplus ones leave where they are missed least.
/// A step moves all campaigns of (nearly) equal return together, so that few steps do whatever rounding left.
fn settle(budget_micros: i64, curves: &[Curve], spends: &mut [i64]) {
    loop {
        let missing = i128::from(budget_micros) - spends.iter().map(|spend| i128::from(*spend)).sum::<i128>();
        if missing == 0 {
            return;
        }
        let room = |at: usize| match missing > 0 {
            true => i128::from(curves[at].max_micros) - i128::from(spends[at]),
            false => i128::from(spends[at]) - i128::from(curves[at].min_micros),
        };
        let mut open: Vec<usize> = (0..curves.len()).filter(|at| room(*at) > 0).collect();
        let merit = |at: usize| curves[at].ln_marginal(spends[at]);
        open.sort_by(|one, other| {
            let order = merit(*other).total_cmp(&merit(*one));
            if missing > 0 { order.then(one.cmp(other)) } else { order.reverse().then(one.cmp(other)) }
        });
        // The checked bounds leave room for every micro; without any the loop ends rather than spins.
        if open.is_empty() {
            return;
        }
        let each = (missing.abs() / open.len() as i128).max(1);
        let mut left = missing.abs();
        let moves: Vec<(usize, i128)> = open
            .iter()
            .map(|at| {
                let size = each.min(room(*at)).min(left);
                left -= size;
                (*at, size)
            })
            .collect();
        for (at, size) in moves {
            let size = size as i64;
            spends[at] = if missing > 0 { spends[at] + size } else { spends[at] - size };
        }
    }
}

/// From the spends as they are: of campaigns inside their bounds, else of those that could still grow, else of those that
/// could only shrink.
fn marginal_return(curves: &[Curve], spends: &[i64]) -> Option<f64> {
    let best = |keep: &dyn Fn(&Curve, i64) -> bool| {
        let open = curves.iter().zip(spends).filter(|(curve, spend)| keep(curve, **spend));
        open.map(|(curve, spend)| curve.ln_marginal(*spend)).reduce(f64::max)
    };
    let inside = best(&|curve, spend| curve.min_micros < spend && spend < curve.max_micros);
    let ln_return = inside
        .or_else(|| best(&|curve, spend| spend < curve.max_micros))
        .or_else(|| curves.iter().zip(spends).map(|(curve, spend)| curve.ln_marginal(*spend)).reduce(f64::min));
    ln_return.map(libm::exp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn curve(a: f64, b: f64, min_micros: i64, max_micros: i64) -> Curve {
        Curve { a, b, min_micros, max_micros }
    }

    const EUR: i64 = 1_000_000;

    #[test]
    fn equal_curves_share_equally_and_a_better_one_gets_more() {
        let equal = split(90 * EUR, &[curve(10.0, 5e7, 0, 90 * EUR); 3]).expect("possible");
        assert_eq!(equal.spends_micros, [30 * EUR; 3]);
        // Twice the value: b ln 2 more spend on the better one.
        let unequal =
            split(100 * EUR, &[curve(20.0, 5e7, 0, 100 * EUR), curve(10.0, 5e7, 0, 100 * EUR)]).expect("possible");
        assert!((unequal.spends_micros[0] - unequal.spends_micros[1] - 34_657_359).abs() <= 1, "{unequal:?}");
        assert_eq!(unequal.spends_micros.iter().sum::<i64>(), 100 * EUR);
    }

    #[test]
    fn bounds_hold_and_the_rest_moves() {
        let curves =
            [curve(20.0, 5e7, 0, 10 * EUR), curve(10.0, 5e7, 60 * EUR, 100 * EUR), curve(9.0, 5e7, 0, 100 * EUR)];
        let split = split(100 * EUR, &curves).expect("possible");
        assert_eq!(split.spends_micros, [10 * EUR, 60 * EUR, 30 * EUR]);
        let expected = 9.0 / 5e7 * libm::exp(-0.6);
        assert!((split.marginal_return.expect("curves") / expected - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_edges_of_the_possible() {
        let curves = [curve(1.0, 1e6, 2, 5), curve(0.0, 1e6, 1, 9)];
        assert_eq!(split(3, &curves).expect("minima").spends_micros, [2, 1]);
        assert_eq!(split(14, &curves).expect("maxima").spends_micros, [5, 9]);
        assert_eq!(split(9, &curves).expect("a worthless curve takes what is left").spends_micros, [5, 4]);
        assert_eq!(split(2, &curves), Err(Fault::BudgetBelowMinima));
        assert_eq!(split(15, &curves), Err(Fault::BudgetAboveMaxima));
        assert_eq!(split(0, &[]).expect("nothing").marginal_return, None);
        assert_eq!(split(5, &[curve(1.0, 0.0, 0, 9)]), Err(Fault::Curve(0)));
        assert_eq!(split(5, &[curve(1.0, 1.0, 3, 2)]), Err(Fault::Bounds(0)));
        let vast = curve(1.0, 1e15, 0, i64::MAX);
        let spends = split(i64::MAX, &[vast, vast, vast]).expect("possible").spends_micros;
        assert_eq!(spends.iter().map(|spend| i128::from(*spend)).sum::<i128>(), i128::from(i64::MAX));
    }

    #[test]
    fn a_saturated_campaign_does_not_hide_the_return_of_others() {
        // e^(-s/b) of the first underflows; its logarithm does not.
        let curves = [curve(5.0, 1e3, 0, 900 * EUR), curve(5.0, 2e3, 0, 900 * EUR)];
        let split = split(900 * EUR, &curves).expect("possible");
        let shares = [split.spends_micros[0] as f64 / 9e8, split.spends_micros[1] as f64 / 9e8];
        assert!((shares[0] - 1.0 / 3.0).abs() < 1e-4 && (shares[1] - 2.0 / 3.0).abs() < 1e-4, "{shares:?}");
    }

    fn portfolio() -> impl Strategy<Value = (i64, Vec<Curve>)> {
        let one = (0.0..1e4_f64, 1e4..1e9_f64, 0_i64..50 * EUR, 0_i64..500 * EUR)
            .prop_map(|(a, b, min, more)| curve(a, b, min, min + more));
        (prop::collection::vec(one, 1..12), 0.0..=1.0_f64).prop_map(|(curves, part)| {
            let least: i64 = curves.iter().map(|curve| curve.min_micros).sum();
            let most: i64 = curves.iter().map(|curve| curve.max_micros).sum();
            (least + ((most - least) as f64 * part) as i64, curves)
        })
    }

    proptest! {
        #[test]
        fn money_is_conserved_within_bounds_at_the_optimum((budget, curves) in portfolio()) {
            let split = split(budget, &curves).expect("possible");
            prop_assert_eq!(split.spends_micros.iter().sum::<i64>(), budget);
            for (curve, spend) in curves.iter().zip(&split.spends_micros) {
                prop_assert!((curve.min_micros..=curve.max_micros).contains(spend));
            }
            // Weak duality: for any return mu, sum of max over s of (value - mu s), plus mu B, bounds every split's value.
            let mu = split.marginal_return.expect("curves");
            let ln_mu = libm::log(mu);
            let bound: f64 = mu * budget as f64 + curves.iter().map(|curve| {
                let spend = curve.spend_at(ln_mu);
                -curve.a * libm::expm1(-spend / curve.b) - mu * spend
            }).sum::<f64>();
            prop_assert!(split.value >= bound * (1.0 - 1e-9) - 1e-9, "{} of {}", split.value, bound);
        }

        #[test]
        fn no_input_breaks_it(
            budget in any::<i64>(),
            parts in prop::collection::vec((any::<f64>(), any::<f64>(), any::<i64>(), any::<i64>()), 0..5),
        ) {
            let curves: Vec<Curve> = parts.iter().map(|(a, b, min, max)| curve(*a, *b, *min, *max)).collect();
            if let Ok(split) = split(budget, &curves) {
                let sum: i128 = split.spends_micros.iter().map(|spend| i128::from(*spend)).sum();
                prop_assert!(curves.is_empty() || sum == i128::from(budget));
            }
        }
    }
}
