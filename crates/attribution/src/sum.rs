//! A sum whose error does not grow with the number of terms (Neumaier).

/// Running sum with the part that rounding would lose.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    /// Adds a term.
    pub fn add(&mut self, term: f64) {
        let sum = self.sum + term;
        self.lost += if self.sum.abs() >= term.abs() { (self.sum - sum) + term } else { (term - sum) + self.sum };
        self.sum = sum;
    }

    /// What was added.
    pub fn total(&self) -> f64 {
        self.sum + self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_term_does_not_swallow_the_small_ones() {
        let mut sum = Sum::default();
        for term in [1.0, 1e100, 1.0, -1e100] {
            sum.add(term);
        }
        assert_eq!(sum.total(), 2.0);
        let mut tenths = Sum::default();
        (0..10_000_000).for_each(|_| tenths.add(0.1));
        assert_eq!(tenths.total(), 1_000_000.0);
    }
}
