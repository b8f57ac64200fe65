//! Will a goal be met in time, and what would it take?
//!
//! A goal is a figure, a target and a deadline. A total ("800 conversions by 31 March") asks whether what was counted and
//! what is still to come reach the target; a ratio ("at most 25 EUR a conversion") asks the same of the sum of
//! numerator minus target times denominator, which is on the right side of zero where the ratio is.
//!
//! The forecast is the normal prediction of a sum of future days from past ones: with n closed days of mean m and
//! variance s2, the next h days bring m h, give or take sqrt(s2 (h + h2/n)) times Student's t with n - 1 degrees of
//! freedom (Hahn and Meeker, Statistical Intervals, prediction of a future sum). The variance is at least a counting
//! process's, and grows by (1 + r)/(1 - r) where neighbouring days are alike (r: correlation of a day with the next, Bayley
//! and Hammersley 1946). From a week on, whole weeks are taken. How well the chances hold is tested at the end of this
//! file and told in the handbook.
//!
//! What always holds: no number is told from fewer than [`DAYS_MIN`] closed days; the same input gives the same bits.
//! Missing on purpose: seasons beyond the week, trends (a rate that rises is judged by its mean), and what other campaigns
//! would lose.

use crate::arithmetic::{finite, half_to_even};
use crate::kpi::Sums;
use crate::settings::Millis;

/// Closed days before anything is said.
pub const DAYS_MIN: usize = 3;
/// Newest closed days that are looked at: four whole weeks.
pub const DAYS_MAX: usize = 28;
/// Correlation of neighbouring days is asked from so many days on, and never taken as more than this.
const LIKENESS_DAYS_MIN: usize = 14;
const LIKENESS_MAX: f64 = 0.8;

/// The figure that a goal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // As the words of KPIs.
pub enum Metric {
    Impressions,
    Clicks,
    Conversions,
    Spend,
    Value,
    Cpa,
    Cpc,
    Cpm,
    Roas,
    Ctr,
    Cvr,
}

/// On which side of the target the goal lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Direction {
    AtLeast,
    AtMost,
}

/// The goal of an account: one `[[goal]]` block of the policy.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountGoal {
    /// Unique in the policy.
    pub name: String,
    /// The account.
    pub account_id: String,
    /// Campaigns of this currency count.
    pub currency: String,
    /// What is aimed at.
    pub aim: Aim,
    /// First instant that counts.
    pub from_ms: Millis,
    /// First instant that does not.
    pub deadline_ms: Millis,
}

/// Figure, side and target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aim {
    /// The figure.
    pub metric: Metric,
    /// The side.
    pub direction: Direction,
    /// In millionths: of the currency, of one, of a whole share.
    pub target: i64,
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen<'a> {
    /// Sums since the goal began.
    pub so_far: Sums,
    /// Closed days, oldest first.
    pub days: &'a [Sums],
    /// Days that are left, parts counted.
    pub days_left: f64,
}

/// How a goal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Too few closed days.
    Unknown,
    /// It is more likely met than not.
    OnTrack,
    /// It is more likely missed than met.
    AtRisk,
    /// Nothing can undo it.
    Met,
    /// Nothing can mend it.
    Missed,
}

/// A goal's forecast. Figures in millionths, as the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The word for it.
    pub standing: Standing,
    /// The figure by now; `None` where nothing stands behind a ratio.
    pub actual: Option<i64>,
    /// Chance that it is met, `None` while it is unknown.
    pub chance_ppm: Option<i64>,
    /// Where a total will end: one in ten ends below, one in ten above. `None` for ratios.
    pub low: Option<i64>,
    /// Where it will most likely end.
    pub mid: Option<i64>,
    /// See `low`.
    pub high: Option<i64>,
    /// What it takes, where it is neither met nor missed nor unknown.
    pub needs: Option<Needs>,
}

/// What it takes from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// A total: what each day has to bring. A ratio: what the rest has to come to. In millionths.
    pub rate: i64,
    /// What it is now.
    pub rate_now: i64,
    /// The bid has to change by this factor, at the assumed elasticities; `None` where bids do not move the figure.
    pub bid_ppm: Option<i64>,
    /// Spend changes by this factor.
    pub spend_ppm: Option<i64>,
}

