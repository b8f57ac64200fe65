//! Belief: what the journal says happened, folded; nothing that we decided.
//!
//! What always holds: the fold depends on the journal alone, so it is the same live, on restart and in a replay. Amounts
//! of a campaign without specification or in another currency wait in the quarantine.

use crate::campaign::{Campaign, Granularity, Jumped, Late, Live, RowKey};
use crate::ceilings::SharedPromise;
use crate::channel::Channel;
use crate::context::{Context, Heard, Scope};
use crate::experiments::Running;
use crate::group::Group;
use crate::ledger::{AccountLedger, Ledger};
use crate::maturity::Delays;
use crate::pacing::Pace;
use crate::pools::{self, Pools};
use crate::quarantine::Quarantine;
use crate::rows;
use crate::seen::Seen;
pub use crate::shared::entry;
use crate::shared::{Shared, SharedMap};
use crate::stats::Outcome;
use crate::surroundings::Spoken;
use crate::target::Development;
use model::fact::{CampaignSpec, ContextSignal, Correction, EntitySpec, Fact, StatsReport};
use model::journal::{Delta, JournalRecord, NO_TOUCH};
use model::output::KpiRow;
use model::time::{HOUR_MS, MINUTE_MS, Millis};
use policy::anomaly::{Finding, SpecNumbers, jumps};
use policy::detect::discovery::Incidents;
use policy::plan::{Lift, Shape, at_equal_bid};
use policy::settings::{Anomaly, Policy};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Everything believed in one journal partition.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Belief {
    /// By account id.
    pub accounts: SharedMap<String, Shared<Account>>,
    /// What waits for a specification.
    pub quarantine: Quarantine,
    /// What was said of the world.
    pub context: Arc<Context>,
    /// What was counted aside.
    pub counters: Counters,
    /// Earliest end of an unpublished window of a campaign whose watermark is the events'.
    next_close: Option<Millis>,
}

/// One account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Account {
    /// By campaign id.
    pub campaigns: SharedMap<Arc<str>, Campaign>,
    /// Shared budgets, portfolios and other entities by id.
    pub entities: SharedMap<String, Shared<EntitySpec>>,
    /// How long conversions take.
    pub delays: Delays,
    /// The same and the rate of conversions, of the campaigns with targets of their own.
    pub development: Development,
    /// Experiments on its campaigns, by id.
    pub experiments: BTreeMap<String, Running>,
    /// Statistical alarms that stand.
    pub incidents: Incidents<Finding>,
    /// Paths of conversions; shared with a frozen state until they change.
    pub paths: Option<Arc<crate::paths::Paths>>,
    /// Signs of life and habits by channel.
    pub channels: BTreeMap<String, Channel>,
    /// Portfolios, and what their campaigns were given.
    pub pools: Pools,
    /// What shared daily budgets have promised, by id.
    pub promises: BTreeMap<String, SharedPromise>,
    corrections: Seen,
    reports: Seen,
}

/// Counts since the beginning of the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Records applied.
    pub records: i64,
    /// Records whose ranges were all applied before.
    pub duplicate_records: i64,
    /// Records that did not fit the positions.
    pub misfit_records: i64,
    /// Rows of records that made no sense (codes or minutes out of range).
    pub malformed_deltas: i64,
    /// Corrections of an instant that no event can have.
    pub malformed_corrections: i64,
    /// Rows by dimension and by attribution model of campaigns that no specification explains.
    pub unexplained_breakdowns: i64,
    /// Rows without a campaign.
    pub unclaimed_deltas: i64,
    /// Amounts that came after their pane: they are in the long totals only.
    pub late: Late,
    /// Specifications of a version not above the known one.
    pub stale_specs: i64,
    /// Reports sent twice or of an older revision.
    pub repeated_reports: i64,
    /// Reports of another level of detail, of overlapping windows or on another basis.
    pub breakdown_reports: i64,
    /// Reports without a sensible window, or restatements of forgotten ones.
    pub refused_reports: i64,
    /// Read-backs of campaigns that no specification explains, where more of them are known than are kept.
    pub unexplained_read_backs: i64,
    /// Corrections sent twice.
    pub repeated_corrections: i64,
    /// Signals of `ads.context` that were not understood, or found no room.
    pub refused_signals: i64,
    /// Specifications naming an unknown time zone.
    pub unknown_time_zones: i64,
}

