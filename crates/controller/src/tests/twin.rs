//! Three that must be alike over whatever a day brings: one that decides, one that follows what was decided, and one that
//! was restored in between. Policies, modes, pools, shared budgets, answers and people's words change meanwhile.

use super::by_dimension::marginal;
use super::world::*;
use crate::{Authority, Controller, JournalPosition};
use model::fact::*;
use model::marginal::Marginal;
use model::output::Adjustment;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use proptest::prelude::*;

const EUR: i64 = 1_000_000;
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// Parts of a policy file; each is in it or not.
const PARTS: [&str; 7] = [
    "[defaults.portfolio]\nage_min_ms = 90000000\nbound_share_min = 0.0\nconversions_min = 5\n",
    "[[rule]]\nname = 'dear'\npriority = 10\nwhen = 'today.clicks >= 20'\nthen = { scale_bid = 0.9 }\ncool_down = '1h'\nmode = 'auto'\n",
    "[[rule]]\nname = 'stop'\nwhen = 'today.spend > 40 && hour >= 3'\nthen = { pause = '2h' }\ncool_down = '3h'\nmode = 'auto'\n",
    "[[rule]]\nname = 'shout'\nwhen = 'today.spend > 10'\nthen = { alert = 'warning' }\ncool_down = '6h'\n",
    "[[rule]]\nname = 'ask'\npriority = 20\nwhen = 'bid.now < 0.6'\nthen = { set_bid = 0.8 }\nmode = 'approve'\ncool_down = '1h'\n",
    "[[goal]]\nname = 'g'\naccount = 'acme'\ncurrency = 'EUR'\nmetric = 'conversions'\ndirection = 'at_least'\ntarget = 800\nfrom = 2026-03-01\ndeadline = 2026-03-20\n",
    "[[experiment]]\nid = 'q'\naccount = 'acme'\nunit = 'campaign_day'\nsalt = 's'\nmetric = 'conversions_per_budget'\nstart = 2026-03-02\nmature_days = 1\nstop = { days = 4, alpha = 0.3, then = 'winner' }\n[[experiment.arm]]\nname = 'x'\nshare = 0.5\n[[experiment.arm]]\nname = 'y'\nshare = 0.5\npolicy.pressure.step_up_max = 0.15\n",
];

/// SplitMix64 over the property's seed: a day of draws, of which a strategy would make a tree.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: i64) -> i64 {
        (self.next() % end as u64) as i64
    }

    fn chance(&mut self, percent: i64) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as i64) as usize]
    }

    fn word(&mut self, of: &[&str]) -> String {
        self.pick(of).into()
    }

    fn maybe(&mut self, percent: i64, end: i64) -> Option<i64> {
        self.chance(percent).then(|| self.below(end))
    }

    /// One of the newest six.
    fn newest(&mut self, of: &[Adjustment]) -> Option<Adjustment> {
        let back = self.below(6) as usize;
        of.iter().rev().nth(back).cloned()
    }
}

fn policy_file(draws: &mut Draws, version: i64) -> Fact {
    let body: String = PARTS.iter().filter(|_| draws.chance(40)).copied().collect();
    assert_eq!(policy::settings::check(&body).err(), None);
    Fact::PolicyVersion(Box::new(PolicyVersion { name: "default".into(), version, body, ..PolicyVersion::default() }))
}

fn campaign(draws: &mut Draws, name: &str, version: i64) -> Fact {
    let pool = draws.below(3);
    let is_targeted = draws.chance(30);
    let strategy = draws.word(&["max_conversions", "max_clicks", "max_value"]);
    specified(CampaignSpec {
        daily_budget_micros: draws.maybe(85, 200).map(|units| (20 + units) * EUR),
        monthly_budget_micros: draws.chance(25).then_some(2_000 * EUR),
        flight_budget_micros: draws.chance(10).then_some(900 * EUR),
        flight_end: draws.maybe(20, 40).map(|hours| MONDAY + (5 + hours) * HOUR_MS),
        portfolio_id: (pool == 1).then(|| "pool".into()),
        budget_id: (pool == 2).then(|| "shared".into()),
        budget_control: draws.word(&["paceline", "paceline", "platform", "none"]),
        bid_control: draws.word(&["paceline", "paceline", "paceline", "none"]),
        bid_strategy: if is_targeted { "target_cpa".into() } else { strategy },
        target_cpa_micros: is_targeted.then_some(10 * EUR),
        bid_micros: EUR / 2,
        bid_min_micros: EUR / 20,
        bid_max_micros: 5 * EUR,
        bid_step_micros: 1_000,
        daily_cap: draws.word(&["hard", "average", "profile"]),
        platform: draws.chance(40).then(|| draws.word(&["google_ads", "meta", "linkedin_ads"])),
        spend_source: draws.word(&["events", "events", "events", "events", "events", "stats"]),
        mode: draws.word(&["auto", "auto", "auto", "approve", "observe"]),
        status: if draws.chance(95) { "active" } else { "paused" }.into(),
        protected: draws.chance(5),
        time_zone: draws.word(&["UTC", "America/New_York", "Asia/Kolkata", "Europe/Berlin"]),
        channel: draws.word(&["search", "social"]),
        attribution_model: draws.word(&["last", "linear", "position"]),
        ..spec(name, version)
    })
}

