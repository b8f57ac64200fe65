//! What anybody would build first, to stand beside ours.

use policy::detect::Direction;

/// Alerts of an algorithm on hourly values.
pub type Alerts = Vec<(usize, Direction)>;

/// More than half above or below the same hour of the day before.
pub fn half_off_yesterday(values: &[f64]) -> Alerts {
    let mut alerts = Vec::new();
    for i in 24..values.len() {
        let (before, now) = (values[i - 24], values[i]);
        if libm::fabs(now - before) > 0.5 * before {
            alerts.push((i, if now > before { Direction::Above } else { Direction::Below }));
        }
    }
    merged(alerts)
}

/// Logarithms, hour of week with gain 0.15, clipped level and size of 168 rows, two sums with slack 0.5; a textbook recipe.
pub fn seasonal_sums(values: &[f64], limit: f64, spike: f64) -> Alerts {
    let a = 1.0 - libm::exp2(-1.0 / 168.0);
    let mean = values.iter().take(24).sum::<f64>() / 24.0;
    let c0 = 0.05 * mean.max(1e-9);
    let (mut m, mut d, mut up, mut down, mut hold) = (0.0, 0.3, 0.0f64, 0.0f64, 0);
    let (mut week, mut day, mut seen) = ([0.0; 168], [0.0; 24], [0u32; 168]);
    let mut alerts = Vec::new();
    for (i, value) in values.iter().enumerate() {
        let x = libm::log(value + c0);
        if i == 0 {
            m = x;
        }
        let (h, hd) = (i % 168, i % 24);
        let s = if seen[h] < 3 { day[hd] } else { week[h] };
        let raw = x - m - s;
        let z = raw / (d * 1.2533);
        let r = raw.clamp(-3.0 * d, 3.0 * d);
        week[h] += if seen[h] == 0 { x - m - week[h] } else { 0.15 * (x - m - week[h]).clamp(-3.0 * d, 3.0 * d) };
        day[hd] += if i < 24 { raw } else { 0.15 * r };
        seen[h] += 1;
        m += a * r;
        d += a.max(1.0 / (i as f64 + 2.0)) * (libm::fabs(raw).min(6.0 * d) - d);
        if hold > 0 {
            hold -= 1;
            continue;
        }
        up = (up + z - 0.5).max(0.0);
        down = (down - z - 0.5).max(0.0);
        if up >= limit || z >= spike {
            alerts.push((i, Direction::Above));
        } else if down >= limit || z <= -spike {
            alerts.push((i, Direction::Below));
        } else {
            continue;
        }
        (up, down, hold) = (0.0, 0.0, 24);
    }
    alerts
}

/// One incident is one alert: what follows within a day is dropped.
fn merged(alerts: Alerts) -> Alerts {
    let mut kept: Alerts = Vec::new();
    for alert in alerts {
        if kept.last().is_none_or(|(row, _)| alert.0 >= row + 24) {
            kept.push(alert);
        }
    }
    kept
}

/// Scores of a weighted mean of logarithms and its deviation, twenty lines as anybody writes them.
pub fn weighted_mean(values: &[f64]) -> Vec<f64> {
    let (mut mean, mut size, mut scores) = (0.0, 0.1, Vec::new());
    for (i, value) in values.iter().enumerate() {
        let x = libm::log(value.max(0.0) + 1e-3);
        if i == 0 {
            mean = x;
        }
        let off = x - mean;
        let z = libm::fabs(off) / (1.2533 * size + 1e-9);
        scores.push(if i < 48 { 0.0 } else { z / (z + 4.0) });
        mean += 0.1 * off;
        size += 0.02 * (libm::fabs(off).min(6.0 * size) - size);
    }
    scores
}