impl Counters {
    /// Each count of what was set aside, under the name that summaries and metrics give it.
    pub fn set_aside(&self) -> [(&'static str, i64); 16] {
        [
            ("records_that_did_not_fit", self.misfit_records),
            ("malformed_rows", self.malformed_deltas),
            ("malformed_corrections", self.malformed_corrections),
            ("rows_without_campaign", self.unclaimed_deltas),
            ("unexplained_breakdowns", self.unexplained_breakdowns),
            ("unexplained_read_backs", self.unexplained_read_backs),
            ("late_for_their_minute", self.late.minutes),
            ("late_for_their_hour", self.late.hours),
            ("late_for_their_day", self.late.days),
            ("stale_specifications", self.stale_specs),
            ("unknown_time_zones", self.unknown_time_zones),
            ("repeated_reports", self.repeated_reports),
            ("breakdown_reports", self.breakdown_reports),
            ("refused_reports", self.refused_reports),
            ("repeated_corrections", self.repeated_corrections),
            ("refused_signals", self.refused_signals),
        ]
    }

    /// Adds another partition's.
    pub fn add(&mut self, other: &Counters) {
        for (sum, more) in [
            (&mut self.records, other.records),
            (&mut self.duplicate_records, other.duplicate_records),
            (&mut self.misfit_records, other.misfit_records),
            (&mut self.malformed_deltas, other.malformed_deltas),
            (&mut self.malformed_corrections, other.malformed_corrections),
            (&mut self.unexplained_breakdowns, other.unexplained_breakdowns),
            (&mut self.unexplained_read_backs, other.unexplained_read_backs),
            (&mut self.unclaimed_deltas, other.unclaimed_deltas),
            (&mut self.late.minutes, other.late.minutes),
            (&mut self.late.hours, other.late.hours),
            (&mut self.late.days, other.late.days),
            (&mut self.stale_specs, other.stale_specs),
            (&mut self.repeated_reports, other.repeated_reports),
            (&mut self.breakdown_reports, other.breakdown_reports),
            (&mut self.refused_reports, other.refused_reports),
            (&mut self.repeated_corrections, other.repeated_corrections),
            (&mut self.refused_signals, other.refused_signals),
            (&mut self.unknown_time_zones, other.unknown_time_zones),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// What became of a specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Specified {
    /// It is in force.
    Taken,
    /// It is in force but for numbers that jumped, the first of them given.
    Jumped {
        /// Still in force.
        old: i64,
        /// Asked for.
        new: i64,
    },
    /// A version not above the known one.
    Stale,
}

/// Whom a record concerned: account and campaign.
pub type Touched<'a> = BTreeSet<(&'a str, &'a str)>;

/// What is the same for a whole record.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Time of the controller.
    pub now: Millis,
    /// Whether minute rows are published.
    pub minute_rows: bool,
}

/// What stands in every row of one record.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// Where the rows were decided.
    pub journal_partition: i32,
    /// Where the rows were decided.
    pub journal_offset: i64,
    /// The policy in force.
    pub policy_version: i64,
    /// This build.
    pub build: &'a str,
}

/// Largest epoch minute that an amount can have: the year 2483, before the calendar's end.
pub const MINUTE_MAX: i64 = 270_000_000;

/// The ledger remembers the moves of a bid for a little longer: whose bid is forgotten teaches nothing.
const BIDS_REMEMBERED_MS: Millis = 24 * HOUR_MS;

impl Account {
    /// Hours that its channels have learned: names the version of its habits.
    pub fn hours_learned(&self) -> i64 {
        self.channels.values().fold(0, |sum, channel| sum.wrapping_add(channel.hours_learned))
    }
}

impl Belief {
    /// Adds the deltas of a record.
    pub fn fold_deltas<'a>(&mut self, record: &'a JournalRecord, moment: Moment, touched: &mut Touched<'a>) {
        let owner = |delta: &Delta| (delta.account, delta.campaign, delta.currency);
        let mut owners: Vec<(&str, &str)> = Vec::new();
        for group in record.deltas.chunk_by(|one, other| owner(one) == owner(other)) {
            let word = |code: i32| usize::try_from(code).ok().and_then(|code| record.dictionary.get(code));
            let Some(first) = group.first() else { continue };
            let (Some(account), Some(campaign), Some(currency)) =
                (word(first.account), word(first.campaign), word(first.currency))
            else {
                self.counters.malformed_deltas += group.len() as i64;
                continue;
            };
            if campaign.is_empty() {
                self.counters.unclaimed_deltas += group.len() as i64;
                continue;
            }
            owners.push((account, campaign));
            let rows = group.iter().filter_map(|delta| Some((word(delta.conversion_type)?.as_str(), delta)));
            self.fold_rows([account, campaign, currency], rows, moment);
            let unnamed = group.iter().filter(|delta| word(delta.conversion_type).is_none()).count();
            self.counters.malformed_deltas += unnamed as i64;
        }
        // Rows come in the order of names mostly: a set is made of them at once in a fraction of the comparisons.
        if touched.is_empty() {
            *touched = owners.into_iter().collect();
        } else {
            touched.extend(owners);
        }
    }

