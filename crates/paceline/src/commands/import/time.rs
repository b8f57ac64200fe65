//! Instants as files write them.

use model::time::Millis;

/// How a column writes instants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// Digits are epoch milliseconds, anything else is RFC 3339.
    Any,
    /// Epoch milliseconds.
    EpochMs,
    /// Epoch seconds, with a fraction or without.
    EpochSeconds,
    /// RFC 3339, also with a blank for the T; UTC where no offset stands.
    Rfc3339,
    /// A pattern as `strftime` writes it; UTC where it has no offset.
    Pattern(String),
}

impl TimeFormat {
    /// The format of a map's word.
    pub fn parse_name(name: &str) -> Result<Self, String> {
        Ok(match name {
            "epoch_ms" => Self::EpochMs,
            "epoch_s" => Self::EpochSeconds,
            "rfc3339" => Self::Rfc3339,
            pattern if pattern.contains('%') => Self::Pattern(pattern.to_owned()),
            other => {
                return Err(format!(
                    "format {other:?} is not epoch_ms, epoch_s, rfc3339 or a pattern such as %Y-%m-%d %H:%M:%S"
                ));
            }
        })
    }

    /// Epoch milliseconds of a text.
    pub fn parse(&self, text: &str) -> Result<Millis, String> {
        let text = text.trim();
        let parsed = match self {
            Self::Any if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
            Self::Any | Self::Rfc3339 => rfc3339(text),
            Self::EpochMs => text.parse().ok(),
            Self::EpochSeconds => {
                super::map::decimal_micros(text, 1_000_000).ok().map(|micros| micros.div_euclid(1_000))
            }
            Self::Pattern(pattern) => by_pattern(pattern, text),
        };
        parsed.ok_or_else(|| format!("{text:?} is not an instant of format {}", self.name()))
    }

    fn name(&self) -> &str {
        match self {
            Self::Any => "epoch_ms or rfc3339",
            Self::EpochMs => "epoch_ms",
            Self::EpochSeconds => "epoch_s",
            Self::Rfc3339 => "rfc3339",
            Self::Pattern(pattern) => pattern,
        }
    }
}

/// An instant on a command line: a date (midnight UTC), RFC 3339 or epoch milliseconds. A bare year of this century is a
/// date that somebody did not finish, not two seconds after 1970.
pub fn instant(text: &str) -> Result<Millis, String> {
    let is_year = text.trim().parse().is_ok_and(|number: i64| (2010..2100).contains(&number));
    TimeFormat::Any.parse(text).ok().filter(|_| !is_year).ok_or_else(|| {
        format!(
            "{text:?} is no instant; give a date (2026-11-20), RFC 3339 (2026-11-20T09:00:00Z) or epoch milliseconds"
        )
    })
}

fn rfc3339(text: &str) -> Option<Millis> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(at.as_millisecond());
    }
    let local: jiff::civil::DateTime = text.parse().ok()?;
    Some(local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

fn by_pattern(pattern: &str, text: &str) -> Option<Millis> {
    let broken = jiff::fmt::strtime::parse(pattern, text).ok()?;
    if let Ok(at) = broken.to_timestamp() {
        return Some(at.as_millisecond());
    }
    let local = broken.to_datetime().ok()?;
    Some(local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instant_in_many_clothes() {
        for (format, text) in [
            ("rfc3339", "2019-11-24T00:01:03.979Z"),
            ("rfc3339", "2019-11-24 00:01:03.979311+00:00"),
            ("rfc3339", "2019-11-24 09:01:03.979+09:00"),
            ("rfc3339", "2019-11-24 00:01:03.979"),
            ("epoch_ms", "1574553663979"),
            ("epoch_s", "1574553663.979"),
            ("%d.%m.%Y %H:%M:%S%.f", "24.11.2019 00:01:03.979"),
        ] {
            let format = TimeFormat::parse_name(format).unwrap();
            assert_eq!(format.parse(text), Ok(1_574_553_663_979), "{format:?} {text}");
        }
        assert!(TimeFormat::parse_name("iso").is_err());
        assert!(TimeFormat::Rfc3339.parse("yesterday").is_err());
        assert_eq!(instant("2019-11-24"), Ok(1_574_553_600_000));
        for wrong in ["yesterday", "2026", "2026-13-01", ""] {
            assert!(instant(wrong).unwrap_err().contains("2026-11-20T09:00:00Z"), "{wrong}");
        }
    }
}