/// d ln(figure) / d ln(bid), as the loops assume it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Elasticities {
    /// Of the spend.
    pub spend: f64,
    /// Of the cost of a conversion.
    pub cost: f64,
}

/// Looks ahead.
pub fn outlook(aim: &Aim, seen: &Seen<'_>, elasticities: &Elasticities) -> Outlook {
    let scale = Scale::of(aim);
    let actual = scale.actual(aim, &seen.so_far);
    let nothing = Outlook {
        standing: Standing::Unknown,
        actual,
        chance_ppm: None,
        low: None,
        mid: None,
        high: None,
        needs: None,
    };
    if let Some(standing) = settled(aim, &scale, seen) {
        let chance = if standing == Standing::Met { 1_000_000 } else { 0 };
        return Outlook { standing, chance_ppm: Some(chance), ..nothing };
    }
    let Some(rest) = Rest::of(&scale, seen) else { return nothing };
    let chance = rest.chance(aim, &scale, &seen.so_far);
    let total = |deviations: f64| {
        let end = scale.lead(&seen.so_far) + rest.mean + deviations * rest.deviation;
        half_to_even(end.max(0.0) * 1e6).ok().filter(|_| !scale.is_ratio)
    };
    Outlook {
        standing: if chance >= 0.5 { Standing::OnTrack } else { Standing::AtRisk },
        chance_ppm: half_to_even(chance * 1e6).ok(),
        low: total(-ONE_IN_TEN),
        mid: total(0.0),
        high: total(ONE_IN_TEN),
        needs: needs(aim, &scale, seen, elasticities),
        ..nothing
    }
}

/// Deviations beyond which one in ten lies.
const ONE_IN_TEN: f64 = 1.2816;

/// A figure as numerator minus target times denominator.
struct Scale {
    numerator: fn(&Sums) -> f64,
    denominator: fn(&Sums) -> f64,
    /// How far numerator and denominator are counts: their variance is at least their mean.
    counts: (bool, bool),
    is_ratio: bool,
    /// Target in whole units; what a total's sum is compared with.
    target: f64,
}

impl Scale {
    fn of(aim: &Aim) -> Scale {
        let target = aim.target as f64 / 1e6;
        let scale =
            |numerator, denominator, counts, is_ratio| Scale { numerator, denominator, counts, is_ratio, target };
        let nothing: fn(&Sums) -> f64 = |_| 0.0;
        let total = |numerator, counts| scale(numerator, nothing, (counts, false), false);
        let [impressions, clicks, conversions, spend, value]: [fn(&Sums) -> f64; 5] = [
            |sums| sums.impressions as f64,
            |sums| sums.clicks as f64,
            |sums| sums.conversions_micro as f64 / 1e6,
            |sums| sums.spend_micros as f64 / 1e6,
            |sums| sums.value_micros as f64 / 1e6,
        ];
        match aim.metric {
            Metric::Impressions => total(impressions, true),
            Metric::Clicks => total(clicks, true),
            Metric::Conversions => total(conversions, true),
            Metric::Spend => total(spend, false),
            Metric::Value => total(value, false),
            Metric::Cpa => scale(spend, conversions, (false, true), true),
            Metric::Cpc => scale(spend, clicks, (false, true), true),
            Metric::Cpm => scale(spend, |sums| sums.impressions as f64 / 1e3, (false, false), true),
            Metric::Roas => scale(value, spend, (false, false), true),
            Metric::Ctr => scale(clicks, impressions, (true, false), true),
            Metric::Cvr => scale(conversions, clicks, (true, false), true),
        }
    }

    /// Of a total what was counted, of a ratio how far it is ahead of its target.
    fn lead(&self, sums: &Sums) -> f64 {
        let denominator = if self.is_ratio { self.target * (self.denominator)(sums) } else { 0.0 };
        (self.numerator)(sums) - denominator
    }

    /// What the sum of leads is compared with.
    fn bar(&self) -> f64 {
        if self.is_ratio { 0.0 } else { self.target }
    }

    fn actual(&self, aim: &Aim, sums: &Sums) -> Option<i64> {
        let numerator = (self.numerator)(sums);
        let denominator = if self.is_ratio { (self.denominator)(sums) } else { 1.0 };
        let value = finite(numerator / denominator).ok().filter(|_| denominator > 0.0)?;
        half_to_even(value * 1e6).ok().filter(|_| aim.target > 0)
    }