    /// Takes a specification. A version not above the known one is void; numbers that jumped wait for a person.
    pub fn specify(&mut self, spec: &CampaignSpec, moment: Moment, settings: &Anomaly) -> Specified {
        let account = entry(&mut self.accounts, &spec.account_id);
        let campaign = entry(&mut account.campaigns, &spec.campaign_id);
        let known = campaign.jumped.as_ref().map_or(campaign.version, |jumped| jumped.spec.version);
        if known != 0 && spec.version <= known {
            self.counters.stale_specs += 1;
            return Specified::Stale;
        }
        if window::calendar::Zone::parse(&spec.time_zone).is_err() {
            self.counters.unknown_time_zones += 1;
        }
        let before = campaign.spec().filter(|before| campaign.version != 0 && before.currency == spec.currency);
        let jumped =
            before.map_or_else(Vec::new, |before| jumps(&SpecNumbers::of(&before), &SpecNumbers::of(spec), settings));
        let mut taken = spec.clone();
        for jump in &jumped {
            restore(&mut taken, jump.field, jump.old);
        }
        let fields = jumped.iter().map(|jump| jump.field.to_owned()).collect();
        campaign.jumped = (!jumped.is_empty()).then(|| Box::new(Jumped { spec: spec.clone(), fields }));
        respecify(account, &taken, moment.now);
        self.release([&spec.account_id, &spec.campaign_id, &spec.currency], moment);
        jumped.first().map_or(Specified::Taken, |jump| Specified::Jumped { old: jump.old, new: jump.new })
    }

    /// A person confirms the numbers that jumped; `true` if they waited.
    pub fn confirm_jump(&mut self, account: &str, campaign: &str, version: i64, now: Millis) -> bool {
        let Some(account) = self.accounts.get_mut(account) else { return false };
        let Some(campaign) = account.campaigns.get_mut(campaign) else { return false };
        let Some(jumped) = campaign.jumped.take_if(|jumped| jumped.spec.version == version) else { return false };
        respecify(account, &jumped.spec, now);
        true
    }

