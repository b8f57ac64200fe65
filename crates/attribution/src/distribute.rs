//! Exact division of a whole by weights: the largest remainder method.

/// Splits `whole` in proportion to `weights`; the parts sum to it exactly, and none has the other sign.
///
/// What integer division leaves over goes, one each, to the largest remainders, the earlier part first among equals.
/// Where all weights are zero the last part takes all; without weights there are no parts.
pub fn distribute(whole: i64, weights: &[u64]) -> Vec<i64> {
    let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    if total == 0 {
        let mut parts = vec![0; weights.len()];
        if let Some(last) = parts.last_mut() {
            *last = whole;
        }
        return parts;
    }
    let size = u128::from(whole.unsigned_abs());
    let mut parts: Vec<u64> = Vec::with_capacity(weights.len());
    let mut remainders: Vec<(u128, usize)> = Vec::with_capacity(weights.len());
    for (at, weight) in weights.iter().enumerate() {
        // Below 2^63 x 2^64, and the quotient is at most `whole`.
        let product = size * u128::from(*weight);
        parts.push((product / total) as u64);
        remainders.push((product % total, at));
    }
    let left = size - parts.iter().map(|part| u128::from(*part)).sum::<u128>();
    remainders.sort_unstable_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(&other.1)));
    for (_, at) in remainders.into_iter().take(left as usize) {
        parts[at] += 1;
    }
    parts.into_iter().map(|part| if whole < 0 { 0_i64.wrapping_sub_unsigned(part) } else { part as i64 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn three_thirds_of_a_million_differ_by_one_at_most() {
        assert_eq!(distribute(1_000_000, &[1, 1, 1]), [333_334, 333_333, 333_333]);
        assert_eq!(distribute(-2, &[1, 1, 1]), [-1, -1, 0]);
        assert_eq!(distribute(5, &[0, 0]), [0, 5]);
        assert_eq!(distribute(5, &[]), Vec::<i64>::new());
        assert_eq!(distribute(i64::MIN, &[7]), [i64::MIN]);
    }

    proptest! {
        #[test]
        fn parts_are_within_one_of_their_exact_share(whole: i64, weights in prop::collection::vec(any::<u64>(), 1..20)) {
            let parts = distribute(whole, &weights);
            prop_assert_eq!(parts.iter().map(|part| i128::from(*part)).sum::<i128>(), i128::from(whole));
            let total: f64 = weights.iter().map(|weight| *weight as f64).sum();
            if total > 0.0 {
                for (part, weight) in parts.iter().zip(&weights) {
                    prop_assert!(*part == 0 || (*part < 0) == (whole < 0));
                    let exact = whole as f64 * (*weight as f64 / total);
                    prop_assert!((*part as f64 - exact).abs() <= 1.0 + exact.abs() * 1e-12);
                }
            }
        }
    }
}