    /// Least variance of a day's lead: a counting process has its mean.
    fn least_variance(&self, days: &[Sums]) -> f64 {
        let mean = |of: fn(&Sums) -> f64| days.iter().map(of).sum::<f64>().max(0.0) / days.len() as f64;
        let own = if self.counts.0 { mean(self.numerator) } else { 0.0 };
        let other = if self.counts.1 { self.target * self.target * mean(self.denominator) } else { 0.0 };
        own + other
    }
}

/// Before the deadline only totals are settled, since they never fall but by corrections; after it everything is.
fn settled(aim: &Aim, scale: &Scale, seen: &Seen<'_>) -> Option<Standing> {
    let lead = scale.lead(&seen.so_far);
    let over = seen.days_left <= 0.0;
    let has_news = !scale.is_ratio || (scale.denominator)(&seen.so_far) > 0.0;
    let reached = lead >= scale.bar();
    match aim.direction {
        Direction::AtLeast if reached && (over || !scale.is_ratio) && has_news => Some(Standing::Met),
        Direction::AtLeast if over => Some(Standing::Missed),
        Direction::AtMost if lead > scale.bar() && (over || !scale.is_ratio) => Some(Standing::Missed),
        Direction::AtMost if over => Some(if has_news { Standing::Met } else { Standing::Missed }),
        _ => None,
    }
}

/// What the days that are left bring.
struct Rest {
    mean: f64,
    deviation: f64,
    freedom: f64,
}

impl Rest {
    fn of(scale: &Scale, seen: &Seen<'_>) -> Option<Rest> {
        let days = &seen.days[seen.days.len().saturating_sub(DAYS_MAX)..];
        // A part of a week would weigh some weekdays more.
        let whole = if days.len() >= 7 { days.len() / 7 * 7 } else { days.len() };
        let days = &days[days.len() - whole..];
        if days.len() < DAYS_MIN {
            return None;
        }
        let count = days.len() as f64;
        let leads: Vec<f64> = days.iter().map(|day| scale.lead(day)).collect();
        let mean = leads.iter().sum::<f64>() / count;
        let squares: f64 = leads.iter().map(|lead| (lead - mean) * (lead - mean)).sum();
        let variance = (squares / (count - 1.0)).max(scale.least_variance(days)) * likeness(&leads, mean, squares);
        let left = seen.days_left;
        let deviation = finite(libm::sqrt(variance * (left + left * left / count))).ok()?;
        Some(Rest { mean: finite(mean * left).ok()?, deviation, freedom: count - 1.0 })
    }

    fn chance(&self, aim: &Aim, scale: &Scale, so_far: &Sums) -> f64 {
        let ahead = scale.lead(so_far) + self.mean - scale.bar();
        let ahead = if aim.direction == Direction::AtLeast { ahead } else { -ahead };
        if self.deviation <= 0.0 {
            return if ahead >= 0.0 { 1.0 } else { 0.0 };
        }
        student(ahead / self.deviation, self.freedom)
    }
}

/// By how much days that are like their neighbours say less than as many independent ones.
fn likeness(leads: &[f64], mean: f64, squares: f64) -> f64 {
    if leads.len() < LIKENESS_DAYS_MIN || squares <= 0.0 {
        return 1.0;
    }
    let products: f64 = leads.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    // An estimate from n days is too low by about 1/n.
    let alike = (products / squares + 1.0 / leads.len() as f64).clamp(0.0, LIKENESS_MAX);
    (1.0 + alike) / (1.0 - alike)
}

