//! A run as one JSON document: what it read, what it decided, what it cannot say.
//!
//! What always holds: nothing in it depends on the machine, the time of day or the number of threads; what is not known
//! is null, never zero.

use crate::compare::Comparison;
use crate::figures::{Begun, Campaign, EventCounts, Experiment, Figures, Window, Words};
use crate::tables::day_name;
use model::WHOLE_PPM;
use model::journal::EpochCounts;
use model::time::Millis;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a run was, beside its figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The build that replayed.
    pub build: String,
    /// Its time zone data.
    pub tzdb: String,
    /// The journal's topic.
    pub journal: String,
    /// Bounds that were asked for.
    pub from: Option<Millis>,
    /// The last instant that was asked for.
    pub to: Option<Millis>,
    /// The same by journal offsets: the first that is told, and the one before which it ends.
    #[serde(default)]
    pub from_offset: Option<i64>,
    #[serde(default)]
    #[allow(missing_docs)] // Told above.
    pub to_offset: Option<i64>,
    /// SHA-256 of the text of another policy; `None` under the recorded one.
    pub policy_sha256: Option<String>,
    /// The other policy's file, by its name alone.
    pub policy_file: Option<String>,
    /// The journal was made of recorded events, through stage 1.
    pub is_events: bool,
    /// These events were read from the broker's topics, not from files.
    #[serde(default)]
    pub is_of_topics: bool,
    /// A page by itself, of a stretch of the journal: no tables lie beside it.
    #[serde(default)]
    pub is_report: bool,
    /// Heading of the page; one that says what the run was where absent.
    #[serde(default)]
    pub title: Option<String>,
    /// Accounts that alone are told of; all where there is none.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// What stage 1 made of the events of the window; `None` where nobody has recorded it.
    #[serde(default)]
    pub events: Option<EventCounts>,
    /// The journal's beginning is gone: from when on all partitions are there.
    #[serde(default)]
    pub begins: Option<Millis>,
}

/// Sums of a campaign, or of all of a currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Sums {
    pub spend_micros: i64,
    /// Of days that had a plan: the plan, and what was spent in those days.
    pub plan_micros: i64,
    pub spend_planned_days_micros: i64,
    pub planned_days: u64,
    pub impressions: i64,
    pub clicks: i64,
    pub invalid_clicks: i64,
    pub conversions_micro: i64,
    pub value_micros: i64,
}

impl Sums {
    /// Of a campaign's days.
    pub fn of(campaign: &Campaign) -> Self {
        let mut sums = Self::default();
        campaign.days.values().for_each(|day| sums.add_day(campaign, day));
        sums
    }

    fn add_day(&mut self, campaign: &Campaign, day: &Window) {
        let (conversions, value) = day.outcome(&campaign.spec);
        if let Some(plan) = day.plan_micros {
            self.plan_micros = self.plan_micros.saturating_add(plan);
            self.spend_planned_days_micros = self.spend_planned_days_micros.saturating_add(day.spend_micros);
            self.planned_days += 1;
        }
        self.add(&Self {
            spend_micros: day.spend_micros,
            impressions: day.impressions,
            clicks: day.clicks,
            invalid_clicks: day.invalid_clicks,
            conversions_micro: conversions,
            value_micros: value,
            ..Self::default()
        });
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.spend_micros, other.spend_micros),
            (&mut self.plan_micros, other.plan_micros),
            (&mut self.spend_planned_days_micros, other.spend_planned_days_micros),
            (&mut self.impressions, other.impressions),
            (&mut self.clicks, other.clicks),
            (&mut self.invalid_clicks, other.invalid_clicks),
            (&mut self.conversions_micro, other.conversions_micro),
            (&mut self.value_micros, other.value_micros),
        ] {
            *sum = sum.saturating_add(more);
        }
        self.planned_days += other.planned_days;
    }

    /// Clicks over impressions.
    pub fn ctr_ppm(&self) -> Option<i64> {
        ratio(self.clicks, WHOLE_PPM, self.impressions)
    }

    /// Spend for a click.
    pub fn cpc_micros(&self) -> Option<i64> {
        ratio(self.spend_micros, 1, self.clicks)
    }

    /// Spend for a conversion.
    pub fn cpa_micros(&self) -> Option<i64> {
        ratio(self.spend_micros, model::CONVERSION_MICRO, self.conversions_micro)
    }

    /// Value over spend.
    pub fn roas_ppm(&self) -> Option<i64> {
        ratio(self.value_micros, WHOLE_PPM, self.spend_micros)
    }

    /// Spend over plan, of days that had one.
    pub fn plan_ratio_ppm(&self) -> Option<i64> {
        ratio(self.spend_planned_days_micros, WHOLE_PPM, self.plan_micros)
    }

    fn document(&self) -> Value {
        json!({
            "spend_micros": self.spend_micros,
            "plan_micros": (self.planned_days > 0).then_some(self.plan_micros),
            "planned_campaign_days": self.planned_days,
            "spend_over_plan_ppm": self.plan_ratio_ppm(),
            "impressions": self.impressions,
            "clicks": self.clicks,
            "invalid_clicks": self.invalid_clicks,
            "conversions_micro": self.conversions_micro,
            "value_micros": self.value_micros,
            "ctr_ppm": self.ctr_ppm(),
            "cpc_micros": self.cpc_micros(),
            "cpa_micros": self.cpa_micros(),
            "roas_ppm": self.roas_ppm(),
        })
    }
}

