//! The shape of a week's supply, and the plan share of any span in a campaign's own time.
//!
//! The numbers are those of `data/hour_of_week.csv`, whose source and licence stand beside it. What always holds: shares
//! are integers that sum to one million; hours are those on the wall of the campaign's time zone, so a skipped hour has
//! no supply and a repeated one has it twice.

use model::time::{HOUR_MS, Millis};
use window::calendar::{LocalHour, Zone};

/// Share of a week's traffic per local hour in parts per million, Monday 00:00 first; one row a day.
#[rustfmt::skip]
pub const HOUR_OF_WEEK_PPM: [u32; 168] = [
    2137, 1243, 738, 486, 495, 687, 1265, 2540, 5115, 8253, 10522, 11240, 11122, 11117, 10819, 10479, 10030, 9430, 8817, 10161, 9242, 7993, 6595, 4655,
    2756, 1524, 891, 605, 578, 910, 1739, 3417, 6586, 10393, 12796, 13455, 13545, 13337, 13161, 12746, 12117, 11364, 10829, 8230, 7352, 6438, 5417, 3876,
    2276, 1199, 701, 484, 500, 727, 1448, 2770, 5380, 8481, 10387, 10854, 10887, 10730, 10571, 10223, 9751, 9126, 8662, 8085, 7414, 6440, 5305, 3746,
    2270, 1277, 726, 516, 479, 744, 1412, 2711, 5320, 8296, 9857, 10584, 10741, 10618, 10361, 10146, 9640, 9059, 8525, 7971, 7254, 6314, 5215, 3720,
    2215, 1201, 727, 514, 483, 727, 1398, 2670, 5117, 8180, 9877, 10381, 10203, 10224, 10033, 9709, 9127, 8526, 7937, 7480, 6694, 5757, 4750, 3401,
    2109, 1200, 724, 536, 467, 669, 1167, 2290, 4309, 6937, 8725, 9342, 9331, 9181, 8871, 8533, 8204, 7725, 7254, 6680, 6003, 5457, 4373, 3316,
    2071, 1259, 738, 514, 457, 547, 1013, 1979, 3853, 6250, 8162, 8813, 8870, 8838, 8581, 8372, 8010, 7679, 7244, 6854, 6209, 5576, 4786, 3445,
];

/// Supply of the local hours of one time zone; remembers the day last asked for.
#[derive(Clone, Debug)]
pub(crate) struct LocalShape {
    zone: Zone,
    hours: Vec<LocalHour>,
}

impl LocalShape {
    /// The shape in the named zone; an unknown name is read as UTC, as the simulated platforms do.
    pub(crate) fn new(time_zone: &str) -> Self {
        let zone = Zone::parse(time_zone).or_else(|_| Zone::parse("UTC")).expect("UTC is in every database");
        Self { zone, hours: Vec::new() }
    }

    pub(crate) fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The local hour that holds the instant.
    pub(crate) fn hour_at(&mut self, at: Millis) -> LocalHour {
        let known = self.hours.first().zip(self.hours.last());
        if known.is_none_or(|(first, last)| at < first.start_ms || at >= last.end_ms) {
            self.hours = self.zone.local_hours(&self.zone.day_of(at));
        }
        let after = self.hours.partition_point(|hour| hour.start_ms <= at);
        self.hours[after.saturating_sub(1)]
    }

    /// Share of a mean week's supply that falls into [from, to).
    pub(crate) fn weight(&mut self, from: Millis, to: Millis) -> f64 {
        let mut sum = 0.0;
        let mut at = from;
        while at < to {
            let hour = self.hour_at(at);
            let end = hour.end_ms.min(to);
            if end <= at {
                break; // Beyond the calendar's years there is no further hour.
            }
            sum += share_of(&hour) * (end - at) as f64 / HOUR_MS as f64;
            at = end;
        }
        sum
    }
}

/// Share of a week's supply in one full hour of this name.
pub(crate) fn share_of(hour: &LocalHour) -> f64 {
    f64::from(HOUR_OF_WEEK_PPM[hour.hour_of_week() % 168]) / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_shape_is_the_data_file() {
        let file = include_str!("../data/hour_of_week.csv");
        let shares: Vec<u32> = file
            .lines()
            .skip(1)
            .map(|line| line.rsplit(',').next().and_then(|n| n.parse().ok()).expect(line))
            .collect();
        assert_eq!(shares, HOUR_OF_WEEK_PPM);
        assert_eq!(shares.iter().sum::<u32>(), 1_000_000);
    }

    #[test]
    fn a_week_weighs_one_and_a_week_with_a_skipped_hour_less() {
        let week = 7 * 24 * HOUR_MS;
        let monday = 1_767_571_200_000; // 2026-01-05T00:00:00Z
        let mut utc = LocalShape::new("UTC");
        assert!((utc.weight(monday, monday + week) - 1.0).abs() < 1e-9);
        let mut berlin = LocalShape::new("Europe/Berlin");
        let spring = 1_774_224_000_000 - HOUR_MS; // Monday 2026-03-23T00:00 local; clocks go forward on the 29th
        let short = berlin.weight(spring, spring + week - HOUR_MS);
        let skipped = f64::from(HOUR_OF_WEEK_PPM[6 * 24 + 2]) / 1e6;
        assert!((short - (1.0 - skipped)).abs() < 1e-9, "{short}");
    }

    #[test]
    fn an_unknown_zone_is_utc() {
        assert_eq!(LocalShape::new("Mars/Olympus").zone().name(), "UTC");
    }
}