    /// Learns from rows that closed for the first time when there is traffic; `bid_at` is the bid that was in force.
    pub fn learn_shapes(
        &mut self,
        rows: &[KpiRow],
        policy: &Policy,
        now: Millis,
        bid_at: impl Fn(&str, &str, Millis) -> Option<i64>,
    ) {
        let first = |row: &&KpiRow| row.granularity == "hour" && row.revision == 1 && row.basis == "conversion_time";
        for row in rows.iter().filter(first) {
            let Some(account) = self.accounts.get_mut(&row.account_id).map(|account| &mut **account) else { continue };
            let is_stale = |live: &Live| live.surroundings.is_none() && !self.context.is_empty();
            let known = account.campaigns.get(row.campaign_id.as_str());
            if known.and_then(|known| known.live.as_deref()).is_some_and(is_stale)
                && let Some(live) = account.campaigns.get_mut(row.campaign_id.as_str()).and_then(Campaign::live_mut)
            {
                live.renew_surroundings(&self.context, &row.account_id, &row.campaign_id);
            }
            let Some(live) =
                account.campaigns.get(row.campaign_id.as_str()).and_then(|campaign| campaign.live.as_ref())
            else {
                continue;
            };
            if matches!(live.pacing.pace, Pace::Paused | Pace::Exhausted) {
                continue;
            }
            let around = live.around();
            if around.is_excluded(row.window_start, row.window_end) {
                continue;
            }
            let Some(zone) = live.calendar.zone_at(row.window_start) else { continue };
            let day = zone.day_of(row.window_start);
            let hours = zone.local_hours(&day);
            let Some(hour) = hours.iter().find(|hour| hour.end_ms > row.window_start) else { continue };
            let channel = entry(&mut account.channels, &live.spec.channel);
            let settings = policy.for_campaign(&row.account_id, &row.campaign_id);
            let middle = row.window_start.midpoint(row.window_end);
            if now.saturating_sub(middle) > BIDS_REMEMBERED_MS {
                continue;
            }
            let base = bid_at(&row.account_id, &row.campaign_id, middle).unwrap_or(live.spec.bid_micros);
            // What the hour's own factor won is no traffic either, nor what the weather's did.
            let word = around.weather_at(middle);
            let of_weather = live.pacing.weather_factor(word);
            let factor = crate::factors::of_hour(&live.pacing.hour_factors, hour.hour_of_week()) * of_weather;
            let event = Lift::mean(&around.events, row.window_start, row.window_end);
            let bid = policy::arithmetic::half_to_even(base as f64 * factor).unwrap_or(base);
            let elasticity = settings.pressure.elasticity;
            let reference = live.spec.bid_micros;
            // What people expected of the hour is no habit either.
            let usually = |count: i64| match event == 1.0 {
                true => count,
                false => policy::arithmetic::half_to_even(count as f64 / event).unwrap_or(count),
            };
            let impressions = usually(at_equal_bid(row.impressions, bid, reference, elasticity));
            let of_week = hour.hour_of_week();
            let has_table = live.by_hour.is_some() && !live.pacing.hour_factors.is_empty();
            let has_factors = has_table || live.by_weather.is_some();
            let expected = has_factors
                .then(|| channel.shape.weights(day.start_ms, &settings.plan)[of_week] * libm::pow(factor, elasticity));
            // Spend moves with one power more of the bid than impressions do.
            let spent = usually(at_equal_bid(row.spend_micros, base, reference, elasticity + 1.0));
            let noted = expected.map(|expected| (of_week % 24, expected, spent, row.clicks));
            let noted_weather = expected.filter(|_| live.by_weather.is_some());
            let noted_weather = noted_weather.map(|expected| (word.map(str::to_owned), expected, spent, row.billable));
            channel.shape.record_hour(of_week, row.window_end, impressions, 1.0, &settings.plan);
            channel.hours_learned = channel.hours_learned.saturating_add(1);
            if let Some((word, expected, spent, events)) = noted_weather
                && let Some(campaign) = account.campaigns.get_mut(row.campaign_id.as_str())
                && let Some(by_weather) = campaign.live_mut().and_then(|live| live.by_weather.as_mut())
            {
                Arc::make_mut(by_weather).note_spend(word.as_deref(), expected, spent, events);
            }
            if let Some((hour, expected, spent, events)) = noted.filter(|_| has_table)
                && let Some(campaign) = account.campaigns.get_mut(row.campaign_id.as_str())
                && let Some(by_hour) = campaign.live_mut().and_then(|live| live.by_hour.as_mut())
            {
                by_hour.note_spend(hour, expected, spent, events);
            }
        }
    }

    /// Takes what is said of the world, and what was said for now.
    pub fn hear_context(&mut self, signal: &ContextSignal, now: Millis) {
        match Arc::make_mut(&mut self.context).hear(signal, now) {
            Heard::Changed(scopes, excluded) => self.spread(&scopes, &excluded),
            Heard::Refused => self.counters.refused_signals += 1,
            Heard::Nothing | Heard::Waits => {}
        }
    }

    /// Once a minute: signals whose time of issue has come, and what is over.
    pub fn tend_context(&mut self, now: Millis) {
        // Nothing is written where nothing is due: the context stays shared with a frozen state.
        if !self.context.is_due(now) {
            return;
        }
        let context = Arc::make_mut(&mut self.context);
        let ripe = context.ripe(now);
        if context.tidy(now) {
            self.spread(&[Scope::default()], &[]);
        }
        ripe.iter().for_each(|signal| self.hear_context(signal, now));
    }