/// A ratio in whole units, `None` where the denominator is not positive or the result has no room.
pub fn ratio(numerator: i64, factor: i64, denominator: i64) -> Option<i64> {
    (denominator > 0)
        .then(|| i128::from(numerator) * i128::from(factor) / i128::from(denominator))
        .and_then(|ratio| i64::try_from(ratio).ok())
}

/// Sums by currency.
pub fn totals(figures: &Figures) -> BTreeMap<String, Sums> {
    let mut totals: BTreeMap<String, Sums> = BTreeMap::new();
    for campaign in figures.campaigns.values() {
        totals.entry(campaign.spec.currency.clone()).or_default().add(&Sums::of(campaign));
    }
    totals.retain(|currency, sums| !currency.is_empty() || *sums != Sums::default());
    totals
}

/// Counts of all campaigns together.
pub fn words(figures: &Figures, of: impl Fn(&Campaign) -> &Words) -> Words {
    let mut sum = Words::new();
    for campaign in figures.campaigns.values() {
        for (word, count) in of(campaign) {
            *sum.entry(word.clone()).or_default() += count;
        }
    }
    sum
}

/// The document.
pub fn document(figures: &Figures, about: &About, comparison: Option<&Comparison>) -> Value {
    let totals: Vec<Value> = totals(figures)
        .into_iter()
        .map(|(currency, sums)| with(sums.document(), [("currency", json!(currency))]))
        .collect();
    let campaigns: Vec<Value> = figures.campaigns.iter().map(|(name, campaign)| of_campaign(name, campaign)).collect();
    json!({
        "format": FORMAT,
        "build": about.build,
        "tzdb": about.tzdb,
        "window": { "from_ms": about.from, "to_ms": about.to, "from_offset": about.from_offset,
                    "to_offset": about.to_offset, "first_ms": figures.range().map(|range| range.0),
                    "last_ms": figures.range().map(|range| range.1) },
        "policy": {
            "is_recorded": about.policy_sha256.is_none() && !about.is_events,
            "file": about.policy_file,
            "sha256": about.policy_sha256,
            "records_by_version": figures.policy_versions.iter().map(|(version, count)| (version.to_string(), count)).collect::<BTreeMap<_, _>>(),
        },
        "journal": { "topic": about.journal, "partitions": spans(figures) },
        "totals": totals,
        "commands": {
            "issued": words(figures, |campaign| &campaign.kinds),
            "reasons": words(figures, |campaign| &campaign.reasons),
            "proposals": words(figures, |campaign| &campaign.proposals),
        },
        "guard_edits": words(figures, |campaign| &campaign.guard_edits),
        "why_nothing_hourly": words(figures, |campaign| &campaign.nothing),
        "alerts": { "severities": figures.severities, "open_at_end": figures.still_open, "opened": opened(figures) },
        "data_quality": quality(figures),
        "events": about.events.map(events),
        "experiments": experiments(figures),
        "campaigns": campaigns,
        "comparison": comparison.map(Comparison::document),
        "limits": limits(about, figures),
    })
}

/// Version of the document's form.
pub const FORMAT: u32 = 1;

fn spans(figures: &Figures) -> Vec<Value> {
    let begun = |begun: &Begun| match begun {
        Begun::Whole => json!("whole"),
        Begun::State(at) => json!({ "state_of_ms": at }),
        Begun::Cold => json!("cold"),
    };
    let span = |span: &crate::figures::Span| {
        json!({
            "partition": span.partition, "from_offset": span.from_offset, "next_offset": span.next_offset,
            "records": span.records, "deltas": span.deltas, "facts": span.facts, "begun": begun(&span.begun),
        })
    };
    figures.spans.iter().map(span).collect()
}

