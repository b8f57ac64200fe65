//! The downhill simplex of Nelder and Mead, from a fixed start: the same function gives the same answer.

/// The point of the least value that was found, and that value. A value that is not finite counts as infinitely bad.
///
/// Starts again from its own answer, with a fresh simplex, until nothing more is gained: a simplex that collapsed on a
/// slope is the method's known weakness.
pub(crate) fn minimize<const N: usize>(value: &dyn Fn(&[f64; N]) -> f64, start: [f64; N]) -> ([f64; N], f64) {
    let value = |point: &[f64; N]| {
        let height = value(point);
        if height.is_finite() { height } else { f64::INFINITY }
    };
    let mut best = (start, value(&start));
    for round in 0..RESTARTS_MAX {
        let step = if round == 0 { FIRST_STEP } else { LATER_STEP };
        let found = descend(&value, best, step);
        let gained = best.1 - found.1;
        if found.1 < best.1 {
            best = found;
        }
        if round > 0 && gained.is_finite() && gained <= GAIN_MIN * (1.0 + best.1.abs()) {
            break;
        }
    }
    best
}

fn descend<const N: usize>(value: &dyn Fn(&[f64; N]) -> f64, from: ([f64; N], f64), step: f64) -> ([f64; N], f64) {
    let mut corners = vec![from];
    for axis in 0..N {
        let mut corner = from.0;
        corner[axis] += step;
        corners.push((corner, value(&corner)));
    }
    for _ in 0..STEPS_MAX {
        // Stable: of equal values the older corner stays first.
        corners.sort_by(|one, other| one.1.total_cmp(&other.1));
        if spread(&corners) < SPREAD_MIN {
            break;
        }
        let center = center(&corners[..N]);
        let (worst, second) = (corners[N], corners[N - 1].1);
        let toward = |factor: f64| {
            let mut point = center;
            (0..N).for_each(|axis| point[axis] += factor * (worst.0[axis] - center[axis]));
            (point, value(&point))
        };
        let reflected = toward(-1.0);
        let moved = if reflected.1 < corners[0].1 {
            let expanded = toward(-2.0);
            Some(if expanded.1 < reflected.1 { expanded } else { reflected })
        } else if reflected.1 < second {
            Some(reflected)
        } else {
            let contracted = if reflected.1 < worst.1 { toward(-0.5) } else { toward(0.5) };
            (contracted.1 < reflected.1.min(worst.1)).then_some(contracted)
        };
        match moved {
            Some(corner) => corners[N] = corner,
            None => shrink(&mut corners, value),
        }
    }
    corners.sort_by(|one, other| one.1.total_cmp(&other.1));
    corners[0]
}

fn center<const N: usize>(corners: &[([f64; N], f64)]) -> [f64; N] {
    let mut center = [0.0; N];
    for (corner, _) in corners {
        (0..N).for_each(|axis| center[axis] += corner[axis]);
    }
    center.map(|sum| sum / corners.len() as f64)
}

fn shrink<const N: usize>(corners: &mut [([f64; N], f64)], value: &dyn Fn(&[f64; N]) -> f64) {
    let best = corners[0].0;
    for corner in &mut corners[1..] {
        (0..N).for_each(|axis| corner.0[axis] = 0.5 * (corner.0[axis] + best[axis]));
        corner.1 = value(&corner.0);
    }
}

/// Greatest distance of a corner from the best one, along any axis.
fn spread<const N: usize>(corners: &[([f64; N], f64)]) -> f64 {
    let best = &corners[0].0;
    let far = |corner: &[f64; N]| (0..N).map(|axis| (corner[axis] - best[axis]).abs()).fold(0.0, f64::max);
    corners.iter().map(|corner| far(&corner.0)).fold(0.0, f64::max)
}

/// A step of one in a logarithm is a factor of 2.7: wide enough to leave a wrong start.
const FIRST_STEP: f64 = 1.0;
/// Wide enough to leave a collapsed simplex, narrow enough to stay in the valley.
const LATER_STEP: f64 = 0.1;
/// Corners this near (in logarithms) agree in eight digits.
const SPREAD_MIN: f64 = 1e-9;
/// A restart that gains less than this part of the value was the last.
const GAIN_MIN: f64 = 1e-14;
/// Four parameters need some 300 steps.
const STEPS_MAX: usize = 4_000;
/// Two or three are enough on the data sets tried.
const RESTARTS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bent_valley_is_followed_to_its_end() {
        let valley = |at: &[f64; 2]| {
            let (bend, reach) = (at[1] - at[0] * at[0], 1.0 - at[0]);
            100.0 * bend * bend + reach * reach
        };
        let (at, height) = minimize(&valley, [-1.2, 1.0]);
        assert!((at[0] - 1.0).abs() < 1e-6 && (at[1] - 1.0).abs() < 1e-6 && height < 1e-12, "{at:?} {height}");
    }

    #[test]
    fn what_is_not_finite_is_avoided() {
        let (at, _) = minimize(&|at: &[f64; 1]| at[0] - libm::log(at[0]), [5.0]);
        assert!((at[0] - 1.0).abs() < 1e-6, "{at:?}");
        assert!(minimize(&|_: &[f64; 1]| f64::NAN, [5.0]).1.is_infinite());
    }
}