/// P(T <= t) of Student's distribution, by the normal one (Wallace 1959; off by at most 0.01 from two degrees of freedom).
fn student(t: f64, freedom: f64) -> f64 {
    let z = libm::sqrt(freedom * libm::log1p(t * t / freedom)) * (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0);
    let z = if t < 0.0 { -z } else { z };
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

fn needs(aim: &Aim, scale: &Scale, seen: &Seen<'_>, elasticities: &Elasticities) -> Option<Needs> {
    let days = &seen.days[seen.days.len().saturating_sub(DAYS_MAX)..];
    let mean = |of: fn(&Sums) -> f64| days.iter().map(of).sum::<f64>() / days.len().max(1) as f64;
    let (numerator, denominator) = (mean(scale.numerator), mean(scale.denominator));
    let (rate, now) = if scale.is_ratio {
        let rest = denominator * seen.days_left;
        let all = (scale.denominator)(&seen.so_far) + rest;
        ((scale.target * all - (scale.numerator)(&seen.so_far)) / rest, numerator / denominator)
    } else {
        ((scale.target - (scale.numerator)(&seen.so_far)) / seen.days_left, numerator)
    };
    let factor = finite(rate / now).ok().filter(|factor| *factor > 0.0);
    let (spend, cost) = (elasticities.spend, elasticities.cost);
    // A volume is what is spent over its price, which follows the bid.
    let power = match aim.metric {
        Metric::Spend => Some(1.0 / spend),
        Metric::Impressions | Metric::Clicks | Metric::Conversions | Metric::Value => {
            Some(1.0 / (spend - 1.0)).filter(|_| spend > 1.0)
        }
        Metric::Cpa | Metric::Cpc | Metric::Cpm => Some(1.0 / cost),
        Metric::Roas => Some(-1.0 / cost),
        Metric::Ctr | Metric::Cvr => None,
    };
    let bid = factor.zip(power).map(|(factor, power)| libm::pow(factor, power));
    let ppm = |factor: f64| half_to_even(factor * 1e6).ok();
    Some(Needs {
        rate: half_to_even(rate * 1e6).ok()?,
        rate_now: half_to_even(now * 1e6).ok()?,
        bid_ppm: bid.and_then(ppm),
        spend_ppm: bid.and_then(|bid| ppm(libm::pow(bid, spend))),
    })
}

impl Aim {
    /// From a specification's words; `None` where the figure is not known, or there is no target.
    pub fn parse(metric: &str, direction: &str, target: Option<i64>) -> Option<Aim> {
        let metric = Metric::parse(metric)?;
        let direction = match direction {
            "at_least" => Direction::AtLeast,
            "at_most" => Direction::AtMost,
            _ => return None,
        };
        Some(Aim { metric, direction, target: target.filter(|target| *target > 0)? })
    }
}

impl Metric {
    /// All words.
    pub const ALL: [Metric; 11] = [
        Metric::Impressions,
        Metric::Clicks,
        Metric::Conversions,
        Metric::Spend,
        Metric::Value,
        Metric::Cpa,
        Metric::Cpc,
        Metric::Cpm,
        Metric::Roas,
        Metric::Ctr,
        Metric::Cvr,
    ];

    /// The figure of a word.
    pub fn parse(word: &str) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.as_str() == word)
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Metric::Impressions => "impressions",
            Metric::Clicks => "clicks",
            Metric::Conversions => "conversions",
            Metric::Spend => "spend",
            Metric::Value => "value",
            Metric::Cpa => "cpa",
            Metric::Cpc => "cpc",
            Metric::Cpm => "cpm",
            Metric::Roas => "roas",
            Metric::Ctr => "ctr",
            Metric::Cvr => "cvr",
        }
    }

    /// micros of the currency, ppm of one, or millionths of a count.
    pub fn unit(self) -> &'static str {
        match self {
            Metric::Spend | Metric::Value | Metric::Cpa | Metric::Cpc | Metric::Cpm => "micros",
            Metric::Roas | Metric::Ctr | Metric::Cvr => "ppm",
            Metric::Impressions | Metric::Clicks | Metric::Conversions => "count_micro",
        }
    }
}

impl Direction {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::AtLeast => "at_least",
            Direction::AtMost => "at_most",
        }
    }
}

impl Standing {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Unknown => "unknown",
            Standing::OnTrack => "on_track",
            Standing::AtRisk => "at_risk",
            Standing::Met => "met",
            Standing::Missed => "missed",
        }
    }
}

/// Whether a goal is told to be at risk: from one chance in five on, until it is two in five again.
pub fn is_told_at_risk(outlook: &Outlook, is_told: bool) -> bool {
    const TOLD_PPM: i64 = 200_000;
    const WELL_PPM: i64 = 400_000;
    match outlook.standing {
        Standing::Met | Standing::Unknown => false,
        Standing::Missed => true,
        _ => outlook.chance_ppm.is_some_and(|chance| chance < if is_told { WELL_PPM } else { TOLD_PPM }),
    }
}

#[cfg(test)]
#[path = "goal_tests.rs"]
mod tests;