fn entity(draws: &mut Draws, kind: &str, version: i64) -> Fact {
    Fact::EntitySpec(Box::new(EntitySpec {
        entity_id: if kind == "budget" { "shared" } else { "pool" }.into(),
        account_id: "acme".into(),
        kind: kind.into(),
        version,
        status: "active".into(),
        currency: "EUR".into(),
        daily_budget_micros: (kind == "budget").then(|| (50 + draws.below(300)) * EUR),
        ..EntitySpec::default()
    }))
}

fn ack(draws: &mut Draws, command: &Adjustment) -> Fact {
    let result =
        draws.word(&["applied", "applied", "applied", "applied", "conflict", "rejected", "deferred", "expired"]);
    Fact::Ack(Box::new(Ack {
        command_id: command.command_id.clone(),
        account_id: command.account_id.clone(),
        campaign_id: command.campaign_id.clone(),
        sequence: command.sequence,
        found_value_micros: (result == "conflict").then(|| draws.below(3 * EUR)),
        result,
        actor: draws.word(&["paceline", "paceline", "person", "platform"]),
        ..Ack::default()
    }))
}

fn decision(draws: &mut Draws, about: Adjustment, words: &[&str], now: Millis) -> Fact {
    Fact::Decision(Box::new(Decision {
        command_id: about.command_id,
        account_id: about.account_id,
        campaign_id: Some(about.campaign_id),
        decision: draws.word(words),
        value_micros: Some(draws.below(2 * EUR)),
        until: Some(now + draws.below(150) * MINUTE_MS),
        actor: "ann".into(),
        ..Decision::default()
    }))
}

fn report(draws: &mut Draws, now: Millis) -> Fact {
    Fact::StateReport(Box::new(StateReport {
        account_id: "acme".into(),
        campaign_id: draws.word(&NAMES),
        reported_at: now,
        bid_micros: draws.maybe(50, 2 * EUR),
        daily_budget_micros: draws.maybe(30, 200 * EUR),
        status: draws.pick(&[None, Some("active"), Some("paused")]).map(str::to_owned),
        platform_state: draws.pick(&[None, Some("learning"), Some("ok")]).map(str::to_owned),
        actor: Some(draws.word(&["person", "platform", "paceline"])),
    }))
}

fn stats(draws: &mut Draws, now: Millis) -> Fact {
    let start = now - now.rem_euclid(HOUR_MS) - HOUR_MS * draws.below(3);
    Fact::StatsReport(Box::new(StatsReport {
        report_id: draws.next().to_string(),
        revision: draws.below(4),
        account_id: "acme".into(),
        campaign_id: draws.word(&NAMES),
        window_start: start,
        window_end: start + HOUR_MS,
        clicks: 5,
        impressions: 100,
        cost_micros: draws.below(9 * EUR),
        currency: "EUR".into(),
        semantics: draws.word(&["snapshot", "snapshot", "snapshot", "delta"]),
        platform: "meta".into(),
        ..StatsReport::default()
    }))
}

fn halt(draws: &mut Draws, now: Millis) -> Fact {
    let scope = draws.word(&["global", "account", "campaign", "integrity"]);
    Fact::Halt(Box::new(Halt {
        account_id: (scope != "global").then(|| "acme".into()),
        campaign_id: (scope == "campaign").then(|| draws.word(&NAMES)),
        scope,
        action: if draws.chance(15) { "set" } else { "release" }.into(),
        issued_at: now,
        ..Halt::default()
    }))
}