fn events(counts: EventCounts) -> Value {
    let kind = |(kind, counts): (&str, EpochCounts)| (kind.to_owned(), json!(counts));
    Value::Object(counts.kinds().into_iter().map(kind).collect())
}

fn experiments(figures: &Figures) -> Vec<Value> {
    let one = |one: &Experiment| {
        let arms = one.arms.iter().enumerate().map(|(at, (name, share, days, mean))| {
            let effect = at.checked_sub(1).and_then(|at| *one.effects.get(at)?);
            json!({ "name": name, "propensity": share, "days_judged": days, "mean": mean, "effect": effect })
        });
        json!({
            "account_id": one.account_id, "id": one.id, "metric": one.metric, "verdict": one.verdict, "winner": one.winner,
            "arms": arms.collect::<Vec<_>>(),
        })
    };
    figures.experiments.iter().map(one).collect()
}

fn opened(figures: &Figures) -> Vec<Value> {
    let line = |((day, account, campaign, kind), count): (&(i64, String, String, String), &u64)| {
        let name = |name: &String| (!name.is_empty()).then(|| name.clone());
        json!({ "day": day_name(*day), "account_id": name(account), "campaign_id": name(campaign), "kind": kind,
                "opened": count })
    };
    figures.opened.iter().map(line).collect()
}

/// Each count of what was set aside, with its name.
pub fn quality_lines(figures: &Figures) -> Vec<(&'static str, i64)> {
    let (quality, counters) = (&figures.quality, &figures.quality.counters);
    let mut lines = vec![
        ("records_applied", counters.records),
        ("repeated_records_dropped", counters.duplicate_records),
        ("partitions_with_integrity_hold", quality.integrity_holds as i64),
        ("rows_in_quarantine", quality.quarantined_rows as i64),
        ("rows_refused_by_full_quarantine", quality.refused_by_quarantine),
        ("invalid_clicks", figures.campaigns.values().map(|campaign| Sums::of(campaign).invalid_clicks).sum()),
        ("greatest_input_lag_records", quality.lag_records_max),
        ("recorded_answers_set_aside", quality.answers_set_aside as i64),
    ];
    lines.extend(counters.set_aside());
    lines
}

fn quality(figures: &Figures) -> Value {
    Value::Object(quality_lines(figures).into_iter().map(|(name, count)| (name.to_owned(), json!(count))).collect())
}

fn of_campaign((account, id): &(String, String), campaign: &Campaign) -> Value {
    let spec = &campaign.spec;
    let facts = [
        ("account_id", json!(account)),
        ("campaign_id", json!(id)),
        ("name", json!(spec.name)),
        ("currency", json!(spec.currency)),
        ("mode", json!(spec.mode)),
        ("bid_strategy", json!(spec.bid_strategy)),
        ("daily_budget_micros", json!(spec.daily_budget_micros)),
        ("target_cpa_micros", json!(spec.target_cpa_micros)),
        ("target_roas_ppm", json!(spec.target_roas_ppm)),
        ("commands", json!(campaign.kinds)),
        ("reasons", json!(campaign.reasons)),
        ("proposals", json!(campaign.proposals)),
        ("guard_edits", json!(campaign.guard_edits)),
        ("why_nothing_hourly", json!(campaign.nothing)),
        ("alerts", json!(campaign.alerts)),
    ];
    with(Sums::of(campaign).document(), facts)
}

