//! The scoring rule of the Numenta Anomaly Benchmark, and the series that are kept here.

use std::collections::BTreeMap;

/// One labelled series.
pub struct Labelled {
    pub name: &'static str,
    /// Epoch milliseconds and values, in file order.
    pub rows: Vec<(i64, f64)>,
    /// Inclusive windows of row numbers.
    pub windows: Vec<(usize, usize)>,
}

/// Weights of a profile.
pub struct Profile {
    pub tp: f64,
    pub fp: f64,
    pub fn_: f64,
}

pub const STANDARD: Profile = Profile { tp: 1.0, fp: 0.11, fn_: 1.0 };
pub const LOW_FP: Profile = Profile { tp: 1.0, fp: 0.22, fn_: 1.0 };
pub const LOW_FN: Profile = Profile { tp: 1.0, fp: 0.11, fn_: 2.0 };

/// What a set of series scored at one threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    pub points: f64,
    pub windows: usize,
    pub hit: usize,
    /// Rows above the threshold outside the windows.
    pub false_rows: usize,
    /// Mean share of the window that had passed at the first row above the threshold.
    pub delay: f64,
}

fn sigma(y: f64) -> f64 {
    2.0 / (1.0 + libm::exp(5.0 * y)) - 1.0
}

/// Scores a set of series together at one threshold.
pub fn score(set: &[(&Labelled, Vec<f64>)], threshold: f64, profile: &Profile) -> Score {
    let (mut sum, mut result, mut delays) = (0.0, Score::default(), 0.0);
    for (series, scores) in set {
        let n = series.rows.len();
        let probation = (n * 15 / 100).min(750);
        let mut best: BTreeMap<usize, f64> = BTreeMap::new();
        for row in (probation..n).filter(|row| scores[*row] >= threshold) {
            let inside = series.windows.iter().position(|(from, to)| (*from..=*to).contains(&row));
            if let Some(window) = inside {
                let (from, to) = series.windows[window];
                let length = (to - from) as f64 + 1.0;
                let y = -(length - (row - from) as f64) / length;
                best.entry(window).or_insert(y);
                continue;
            }
            result.false_rows += 1;
            let before = series.windows.iter().filter(|(_, to)| *to < row).max_by_key(|(_, to)| *to);
            let cost = before.map_or(1.0, |(from, to)| {
                let y = (row - to) as f64 / ((to - from) as f64).max(1.0);
                if y > 3.0 { 1.0 } else { -sigma(y) }
            });
            sum -= profile.fp * cost;
        }
        result.windows += series.windows.len();
        result.hit += best.len();
        for y in best.values() {
            sum += profile.tp * sigma(*y) / sigma(-1.0);
            delays += 1.0 + y;
        }
        sum -= profile.fn_ * (series.windows.len() - best.len()) as f64;
    }
    let (null, perfect) = (-profile.fn_ * result.windows as f64, profile.tp * result.windows as f64);
    result.points = 100.0 * (sum - null) / (perfect - null);
    result.delay = delays / (result.hit as f64).max(1.0);
    result
}

/// The threshold, in steps of 0.004, with the greatest score on the set, and that score.
pub fn best(set: &[(&Labelled, Vec<f64>)], profile: &Profile) -> (f64, Score) {
    let mut found = (2.0, score(set, 2.0, profile));
    for step in (25..250).rev() {
        let threshold = f64::from(step) / 250.0;
        let here = score(set, threshold, profile);
        if here.points > found.1.points {
            found = (threshold, here);
        }
    }
    found
}

/// The four series, exchange-2 first.
pub fn series() -> Vec<Labelled> {
    let texts = [
        ("exchange-2_cpc_results.csv", include_str!("../data/nab/exchange-2_cpc_results.csv")),
        ("exchange-2_cpm_results.csv", include_str!("../data/nab/exchange-2_cpm_results.csv")),
        ("exchange-3_cpc_results.csv", include_str!("../data/nab/exchange-3_cpc_results.csv")),
        ("exchange-3_cpm_results.csv", include_str!("../data/nab/exchange-3_cpm_results.csv")),
    ];
    let labels = include_str!("../data/nab/windows.json");
    texts.into_iter().map(|(name, text)| labelled(name, text, labels)).collect()
}

fn labelled(name: &'static str, text: &str, labels: &str) -> Labelled {
    let rows: Vec<(i64, f64)> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(','))
        .map(|(time, value)| (epoch_ms(time), value.trim().parse().expect("a number")))
        .collect();
    let of_file = labels.split(name).nth(1).expect("a label for each file").split(']').collect::<Vec<_>>();
    let mut windows = Vec::new();
    for part in of_file {
        let times: Vec<i64> = part.split('"').filter(|word| word.starts_with("20")).map(epoch_ms).collect();
        let [from, to] = times[..] else { break };
        let first = rows.iter().position(|(at, _)| *at >= from).expect("a window inside the file");
        let last = rows.iter().rposition(|(at, _)| *at <= to).expect("a window inside the file");
        windows.push((first, last));
    }
    Labelled { name, rows, windows }
}

/// `YYYY-MM-DD HH:MM:SS[.ffffff]`, UTC.
fn epoch_ms(text: &str) -> i64 {
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().expect("digits");
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // Days since 1970 of a civil date; March starts the year, so that the leap day is its last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    ((days * 24 + number(11..13)) * 60 + number(14..16)) * 60_000 + number(17..19) * 1_000
}