/// What comes with one cut, beside answers.
fn facts(
    draws: &mut Draws,
    version: &mut i64,
    now: Millis,
    issued: &[Adjustment],
    proposed: &[Adjustment],
) -> Vec<Fact> {
    *version += 1;
    let mut facts = Vec::new();
    if draws.chance(4) {
        let name = draws.pick(&NAMES);
        facts.push(campaign(draws, name, *version));
    }
    if draws.chance(2) {
        facts.push(policy_file(draws, *version));
    }
    if draws.chance(2) {
        let kind = draws.pick(&["budget", "portfolio"]);
        facts.push(entity(draws, kind, *version));
    }
    if draws.chance(4) {
        facts.push(report(draws, now));
    }
    if draws.chance(10) {
        facts.push(stats(draws, now));
    }
    if draws.chance(2) {
        facts.push(halt(draws, now));
    }
    if let Some(command) = draws.newest(issued).filter(|_| draws.chance(6)) {
        facts.push(decision(draws, command, &["undo"], now));
    }
    if let Some(proposal) = draws.newest(proposed).filter(|_| draws.chance(15)) {
        facts.push(decision(draws, proposal, &["approve", "approve", "reject", "edit", "snooze"], now));
    }
    facts
}

fn rows(draws: &mut Draws, now: Millis) -> Vec<Row> {
    let mut rows = Vec::new();
    for name in NAMES {
        if draws.chance(40) {
            continue;
        }
        let at = now - MINUTE_MS - draws.maybe(5, 3 * DAY_MS).unwrap_or(0);
        let clicks = 1 + draws.below(6);
        rows.push(touches(name, at, clicks * 20, clicks, clicks * (EUR / 10 + draws.below(9 * EUR / 10))));
        if draws.chance(30) {
            rows.push(credit(name, at, at - draws.below(40 * HOUR_MS), EUR * (1 + draws.below(2)), 12 * EUR));
        }
    }
    rows
}

fn begin(draws: &mut Draws) -> Vec<Fact> {
    let mut first = vec![policy_file(draws, 1), entity(draws, "portfolio", 1), entity(draws, "budget", 1)];
    first.extend(NAMES.map(|name| campaign(draws, name, 1)));
    first
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]
    #[test]
    fn who_decides_who_follows_the_log_and_who_was_restored_are_alike(seed: u64, hours in 4..30_i64) {
        let mut draws = Draws(seed);
        let (mut world, mut follower) = (World::new(), Controller::new(setup()));
        let mut restored = [None::<Controller>, None];
        let (mut issued, mut proposed, mut version) = (Vec::new(), Vec::new(), 1);
        let mut now = MONDAY + draws.below(24) * HOUR_MS;
        let (end, mut answers) = (now + hours * HOUR_MS, begin(&mut draws));
        while now < end {
            answers.extend(facts(&mut draws, &mut version, now, &issued, &proposed));
            let rows = rows(&mut draws, now);
            let mut record = world.journal.cut(now, now - 5_000, &rows, &std::mem::take(&mut answers));
            let value = draws.pick(&["x", "y", "z"]);
            let row = Marginal { impressions: 60, clicks: 3, billable: 3, spend_micros: 700_000, ..Marginal::default() };
            marginal(&mut record, [draws.pick(&NAMES), "", "device", value], now - MINUTE_MS, None, row);
            let at = JournalPosition { offset: world.offset, timestamp_ms: now };
            let outputs = world.apply(now, &record);
            let log = outputs.decisions();
            let [decides, follows] = &mut restored;
            prop_assert_eq!(&follower.apply(at, &record, Authority::Log(&log)).kpis, &outputs.kpis);
            if let Some(decides) = decides {
                prop_assert_eq!(&decides.apply(at, &record, Authority::Decide), &outputs);
            }
            if let Some(follows) = follows {
                follows.apply(at, &record, Authority::Log(&log));
            }
            if draws.chance(4) || now + HOUR_MS > end {
                let state = world.controller.snapshot();
                for other in restored.iter().flatten().chain([&follower]) {
                    prop_assert!(other.snapshot() == state, "states differ {} min after Monday", (now - MONDAY) / MINUTE_MS);
                }
                let which = usize::from(draws.chance(50));
                restored[which] = Controller::restore(setup(), &state).ok();
                prop_assert!(restored[which].is_some());
            }
            for command in &outputs.adjustments {
                if draws.chance(85) {
                    answers.push(ack(&mut draws, command));
                }
            }
            issued.extend(outputs.adjustments);
            proposed.extend(outputs.proposals.into_iter().filter(|proposal| proposal.state == "proposed"));
            now += if draws.chance(1) { draws.below(3 * HOUR_MS) } else { 1_000 + draws.below(5 * MINUTE_MS) };
        }
    }
}
