//! How much more than the mean a click of each cell is worth, shrunk by the method of moments.
//!
//! Source: `(k + kappa mu) / (n + kappa)` with `kappa = s2 / tau2`, `tau2` the variance between cells beyond what chance
//! gives (empirical Bayes by moments; for conversions `s2 = mu (1 - mu)`, for values their variance per click).

/// What one cell has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// Clicks, each times the share of its conversions that can have been seen.
    pub exposure: f64,
    /// Conversions seen, or their value where that is the goal.
    pub worth: f64,
    /// Sum of the squares of single worths.
    pub squares: f64,
    /// What the clicks cost, in any unit.
    pub spend: f64,
}

/// Shrunk worth of a click in each cell over the mean of all, 1 where nothing can be said.
pub fn rates_over_mean(cells: &[Measured]) -> Vec<f64> {
    let ones = || vec![1.0; cells.len()];
    let sum = |of: fn(&Measured) -> f64| cells.iter().map(|cell| of(cell).max(0.0)).sum::<f64>();
    let (exposure, worth, squares) = (sum(|c| c.exposure), sum(|c| c.worth), sum(|c| c.squares));
    let mean = worth / exposure;
    if !(mean > 0.0 && mean.is_finite()) {
        return ones();
    }
    let chance = (squares / exposure - mean * mean).max(0.0);
    let (mut between, mut sizes, mut used) = (0.0, 0.0, 0.0);
    for cell in cells.iter().filter(|cell| cell.exposure > 0.0) {
        let off = cell.worth.max(0.0) / cell.exposure - mean;
        between += cell.exposure * off * off;
        sizes += cell.exposure * cell.exposure;
        used += 1.0;
    }
    let spread = (between - (used - 1.0) * chance) / (exposure - sizes / exposure);
    if !(spread > 0.0 && spread.is_finite()) {
        return ones();
    }
    let kappa = chance / spread;
    let shrunk = |cell: &Measured| {
        let rate = (cell.worth.max(0.0) + kappa * mean) / (cell.exposure.max(0.0) + kappa) / mean;
        if rate.is_finite() { rate } else { 1.0 }
    };
    cells.iter().map(shrunk).collect()
}
