//! Numbers as people read them.

use crate::compare::Change;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};

/// Text that is safe inside of HTML, in elements and attributes.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// Money with two digits; with as many as it needs where it is less than one tenth of a unit.
pub fn money(micros: i64) -> String {
    let sign = if micros < 0 { "\u{2212}" } else { "" };
    let all = micros.unsigned_abs();
    if all != 0 && all < 100_000 {
        let digits = format!("{all:06}");
        return format!("{sign}0.{}", digits.trim_end_matches('0'));
    }
    let cents = all.saturating_add(5_000) / 10_000;
    format!("{sign}{}.{:02}", grouped(cents / 100), cents % 100)
}

/// A share in percent, with one digit.
pub fn percent(ppm: i64) -> String {
    let tenths = (i128::from(ppm).unsigned_abs() + 500) / 1_000;
    let sign = if ppm < 0 { "\u{2212}" } else { "" };
    format!("{sign}{}.{}\u{a0}%", tenths / 10, tenths % 10)
}

/// A ratio with two digits.
pub fn times(ppm: i64) -> String {
    let hundredths = (i128::from(ppm).unsigned_abs() + 5_000) / 10_000;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// A whole number in groups of three.
pub fn whole(count: i64) -> String {
    let sign = if count < 0 { "\u{2212}" } else { "" };
    format!("{sign}{}", grouped(count.unsigned_abs()))
}

/// Micro-conversions as conversions, with one digit where they are not whole.
pub fn conversions(micro: i64) -> String {
    let tenths = micro.saturating_add(50_000) / 100_000;
    if tenths % 10 == 0 { whole(tenths / 10) } else { format!("{}.{}", whole(tenths / 10), tenths % 10) }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

/// A word of the contract as a person says it.
pub fn spoken(word: &str) -> String {
    word.replace('_', " ")
}

/// UTC, to the minute.
pub fn instant(at: Millis) -> String {
    formatted(at, "%Y-%m-%d %H:%M")
}

/// UTC, to the second.
pub fn second(at: Millis) -> String {
    formatted(at, "%m-%d %H:%M:%S")
}

/// UTC, by a pattern.
pub fn formatted(at: Millis, pattern: &str) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| String::new(), |at| at.strftime(pattern).to_string())
}

/// A span of time in its two greatest units.
pub fn span(ms: Millis) -> String {
    let (days, hours, minutes) = (ms / DAY_MS, ms % DAY_MS / HOUR_MS, ms % HOUR_MS / MINUTE_MS);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{} s", ms / 1_000),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// What a change says about spend.
pub fn bounds(change: &Change) -> String {
    let least = money(change.least_micros());
    match change.most_micros() {
        Some(most) if most == change.least_micros() => format!("{} as recorded", money(most)),
        Some(most) => format!("{least} to {}", money(most)),
        None => format!("{least} at least; the most is not identified"),
    }
}

/// A change in one sentence.
pub fn change_words(change: &Change, is_identified: bool) -> String {
    let spend = if is_identified { bounds(change) } else { "not identified".into() };
    format!(
        "{}: {} commands instead of {}, {} alerts instead of {}; {} recorded, spend under these commands: {spend}",
        change.currency,
        change.commands[1],
        change.commands[0],
        change.alerts[1],
        change.alerts[0],
        money(change.recorded_micros()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well_at_every_size() {
        assert_eq!(money(1_234_567_890_000), "1\u{2009}234\u{2009}567.89");
        assert_eq!(money(12_300), "0.0123");
        assert_eq!(money(-2_995_000), "\u{2212}3.00");
        assert_eq!(money(0), "0.00");
        assert_eq!(percent(1_012_345), "101.2\u{a0}%");
        assert_eq!(conversions(1_500_000), "1.5");
        assert_eq!(conversions(12_000_000), "12");
        assert_eq!(span(DAY_MS * 2 + HOUR_MS * 3), "2 d 3 h");
        assert_eq!(money(i64::MIN).chars().next(), Some('\u{2212}'));
    }

    #[test]
    fn names_cannot_break_out_of_the_page() {
        assert_eq!(escape("<a href='x'>&\""), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
    }
}
