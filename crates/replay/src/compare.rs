//! Two runs over the same journal: what would have been commanded otherwise, and what that says about spend.
//!
//! What always holds: both runs read the same records; where a figure is not identified it is absent and the reason is
//! given. The bounds are those of one assumption, that a campaign spends no more at a lower bid or budget, and nothing
//! while it is paused: an hour in which the other policy never stood above the recorded one cost between nothing and
//! what it cost; one in which it never stood below cost at least that. Missing on purpose: a point estimate. It would need
//! logged propensities, an experiment or a model of the market.

pub use crate::baseline::Baseline;
use crate::figures::{Campaign, Figures, Lever, Name, Step};
use model::time::{HOUR_MS, Millis};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The difference.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Words for the other run's policy.
    pub baseline: String,
    /// Whether the recorded spend is the other run's own: only then are there bounds.
    pub is_identified: bool,
    /// By account and campaign.
    pub campaigns: BTreeMap<Name, Change>,
}

/// What changes for one campaign, or for all of a currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Change {
    pub currency: String,
    /// Commands and openings of alerts: of the other run, of this one.
    pub commands: [u64; 2],
    pub alerts: [u64; 2],
    /// Milliseconds paused.
    pub paused_ms: [i64; 2],
    /// Spend in hours in which this run's values stood as the other's, only below, only above, or both.
    pub same_micros: i64,
    pub below_micros: i64,
    pub above_micros: i64,
    pub mixed_micros: i64,
    /// Whether some hours stood above, with spend in them or none.
    pub has_above: bool,
}

/// Lays a run beside another.
pub fn compare(figures: &Figures, baseline: &Baseline) -> Comparison {
    let is_identified = baseline.summary["policy"]["is_recorded"].as_bool() == Some(true);
    let none = Vec::new();
    let end = figures.range().map_or(Millis::MIN, |(_, last)| last);
    let campaigns = figures.campaigns.iter().map(|(name, campaign)| {
        let theirs = baseline.steps.get(name).unwrap_or(&none);
        let mut change = change(campaign, &campaign.steps, theirs, end);
        change.commands = [baseline.count(name, "commands"), campaign.kinds.values().sum()];
        change.alerts = [baseline.count(name, "alerts"), campaign.alerts.values().sum()];
        (name.clone(), change)
    });
    Comparison { baseline: baseline.policy(), is_identified, campaigns: campaigns.collect() }
}

/// What stands in force in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stand {
    bid: Option<i64>,
    budget: Option<i64>,
    is_paused: bool,
}

impl Stand {
    fn take(&mut self, step: &Step) {
        match step.lever {
            Lever::Bid => self.bid = step.value_micros.or(self.bid),
            Lever::Budget => self.budget = step.value_micros.or(self.budget),
            Lever::Pause => self.is_paused = true,
            Lever::Resume => self.is_paused = false,
            Lever::Other => {}
        }
    }

    /// Whether this stands below, and whether above, the other.
    fn against(&self, other: &Stand) -> (bool, bool) {
        if self.is_paused || other.is_paused {
            return (self.is_paused && !other.is_paused, other.is_paused && !self.is_paused);
        }
        let values = [(self.bid, other.bid), (self.budget, other.budget)];
        let known = |(a, b): &(Option<i64>, Option<i64>)| a.zip(*b);
        (
            values.iter().filter_map(known).any(|(own, other)| own < other),
            values.iter().filter_map(known).any(|(own, other)| own > other),
        )
    }
}

/// What `own` commands say of a campaign's recorded hours beside `theirs`, those under which the hours were recorded.
pub(crate) fn change(campaign: &Campaign, own: &[Step], theirs: &[Step], end: Millis) -> Change {
    let spec = &campaign.spec;
    let mut change = Change { currency: spec.currency.clone(), ..Change::default() };
    let start =
        Stand { bid: Some(spec.bid_micros).filter(|bid| *bid > 0), budget: spec.daily_budget_micros, is_paused: false };
    let mut hours = marks(own, theirs, end, start, &mut change);
    for (hour, window) in &campaign.hours {
        let (below, above) = hours.remove(hour).unwrap_or_default();
        let sum = match (below, above) {
            (false, false) => &mut change.same_micros,
            (true, false) => &mut change.below_micros,
            (false, true) => &mut change.above_micros,
            (true, true) => &mut change.mixed_micros,
        };
        *sum = sum.saturating_add(window.spend_micros);
        change.has_above |= above;
    }
    change.has_above |= hours.values().any(|(_, above)| *above);
    change
}