    /// Campaigns that a word may concern make their surroundings anew; their learners leave out what is excluded.
    fn spread(&mut self, scopes: &[Scope], excluded: &[(Millis, Millis)]) {
        let mut met: Vec<(String, Arc<str>)> = Vec::new();
        for (account_id, account) in self.accounts.iter() {
            for (campaign_id, campaign) in account.campaigns.iter() {
                let meets = |live: &Live| {
                    let of = Spoken { account_id, campaign_id, channel: &live.spec.channel };
                    let is_at = |scope: &Scope| live.places.iter().any(|(place, _)| scope.covers(place));
                    scopes.iter().any(|scope| scope.is_for(of) && (scope.geo.is_none() || is_at(scope)))
                };
                if campaign.live.as_deref().is_some_and(meets) {
                    met.push((account_id.clone(), campaign_id.clone()));
                }
            }
        }
        for (account_id, campaign_id) in met {
            let Some(live) = self.live_mut(&account_id, &campaign_id) else { continue };
            live.forget_surroundings();
            excluded.iter().for_each(|(from, to)| live.exclude(*from, *to));
        }
    }

    /// Takes an entity; a lower version is void.
    pub fn specify_entity(&mut self, entity: &EntitySpec, now: Millis) {
        let account = entry(&mut self.accounts, &entity.account_id);
        let known = account.entities.get(&entity.entity_id);
        if known.is_some_and(|known| entity.version <= known.version) {
            self.counters.stale_specs += 1;
            return;
        }
        let daily_before = known.and_then(|known| known.daily_budget_micros);
        account.pools.specify(entity);
        account.entities.insert(entity.entity_id.clone(), Shared::new(entity.clone()));
        if entity.daily_budget_micros.is_some() && entity.daily_budget_micros != daily_before {
            account.promise_anew(entity, now);
        }
    }

    /// Once a minute: what the pools' campaigns have shown, and what they are given.
    pub fn tend_pools(&mut self, ledger: &Ledger, policy: &Policy, now: Millis, watermark: Option<Millis>) {
        let busy = self.accounts.iter().filter(|(_, account)| !account.pools.is_empty());
        let busy: Vec<String> = busy.map(|(account_id, _)| account_id.clone()).collect();
        let nothing = AccountLedger::default();
        for account_id in &busy {
            let Some(account) = self.accounts.get_mut(account_id) else { continue };
            let Account { pools, campaigns, development, .. } = &mut **account;
            let of_account = ledger.accounts.get(account_id).map_or(&nothing, |account| &**account);
            pools.tend(&pools::Around {
                account_id,
                campaigns,
                development,
                ledger: of_account,
                is_halted: ledger.halted || of_account.halted,
                policy,
                now,
                watermark,
            });
        }
    }

    /// Takes a platform's report.
    pub fn fold_report(&mut self, report: &StatsReport, moment: Moment) {
        let owner = [report.account_id.as_str(), report.campaign_id.as_str(), report.currency.as_str()];
        if !self.explains(owner) {
            let fact = Fact::StatsReport(Box::new(report.clone()));
            return self.quarantine.hold_fact(owner, &fact, report.cost_micros, moment.now);
        }
        let Some(account) = self.accounts.get_mut(owner[0]).map(|account| &mut **account) else { return };
        let Some(live) = account.campaigns.get_mut(owner[1]).and_then(Campaign::live_mut) else { return };
        let (outcome, late) = live.fold_report(report, moment.now, &mut account.reports);
        self.counters.late = self.counters.late.and(late);
        match outcome {
            Outcome::Change { .. } => {}
            Outcome::Repeated => self.counters.repeated_reports += 1,
            Outcome::Breakdown => self.counters.breakdown_reports += 1,
            Outcome::Refused => self.counters.refused_reports += 1,
        }
    }

