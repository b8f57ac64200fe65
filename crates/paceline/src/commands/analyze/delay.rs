//! `paceline analyze delay`: conversion rates of campaigns as if all their conversions had come in.
//!
//! Each row is a click; kept are counts by age and delay, whatever the number of rows.

use super::{open, print, table::Table};
use crate::cli::Delay;
use crate::commands::import::time::instant;
use crate::failure::{Failure, Outcome};
use crate::settings::parse_duration_ms;
use model::time::{DAY_MS, Millis};
use policy::delay::{DelayCounts, Estimate, estimates};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Read;

/// Counts, estimates, prints.
pub fn run(arguments: &Delay) -> Outcome {
    let as_of = instant(&arguments.as_of)
        .map_err(|reason| Failure::usage(format!("--as-of {reason}"), "for example --as-of 2026-11-20"))?;
    let horizon_days = horizon_days(&arguments.horizon)?;
    print(&answer(arguments.input.display(), open(&arguments.input)?, as_of, horizon_days)?, arguments.output)
}

#[derive(Serialize)]
struct Answer {
    campaigns: Vec<Campaign>,
}

#[derive(Serialize)]
struct Campaign {
    campaign: String,
    clicks: u64,
    conversions: u64,
    naive_rate: Option<f64>,
    corrected_rate: Option<f64>,
    chain_ladder_rate: Option<f64>,
    effective_clicks: f64,
}

fn horizon_days(text: &str) -> Outcome<u32> {
    let days = parse_duration_ms(text).filter(|span| span % DAY_MS == 0).map(|span| span / DAY_MS);
    days.and_then(|days| u32::try_from(days).ok()).filter(|days| *days > 0).ok_or_else(|| {
        Failure::usage(format!("--horizon {text:?} is not a number of whole days above 0"), "use for example 30d")
    })
}

fn answer(name: impl std::fmt::Display, source: impl Read, as_of: Millis, horizon_days: u32) -> Outcome<Answer> {
    let counts = count(Table::open(name, source, b',', &COLUMNS, &[])?, as_of, horizon_days)?;
    let (names, counts): (Vec<String>, Vec<DelayCounts>) = counts.into_iter().unzip();
    let campaign = |(campaign, estimate): (String, Estimate)| Campaign {
        campaign,
        clicks: estimate.clicks,
        conversions: estimate.conversions,
        naive_rate: estimate.naive_rate,
        corrected_rate: estimate.corrected_rate,
        chain_ladder_rate: estimate.chain_ladder_rate,
        effective_clicks: estimate.effective_clicks,
    };
    Ok(Answer { campaigns: names.into_iter().zip(estimates(&counts)).map(campaign).collect() })
}

/// By campaign; only what had happened before `as_of`.
fn count<R: Read>(mut table: Table<R>, as_of: Millis, horizon_days: u32) -> Outcome<BTreeMap<String, DelayCounts>> {
    let [_click_id, campaign, click_ts, conversion_ts] = [0, 1, 2, 3];
    let mut counts: BTreeMap<String, DelayCounts> = BTreeMap::new();
    while table.advance()? {
        let clicked_at = table.instant(click_ts)?;
        let converted_at = table.instant_or_none(conversion_ts)?;
        if converted_at.is_some_and(|at| at < clicked_at) {
            return Err(table.mistake(conversion_ts, "lies before its click"));
        }
        if clicked_at >= as_of {
            continue;
        }
        let name = table.word(campaign)?;
        if !counts.contains_key(name) {
            counts.insert(name.to_owned(), DelayCounts::new(horizon_days));
        }
        let Some(counts) = counts.get_mut(name) else { continue };
        let age_days = whole_days(clicked_at, as_of);
        counts.add_click(age_days);
        if let Some(converted_at) = converted_at.filter(|at| *at < as_of) {
            counts.add_conversion(age_days, whole_days(clicked_at, converted_at));
        }
    }
    Ok(counts)
}

fn whole_days(from: Millis, to: Millis) -> u32 {
    u32::try_from(to.saturating_sub(from) / DAY_MS).unwrap_or(u32::MAX)
}

const COLUMNS: [&str; 4] = ["click_id", "campaign", "click_ts_ms", "conversion_ts_ms"];

#[cfg(test)]
mod tests {
    use super::*;

    const CLICKS: &str = "\
click_id,campaign,click_ts_ms,conversion_ts_ms
1,b,1970-01-01 00:00:00,1970-01-01 06:00:00
2,b,0,
3,b,86400000,100000000
4,a,172800000,400000000
5,a,259200000,
6,a,345600000,
";

    #[test]
    fn only_what_had_happened_exists() {
        let answer = answer("clicks.csv", CLICKS.as_bytes(), 4 * DAY_MS, 30).expect("read");
        let [a, b] = answer.campaigns.as_slice() else { panic!("two campaigns") };
        assert_eq!((a.campaign.as_str(), a.clicks, a.conversions, a.naive_rate), ("a", 2, 0, Some(0.0)));
        assert_eq!((b.campaign.as_str(), b.clicks, b.conversions), ("b", 3, 2));
        assert_eq!((b.effective_clicks, b.chain_ladder_rate), (3.0, Some(2.0 / 3.0)));
        let later = super::answer("clicks.csv", CLICKS.as_bytes(), 50 * DAY_MS, 30).expect("read");
        assert_eq!(later.campaigns[0].effective_clicks, 3.0);
    }

    #[test]
    fn mistakes_are_told() {
        let early = CLICKS.replace("100000000", "86399999");
        let failure =
            answer("c.csv", early.as_bytes(), DAY_MS, 30).map(|_| ()).expect_err("before its click").to_string();
        assert!(failure.contains("line 4: conversion_ts_ms") && failure.contains("before its click"), "{failure}");
        assert_eq!(horizon_days("30d").expect("days"), 30);
        assert_eq!(horizon_days("2w").expect("weeks"), 14);
        for text in ["36h", "0d", "x"] {
            assert!(horizon_days(text).is_err(), "{text}");
        }
    }
}