/// For each hour whether this run stood below and above the other in it; pauses are summed on the way.
fn marks(
    own_steps: &[Step],
    theirs: &[Step],
    end: Millis,
    start: Stand,
    change: &mut Change,
) -> BTreeMap<Millis, (bool, bool)> {
    let instants: BTreeSet<Millis> = own_steps.iter().chain(theirs).map(|step| step.at).collect();
    let mut instants = instants.into_iter().peekable();
    let (mut own, mut other) = (start, start);
    let (mut own_steps, mut their_steps) = (own_steps.iter().peekable(), theirs.iter().peekable());
    let mut hours: BTreeMap<Millis, (bool, bool)> = BTreeMap::new();
    while let Some(at) = instants.next() {
        while let Some(step) = own_steps.next_if(|step| step.at <= at) {
            own.take(step);
        }
        while let Some(step) = their_steps.next_if(|step| step.at <= at) {
            other.take(step);
        }
        let until = instants.peek().copied().unwrap_or(end.max(at));
        change.paused_ms[0] += if other.is_paused { until - at } else { 0 };
        change.paused_ms[1] += if own.is_paused { until - at } else { 0 };
        let (below, above) = own.against(&other);
        if !below && !above {
            continue;
        }
        let mut hour = at.div_euclid(HOUR_MS) * HOUR_MS;
        while hour < until {
            let mark = hours.entry(hour).or_default();
            *mark = (mark.0 || below, mark.1 || above);
            hour += HOUR_MS;
        }
    }
    hours
}

impl Change {
    /// Whether nothing was commanded otherwise.
    pub fn is_same(&self) -> bool {
        self.commands[0] == self.commands[1]
            && self.below_micros == 0
            && self.above_micros == 0
            && self.mixed_micros == 0
            && !self.has_above
            && self.paused_ms[0] == self.paused_ms[1]
    }

    /// What was recorded.
    pub fn recorded_micros(&self) -> i64 {
        [self.same_micros, self.below_micros, self.above_micros, self.mixed_micros]
            .into_iter()
            .fold(0, i64::saturating_add)
    }

    /// The least that this run's commands would have spent, hour by hour.
    pub fn least_micros(&self) -> i64 {
        self.same_micros.saturating_add(self.above_micros)
    }

    /// The most, where it is identified.
    pub fn most_micros(&self) -> Option<i64> {
        (!self.has_above).then(|| self.same_micros.saturating_add(self.below_micros))
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Change) {
        for at in 0..2 {
            self.commands[at] += other.commands[at];
            self.alerts[at] += other.alerts[at];
            self.paused_ms[at] += other.paused_ms[at];
        }
        for (sum, more) in [
            (&mut self.same_micros, other.same_micros),
            (&mut self.below_micros, other.below_micros),
            (&mut self.above_micros, other.above_micros),
            (&mut self.mixed_micros, other.mixed_micros),
        ] {
            *sum = sum.saturating_add(more);
        }
        self.has_above |= other.has_above;
    }

    fn document(&self, is_identified: bool) -> Value {
        let bounds = is_identified.then(|| {
            json!({ "least_micros": self.least_micros(), "most_micros": self.most_micros(),
                    "most_is": if self.has_above { "not identified" } else { "identified" } })
        });
        json!({
            "currency": self.currency,
            "commands": { "baseline": self.commands[0], "this": self.commands[1] },
            "alerts": { "baseline": self.alerts[0], "this": self.alerts[1] },
            "paused_ms": { "baseline": self.paused_ms[0], "this": self.paused_ms[1] },
            "recorded_spend_micros": {
                "same": self.same_micros, "below": self.below_micros, "above": self.above_micros,
                "mixed": self.mixed_micros,
            },
            "spend_bounds": bounds,
        })
    }
}