    /// Takes a correction.
    pub fn fold_correction(&mut self, correction: &Correction, moment: Moment) {
        let owner = [correction.account_id.as_str(), correction.campaign_id.as_str(), correction.currency.as_str()];
        if !self.explains(owner) {
            let fact = Fact::Correction(Box::new(correction.clone()));
            return self.quarantine.hold_fact(owner, &fact, correction.cost_micros, moment.now);
        }
        if !(0..=MINUTE_MAX * MINUTE_MS).contains(&correction.applies_at) {
            self.counters.malformed_corrections += 1;
            return;
        }
        let Some(account) = self.accounts.get_mut(owner[0]) else { return };
        if !account.corrections.insert(&correction.correction_id, moment.now) {
            self.counters.repeated_corrections += 1;
            return;
        }
        let Some(live) = account.campaigns.get_mut(owner[1]).and_then(Campaign::live_mut) else { return };
        let late = live.fold_correction(correction, moment.minute_rows);
        self.counters.late = self.counters.late.and(late);
        note_close(&mut self.next_close, live);
    }

    /// Rows of windows that closed: of the campaigns that the record concerned, and of all where the watermark has
    /// passed the end of some window.
    pub fn close(&mut self, watermark: Option<Millis>, touched: &Touched<'_>, stamp: Stamp<'_>) -> Vec<KpiRow> {
        let mut rows = Vec::new();
        if watermark.zip(self.next_close).is_some_and(|(watermark, next)| next <= watermark) {
            self.next_close = None;
            let next_close = &mut self.next_close;
            for_each_live(&mut self.accounts, |account_id, campaign_id, campaign, delays| {
                close_campaign(campaign, watermark, (account_id, campaign_id), delays, stamp, &mut rows);
                if let Some(live) = &campaign.live {
                    note_close(next_close, live);
                }
            });
            return rows;
        }
        for (account_id, campaign_id) in touched {
            // Asked before anything is taken to be changed: nearly no record closes a window.
            if self.campaign(account_id, campaign_id).is_none_or(|campaign| !closes(campaign, watermark)) {
                continue;
            }
            let Some(account) = self.accounts.get_mut(*account_id).map(|account| &mut **account) else { continue };
            let Some(campaign) = account.campaigns.get_mut(*campaign_id) else { continue };
            close_campaign(campaign, watermark, (account_id, campaign_id), &account.delays, stamp, &mut rows);
        }
        rows
    }

    /// Once a minute: rows that changed since they were published, and panes that died.
    pub fn revise(&mut self, watermark: Option<Millis>, stamp: Stamp<'_>) -> Vec<KpiRow> {
        let mut rows = Vec::new();
        for_each_live(&mut self.accounts, |account_id, campaign_id, campaign, delays| {
            // Nearly all have nothing to tell and nothing to forget: they stay shared with a frozen state.
            if campaign
                .live
                .as_ref()
                .is_none_or(|live| live.revised.is_empty() && !live.forgets(live.watermark(watermark)))
            {
                return;
            }
            let Some(live) = campaign.live.as_mut().map(Arc::make_mut) else { return };
            let revised = std::mem::take(&mut live.revised);
            publish(live, &revised, watermark, (account_id, campaign_id), delays, stamp, &mut rows);
            live.forget(live.watermark(watermark));
        });
        rows
    }

    /// The campaign, where it is known.
    pub fn campaign(&self, account: &str, campaign: &str) -> Option<&Campaign> {
        self.accounts.get(account)?.campaigns.get(campaign)
    }

    /// A living campaign, to be changed.
    pub fn live_mut(&mut self, account: &str, campaign: &str) -> Option<&mut Live> {
        let campaign = self.accounts.get_mut(account)?.campaigns.get_mut(campaign)?;
        campaign.live.as_mut().map(Arc::make_mut)
    }

    /// Campaigns that are held, with and without a specification.
    pub fn campaign_count(&self) -> usize {
        self.accounts.values().map(|account| account.campaigns.len()).sum()
    }

    /// Whether bid and budget are ours by the specification; they are while none is known, as everywhere.
    pub fn controls(&self, account: &str, campaign: &str) -> [bool; 2] {
        let campaign = self.accounts.get(account).and_then(|account| account.campaigns.get(campaign));
        let of = |spec: &CampaignSpec| [&spec.bid_control, &spec.budget_control].map(|by| *by == "paceline");
        match campaign.map(|campaign| (campaign.live.as_ref(), campaign)) {
            Some((Some(live), _)) => of(&live.spec),
            Some((None, campaign)) => campaign.spec().as_ref().map_or([true; 2], of),
            None => [true; 2],
        }
    }