fn with<const N: usize>(mut document: Value, more: [(&str, Value); N]) -> Value {
    if let Value::Object(fields) = &mut document {
        fields.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    document
}

fn limits_of_report(about: &About) -> [String; 2] {
    let known = match about.begins {
        Some(begins) => format!(
            "The journal's beginning is gone: it tells from {} UTC on, and windows that began before are left out. What weeks, \
             months and flights had spent by then is not known here, so plans that follow from it are not those of that \
             time. Commands, proposals and alerts are those that were committed; nothing is decided again.",
            crate::report::instant(begins)
        ),
        None => {
            "Worked out again from the recorded journal, with the policy versions and the answers that it holds: where \
                 build and time zone data are those of the service, commands, alerts and rows are those that were \
                 published, byte for byte (paceline verify checks it)."
                .to_owned()
        }
    };
    [
        known,
        "Days are each campaign's own. A day that begins or ends outside the stretch counts with its hours within, and \
         without its plan, which is one of a whole day. Commands and alerts are those of the stretch; spend, conversions \
         and value of it are as known when the journal ends, later corrections among them."
            .to_owned(),
    ]
}

fn limits_of_events(about: &About) -> [String; 2] {
    let built_in = if about.is_of_topics { "the newest published policy" } else { "the built-in defaults" };
    let policy = about.policy_file.as_deref().unwrap_or(built_in);
    let told = if about.is_of_topics {
        "Each event is taken as told when its record came to the topic; specifications are the newest ones, from the \
         beginning on."
    } else {
        "Each event is taken as told when it happened: how late feeds were is not in the files."
    };
    [
        format!(
            "Made of recorded events, through both stages in virtual time. {told} The last hour is closed as if nothing had \
             come after the last event."
        ),
        format!(
            "Decided under {policy}; commands are taken as applied with the next record. Spend, clicks and conversions are \
             those that were recorded: how the market would have answered to the commands is not identified."
        ),
    ]
}

/// What a run does not know where it did not begin with the journal's first record.
fn limits_of_beginning(about: &About, figures: &Figures) -> Vec<String> {
    let all = figures.spans.len();
    let states = figures.spans.iter().filter_map(|span| match span.begun {
        Begun::State(at) => Some(at),
        _ => None,
    });
    let oldest_and_newest = states.clone().min().zip(states.clone().max());
    let of_states = oldest_and_newest.map(|(oldest, newest)| {
        format!(
            "{} of {all} journal partitions begin with a state that the service had kept, of {} to {} UTC: what came before is \
             taken from it and not replayed. Windows that had closed by then are left out.",
            states.count(),
            crate::report::instant(oldest),
            crate::report::instant(newest)
        )
    });
    // A page of what was committed has words of its own.
    let cold = figures.spans.iter().filter(|span| span.begun == Begun::Cold && about.begins.is_none());
    let first = cold.clone().filter_map(|span| span.first_ms).max();
    let of_cold = first.map(|first| {
        format!(
            "{} of {all} journal partitions have lost their beginnings and were begun with nothing; all are there from {} UTC \
             on. Amounts wait for their campaign's specification, which is copied into the journal daily. What days, weeks, \
             months and flights had spent by then, values in force, shapes and habits are not known: commands are not those \
             that were published until all of that was learned again, which takes weeks.",
            cold.count(),
            crate::report::instant(first)
        )
    });
    of_states.into_iter().chain(of_cold).collect()
}

/// What this run takes for granted, and what it cannot tell.
pub fn limits(about: &About, figures: &Figures) -> Vec<String> {
    let mut limits = limits_of_beginning(about, figures);
    match about.policy_sha256 {
        _ if about.is_events => limits.extend(limits_of_events(about)),
        _ if about.is_report => limits.extend(limits_of_report(about)),
        None if figures.spans.iter().any(|span| span.begun == Begun::Cold) => limits.push(
            "Replayed under the policy versions that the journal holds, with the recorded answers.".to_owned(),
        ),
        None => limits.push(
            "Replayed under the policy versions that the journal holds, with the recorded answers: where build and time \
             zone data are those of the service, commands, alerts and rows are those that were published, byte for byte \
             (paceline verify checks it)."
                .to_owned(),
        ),
        Some(_) => limits.extend([
            "Replayed under another policy than the recorded one. Spend, clicks and conversions are those that were \
             recorded: how the market would have answered to other bids and budgets is not identified by this journal."
                .to_owned(),
            format!(
                "Commands are taken as applied with the next record. {} recorded answers and read-backs, which belong to \
                 commands of the recorded policy, were set aside; what persons and platforms did is kept.",
                figures.quality.answers_set_aside
            ),
            "Because spend does not follow the replayed commands, later decisions see a day that the earlier ones did not \
             shape: their direction is informative, their number and size are not a forecast."
                .to_owned(),
            "Approvals in the journal were given to the recorded proposals; proposals of this run expire unanswered."
                .to_owned(),
            "What experiments identify is told by a replay under the recorded policy: their days were tossed under it, with \
             chances that are logged. It holds for their arms and for no other policy."
                .to_owned(),
        ]),
    }
    limits.push(
        "Conversions are those known when the journal ends; late ones will still raise the last days. Attribution says \
         who touched, not what caused."
            .to_owned(),
    );
    limits.push("Windows that are open at the end are shown as they stand, and marked.".to_owned());
    limits
}