impl Comparison {
    /// All campaigns of a currency together.
    pub fn totals(&self) -> BTreeMap<String, Change> {
        let mut totals: BTreeMap<String, Change> = BTreeMap::new();
        for change in self.campaigns.values() {
            let total = totals.entry(change.currency.clone()).or_default();
            total.currency.clone_from(&change.currency);
            total.add(change);
        }
        totals
    }

    /// What the bounds rest on.
    pub fn limits(&self) -> Vec<&'static str> {
        let mut limits = vec![
            "Clicks, conversions and value under the other commands are not identified: a journal holds one answer of \
             the market, to the commands that were given.",
        ];
        if self.is_identified {
            limits.extend([
                "Bounds of spend assume that a campaign spends no more at a lower bid or budget, and nothing while paused. \
                 An hour below cost between nothing and what it cost; an hour above at least that, with no upper bound \
                 but the budget that the platform enforces.",
                "They hold hour by hour and ignore that money saved early in a day can be spent later in it.",
            ]);
        } else {
            limits.push(
                "The other run is not under the recorded policy, so the recorded spend is not its own and spend is not \
                 identified; compare with a replay under the recorded policy.",
            );
        }
        limits
    }

    /// For the summary.
    pub fn document(&self) -> Value {
        let line = |change: &Change| change.document(self.is_identified);
        let campaigns: Vec<Value> = self
            .campaigns
            .iter()
            .map(|((account, campaign), change)| {
                let mut document = line(change);
                document["account_id"] = json!(account);
                document["campaign_id"] = json!(campaign);
                document
            })
            .collect();
        json!({
            "baseline": self.baseline,
            "totals": self.totals().values().map(line).collect::<Vec<_>>(),
            "campaigns": campaigns,
            "outcomes": "not identified",
            "limits": self.limits(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Window;
    use model::fact::CampaignSpec;

    fn of(steps: Vec<Step>, theirs: &[Step], end: Millis) -> Change {
        change(&campaign(steps.clone()), &steps, theirs, end)
    }

    fn campaign(steps: Vec<Step>) -> Campaign {
        let spec = CampaignSpec { bid_micros: 100, currency: "EUR".into(), ..CampaignSpec::default() };
        let window = |spend_micros| Window { spend_micros, ..Window::default() };
        let hours = (0..4).map(|hour| (hour * HOUR_MS, window(10 << hour))).collect();
        Campaign { spec, hours, steps, ..Campaign::default() }
    }

    fn step(at: Millis, lever: Lever, value: i64) -> Step {
        Step { at, lever, value_micros: Some(value).filter(|value| *value > 0), reason: String::new() }
    }

    #[test]
    fn equal_commands_change_nothing() {
        let steps = vec![step(HOUR_MS, Lever::Bid, 120), step(2 * HOUR_MS, Lever::Pause, 0)];
        let change = of(steps.clone(), &steps, 4 * HOUR_MS);
        assert!(change.is_same(), "{change:?}");
        assert_eq!((change.least_micros(), change.most_micros()), (150, Some(150)));
        assert_eq!(change.paused_ms, [2 * HOUR_MS; 2]);
    }

    #[test]
    fn hours_below_have_bounds_and_hours_above_have_no_upper_one() {
        let lower = vec![step(HOUR_MS + 5, Lever::Bid, 90), step(2 * HOUR_MS, Lever::Bid, 100)];
        let below = of(lower, &[], 4 * HOUR_MS);
        assert_eq!((below.below_micros, below.least_micros(), below.most_micros()), (20, 130, Some(150)));
        let higher = vec![step(3 * HOUR_MS, Lever::Bid, 110)];
        let above = of(higher, &[], 4 * HOUR_MS);
        assert_eq!((above.above_micros, above.least_micros(), above.most_micros()), (80, 150, None));
    }

    #[test]
    fn a_pause_stands_below_any_bid() {
        let steps = vec![step(0, Lever::Bid, 500), step(HOUR_MS, Lever::Pause, 0)];
        let change = of(steps, &[step(0, Lever::Bid, 500)], 2 * HOUR_MS);
        assert_eq!((change.below_micros, change.same_micros, change.has_above), (20, 130, false));
        assert_eq!(change.paused_ms, [0, HOUR_MS]);
    }
}