    /// The shared budget of a campaign, with the other living campaigns that spend from it.
    pub fn shared_budget(&self, account: &str, campaign: &str, live: &Live) -> Option<Group<'_>> {
        let id = live.spec.budget_id.as_ref()?;
        let account = self.accounts.get(account)?;
        let budget = account.entities.get(id).filter(|entity| entity.currency == live.spec.currency)?;
        let siblings = account.campaigns.iter().filter(|(other, _)| ***other != *campaign);
        let siblings = siblings.filter_map(|(_, other)| other.live.as_deref());
        let is_member =
            |other: &&Live| other.spec.budget_id.as_ref() == Some(id) && other.spec.currency == budget.currency;
        let siblings: Vec<&Live> = siblings.filter(is_member).collect();
        let channels = siblings.iter().map(|sibling| account.channels.get(&sibling.spec.channel)).collect();
        let (daily_micros, monthly_micros) = (budget.daily_budget_micros, budget.monthly_budget_micros);
        daily_micros.or(monthly_micros)?;
        let promise = account.promises.get(id).copied();
        Some(Group { daily_micros, monthly_micros, promise, siblings, channels })
    }

    /// Unpacks after a restore what a snapshot does not hold twice.
    pub fn wake(&mut self) {
        for account in self.accounts.values_mut() {
            account.campaigns.values_mut().for_each(Campaign::wake);
        }
    }

    /// Whether a specification explains amounts of this account, campaign and currency.
    fn explains(&self, [account, campaign, currency]: [&str; 3]) -> bool {
        self.campaign(account, campaign).is_some_and(|campaign| campaign.explains(currency))
    }

    fn fold_rows<'r>(&mut self, owner: [&str; 3], rows: impl Iterator<Item = (&'r str, &'r Delta)>, moment: Moment) {
        let account = self.accounts.get_mut(owner[0]).map(|account| &mut **account);
        let known = account.and_then(|Account { campaigns, delays, channels, development, .. }| {
            let campaign = campaigns.get_mut(owner[1]).filter(|campaign| campaign.explains(owner[2]))?;
            Some((campaign, delays, channels, development))
        });
        let Some((campaign, delays, channels, development)) = known else {
            return rows.for_each(|(conversion_type, delta)| {
                self.quarantine.hold(owner, conversion_type, delta, moment.now);
            });
        };
        let Some(live) = campaign.live_mut() else { return };
        live.renew_surroundings(&self.context, owner[0], owner[1]);
        for (conversion_type, delta) in rows {
            if !sensible(delta) {
                self.counters.malformed_deltas += 1;
                continue;
            }
            let late = live.fold(delta, conversion_type, moment.minute_rows);
            live.fold_for_target(delta, conversion_type, development);
            if conversion_type.is_empty() {
                let events = delta.impressions.saturating_add(delta.clicks);
                if !channels.contains_key(&live.spec.channel) {
                    channels.insert(live.spec.channel.clone(), Channel::default());
                }
                if let Some(channel) = channels.get_mut(&live.spec.channel) {
                    // One event costs at most what a day, or the flight, may cost.
                    let budget = live.spec.daily_budget_micros.or(live.spec.flight_budget_micros);
                    let dearest = budget.filter(|budget| *budget > 0).unwrap_or(i64::MAX);
                    channel.note(delta.minute * MINUTE_MS, events, delta.billable, delta.spend_micros, dearest);
                }
            }
            self.counters.late = self.counters.late.and(late);
            let touched = delta.touch_minute.saturating_mul(MINUTE_MS);
            if delta.touch_minute != NO_TOUCH && !live.around().is_excluded(touched, touched.saturating_add(MINUTE_MS))
            {
                delays.note((delta.minute - delta.touch_minute) * MINUTE_MS, delta.last_conversions_micro);
            }
        }
        note_close(&mut self.next_close, live);
    }

    /// Applies what has waited for this specification.
    fn release(&mut self, owner: [&str; 3], moment: Moment) {
        let Some((rows, facts)) = self.quarantine.release(owner) else { return };
        self.fold_rows(owner, rows.iter().map(|(conversion_type, delta)| (conversion_type.as_str(), delta)), moment);
        for fact in &facts {
            match fact {
                Fact::StatsReport(report) => self.fold_report(report, moment),
                Fact::Correction(correction) => self.fold_correction(correction, moment),
                _ => {}
            }
        }
    }
}

/// Puts the old number back where the new one jumped.
/// A campaign may join, change or leave a shared budget by its specification: what the budgets still allow stays.
fn respecify(account: &mut Account, spec: &CampaignSpec, now: Millis) {
    let known = account.campaigns.get(spec.campaign_id.as_str()).and_then(|campaign| campaign.live.as_ref());
    let mut budgets: Vec<String> = known
        .map_or_else(Vec::new, |live| [&live.spec.budget_id, &spec.budget_id].into_iter().flatten().cloned().collect());
    budgets.dedup();
    let before = account.spent_of_budgets(&budgets, now);
    if let Some(campaign) = account.campaigns.get_mut(spec.campaign_id.as_str()) {
        campaign.specify(spec, now);
    }
    account.regroup(&budgets, &before, now);
}

fn restore(spec: &mut CampaignSpec, field: &str, old: i64) {
    match field {
        "daily_budget_micros" => spec.daily_budget_micros = Some(old),
        "weekly_budget_micros" => spec.weekly_budget_micros = Some(old),
        "monthly_budget_micros" => spec.monthly_budget_micros = Some(old),
        "flight_budget_micros" => spec.flight_budget_micros = Some(old),
        "bid_max_micros" => spec.bid_max_micros = old,
        "target_cpa_micros" => spec.target_cpa_micros = Some(old),
        "target_roas_ppm" => spec.target_roas_ppm = Some(old),
        _ => {}
    }
}

fn sensible(delta: &Delta) -> bool {
    let touch = delta.touch_minute == NO_TOUCH || (0..=MINUTE_MAX).contains(&delta.touch_minute);
    (0..=MINUTE_MAX).contains(&delta.minute) && touch
}

fn note_close(next_close: &mut Option<Millis>, live: &Live) {
    if let Some(first) = live.open.first().filter(|_| !live.counts_reports()) {
        let end = Millis::from(first.end) * MINUTE_MS;
        *next_close = Some(next_close.map_or(end, |next| next.min(end)));
    }
}

fn for_each_live(
    accounts: &mut SharedMap<String, Shared<Account>>,
    mut each: impl FnMut(&str, &str, &mut Campaign, &Delays),
) {
    for (account_id, account) in accounts.iter_mut() {
        let account = &mut **account;
        for (campaign_id, campaign) in account.campaigns.iter_mut().filter(|(_, campaign)| campaign.live.is_some()) {
            each(account_id, campaign_id, campaign, &account.delays);
        }
    }
}

fn closes(campaign: &Campaign, events: Option<Millis>) -> bool {
    let live = campaign.live.as_ref();
    live.is_some_and(|live| live.watermark(events).is_some_and(|watermark| live.closes(watermark)))
}

fn close_campaign(
    campaign: &mut Campaign,
    events: Option<Millis>,
    ids: (&str, &str),
    delays: &Delays,
    stamp: Stamp<'_>,
    rows: &mut Vec<KpiRow>,
) {
    if !closes(campaign, events) {
        return;
    }
    let Some(live) = campaign.live.as_mut().map(Arc::make_mut) else { return };
    let Some(watermark) = live.watermark(events) else { return };
    let closed = live.take_closed(watermark);
    publish(live, &closed, events, ids, delays, stamp, rows);
}

fn publish(
    live: &mut Live,
    keys: &[RowKey],
    events: Option<Millis>,
    (account_id, campaign_id): (&str, &str),
    delays: &Delays,
    stamp: Stamp<'_>,
    rows: &mut Vec<KpiRow>,
) {
    let context = rows::Context {
        account_id,
        campaign_id,
        watermark: live.watermark(events).unwrap_or(Millis::MIN),
        journal_partition: stamp.journal_partition,
        journal_offset: stamp.journal_offset,
        policy_version: stamp.policy_version,
        build: stamp.build,
        delays,
        binding: live.pacing.binding.as_str(),
        pace: live.pacing.pace.as_str(),
        plan_micros: None,
    };
    for key in keys {
        let planned = Some(key.start).filter(|_| key.granularity == Granularity::Day);
        let planned = planned.and_then(|day| live.plan_of(day));
        let context = rows::Context { plan_micros: planned, ..context };
        rows.extend(rows::publish(live, key, &context));
    }
}
