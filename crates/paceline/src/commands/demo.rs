//! `paceline demo`: the whole loop in one process, with nothing installed.
//!
//! The broker is the client library's own in-process one, the market is simulated and its ad buyer obeys the commands it
//! reads from the topics; everything between is the real service. One accelerated clock rules market, record timestamps,
//! cuts and buyer. At the end the same market, same seed, is run again with nobody steering it.

use super::run::{context, stop_on_signal};
use super::wire::encode_event;
use super::{connect, say};
use crate::cli::{Demo, Role};
use crate::clock::Clock;
use crate::failure::{Failure, Outcome};
use crate::http::{self, Shared};
use crate::published::CampaignView;
use crate::service;
use crate::service::context::{Context, Stop};
use crate::service::topology::{Topology, needs};
use crate::settings::{Settings, parse_duration_ms};
use crate::telemetry::start_logging;
use avro_codec::Codec;
use kafka_io::{Life, Membership, MockBroker, Sender, SourceConsumer};
use market::{Emitted, Market, Record, Scenario, Totals};
use model::fact::{Fact, PolicyVersion};
use model::output::{Adjustment, Alert};
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use policy::explain::amount as money;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Partitions of each event topic: two, so that the demo shows what spreading looks like.
const EVENT_PARTITIONS: i32 = 2;
const JOURNAL_PARTITIONS: i64 = 2;
/// A turn of the market; at speed 300 that is 6 s of market time.
const TURN: Duration = Duration::from_millis(20);
/// The terminal shows the campaigns this often.
const TABLE_EVERY: Duration = Duration::from_secs(10);
const FLUSH_LIMIT: Duration = Duration::from_secs(10);
/// A demo is no trial of years: its market is simulated a second time at the end.
const FLIGHT_MS_MAX: Millis = 366 * DAY_MS;
/// A cut of 100 ms is 30 s of the market at speed 300, so siblings and waits have four of them, and data are stale after
/// twelve. Flights begin in the morning with the whole of their daily budgets.
const DEMO_POLICY: &str = "[stage1]\nconversion_wait_ms = 120000\nsibling_skew_ms = 120000\nidle_after_ms = 120000\n\
                           [defaults.gates]\nstale_min_ms = 360000\n\
                           [defaults.plan]\nfull_budget_on_first_day = true\n";

/// What the demo's clock needs, and over it what the given file says.
fn policy(file: Option<&Path>) -> Outcome<String> {
    let Some(path) = file else { return Ok(DEMO_POLICY.into()) };
    let said = super::simulate::policy(path)?.body;
    let parse = |text: &str| text.parse::<toml::Table>();
    let over =
        parse(&said).and_then(|said| parse(DEMO_POLICY).map(|ours| toml::Table::to_string(&laid_over(ours, said))));
    over.map_err(|error| {
        Failure::failed(format!("the policy {} does not parse: {error}", path.display()), "see: paceline policy check")
    })
}

fn laid_over(mut below: toml::Table, above: toml::Table) -> toml::Table {
    for (key, value) in above {
        let value = match (below.remove(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => toml::Value::Table(laid_over(below, above)),
            (_, value) => value,
        };
        below.insert(key, value);
    }
    below
}

/// Runs the demo to its end, or to the first Ctrl-C, and prints the summary.
pub fn run(arguments: &Demo) -> Outcome {
    let flight_ms = flight_ms(arguments)?;
    let policy = policy(arguments.policy.as_deref())?;
    start_logging("warn", "text")?;
    let stop = Arc::new(Stop::default());
    stop_on_signal(Arc::clone(&stop))?;
    let broker = MockBroker::start()?;
    let settings = settings(&broker, arguments)?;
    for need in needs(&settings, EVENT_PARTITIONS) {
        broker.create_topic(&need.name, need.partitions)?;
    }
    let start_ms = morning_before(Clock::System.now_ms());
    let clock = Clock::accelerated(start_ms, arguments.speed);
    let topology = Topology { event_partitions: EVENT_PARTITIONS, policy_partitions: 1, dead_letter_partitions: 1 };
    let context = Context { stop, ..context(settings, clock, topology, Codec::fixed(), false) };
    let served = http::serve(http::endpoints(&context.settings, Shared::of(&context)?)?);
    let addresses = served.map_err(|failure| in_words_of_the_demo(failure, arguments.port))?;
    if let Some(page) = addresses.first() {
        eprintln!("the dashboard is at http://{page}/");
    }
    let mut world = World::open(&context, arguments.seed, policy, start_ms, flight_ms)?;
    let service = {
        let context = context.clone();
        std::thread::spawn(move || service::run(&context, Role::All))
    };
    let started = Instant::now();
    let played = world.play(&context, start_ms + flight_ms, arguments.speed);
    context.stop.ask();
    let served = service
        .join()
        .unwrap_or_else(|_| Err(Failure::failed("the service panicked", "please report the panic above")));
    played.and(served)?;
    let summary = world.summary(arguments.seed, started.elapsed().as_secs_f64());
    let _ = std::fs::remove_dir_all(&context.settings.state_dir);
    if arguments.json { say(&summary.to_string()) } else { print_summary(&summary) }
}

/// How long the market runs, on its own clock.
fn flight_ms(arguments: &Demo) -> Outcome<Millis> {
    let span_ms = parse_duration_ms(&arguments.span).filter(|span| *span > 0).ok_or_else(|| {
        Failure::usage(format!("--for {:?} is not a duration", arguments.span), "use for example 120s")
    })?;
    let flight_ms = span_ms.checked_mul(i64::from(arguments.speed)).filter(|flight| *flight <= FLIGHT_MS_MAX);
    flight_ms.ok_or_else(|| {
        Failure::usage(
            format!(
                "--for {:?} at --speed {} is more than {} days of the market",
                arguments.span,
                arguments.speed,
                FLIGHT_MS_MAX / DAY_MS
            ),
            "give a shorter --for or a lower --speed",
        )
    })
}

/// The demo has no file of settings: who cannot listen is told the option.
fn in_words_of_the_demo(failure: Failure, port: u16) -> Failure {
    let what = failure.what.replace("(http.listen)", "(--port)");
    let advice = match failure.advice.contains("http.listen") {
        true => format!("free port {port} or give another with --port, for example --port 0 for any"),
        false => failure.advice,
    };
    Failure { what, advice, ..failure }
}

/// The last 06:00 UTC: a business day in Berlin and London, whenever the demo is started, so that the same seed tells the
/// same story. A flight of ten hours that begins in the evening is another story: most of its traffic has gone by when the
/// plan, which knows no campaign's hours yet, still keeps money for the night.
fn morning_before(now_ms: Millis) -> Millis {
    const MORNING_MS: Millis = 6 * HOUR_MS;
    (now_ms - MORNING_MS).div_euclid(DAY_MS) * DAY_MS + MORNING_MS
}

fn settings(broker: &MockBroker, arguments: &Demo) -> Outcome<Settings> {
    let state_dir = std::env::temp_dir().join(format!("paceline-demo-{}", std::process::id()));
    let speed = i64::from(arguments.speed);
    // At a slow clock the cut follows the market, at a fast one the machine.
    let environment: BTreeMap<String, String> = [
        ("KAFKA__BROKERS", broker.brokers()),
        ("USER_KEY__SECRET", "the users of the demo are made up".into()),
        ("STATE__DIR", state_dir.display().to_string()),
        ("JOURNAL__PARTITIONS", JOURNAL_PARTITIONS.to_string()),
        ("EPOCH__INTERVAL", "100ms".into()),
        ("EPOCH__SIBLING_SKEW", format!("{}ms", (400 * speed).max(5_000))),
        ("EPOCH__IDLE_AFTER", format!("{}ms", (400 * speed).max(5_000))),
        ("HTTP__LISTEN", format!("127.0.0.1:{}", arguments.port)),
        ("METRICS__LISTEN", "127.0.0.1:0".into()),
    ]
    .into_iter()
    .map(|(name, value)| (format!("PACELINE__{name}"), value))
    .collect();
    Ok(Settings::load_with(&[], &environment)?.0)
}

/// Slows the clock down while the service is late: at 300 times the machine's clock a hitch of half a second would be
/// minutes of a market that nobody watches, which says nothing of the product.
struct Governor {
    speed: u32,
    cuts: u64,
    /// Up to here the events were in cuts, as of the last one.
    watermark_ms: Option<Millis>,
}

impl Governor {
    fn new(speed: u32) -> Self {
        Self { speed, cuts: 0, watermark_ms: None }
    }

    fn steer(&mut self, context: &Context) {
        let (metrics, now_ms) = (&context.metrics, context.clock.now_ms());
        let cuts = metrics.epochs.get();
        if std::mem::replace(&mut self.cuts, cuts) != cuts {
            self.watermark_ms = Some(now_ms - (metrics.watermark_delay.get() * 1e3) as Millis);
        }
        let late_after_ms = Millis::from(self.speed) * LATE_AFTER.as_millis() as Millis;
        let is_late = self.watermark_ms.is_some_and(|watermark_ms| now_ms - watermark_ms > late_after_ms);
        context.clock.set_speed(if is_late { (self.speed / SLOWER).max(1) } else { self.speed });
    }
}

/// A healthy cut is younger, on the machine's clock: the wait for silent siblings, a cut and its commit.
const LATE_AFTER: Duration = Duration::from_millis(500);
/// By how much the clock is slowed down: it may not stand still, since what is silent is known by the time that passes.
const SLOWER: u32 = 20;

/// The market, its buyer's subscription and the wires between.
struct World {
    market: Market,
    scenario: Scenario,
    seed: u64,
    codec: Codec,
    sender: Sender,
    buyer: SourceConsumer,
    payload: Vec<u8>,
    start_ms: Millis,
    flight_ms: Millis,
    /// Up to here the market has been played.
    until_ms: Millis,
    told: Told,
}

/// What the terminal has shown already.
#[derive(Default)]
struct Told {
    commands: BTreeSet<String>,
    alerts: BTreeSet<(String, String)>,
    alerts_opened: BTreeSet<String>,
    /// Those of them that only say that data came late.
    data_gaps: BTreeSet<String>,
    /// Proposals and what has become of them.
    proposals: BTreeMap<String, String>,
}

impl World {
    fn open(context: &Context, seed: u64, policy: String, start_ms: Millis, flight_ms: Millis) -> Outcome<Self> {
        let scenario = Scenario::demo(seed, start_ms, flight_ms);
        let topics = &context.settings.topics;
        let connection = connect(&context.settings, "demo");
        let membership = Membership { group: "demo-ad-buyer".into(), instance: None };
        let buyer = SourceConsumer::join(&connection, &membership, &[&topics.adjustments, &topics.desired_state])?;
        let mut world = Self {
            market: Market::new(scenario.clone(), seed),
            scenario,
            seed,
            codec: Codec::fixed(),
            sender: Sender::start(&connection)?,
            buyer,
            payload: Vec::new(),
            start_ms,
            flight_ms,
            until_ms: start_ms,
            told: Told::default(),
        };
        let now_ms = context.clock.now_ms();
        let policy = PolicyVersion {
            name: service::POLICY_NAME.into(),
            version: 1,
            body: policy,
            author: "demo".into(),
            applied_at: now_ms,
            ..PolicyVersion::default()
        };
        world.fact(&topics.policy, &Fact::PolicyVersion(Box::new(policy)), now_ms)?;
        for spec in world.scenario.specs() {
            world.fact(&topics.campaigns, &Fact::CampaignSpec(Box::new(spec)), now_ms)?;
        }
        world.sender.flush(FLUSH_LIMIT)?;
        Ok(world)
    }

    fn play(&mut self, context: &Context, end_ms: Millis, speed: u32) -> Outcome {
        let mut table_at = Instant::now();
        let mut governor = Governor::new(speed);
        while !context.stop.is_asked() {
            let turn = Instant::now();
            governor.steer(context);
            let now_ms = context.clock.now_ms().min(end_ms);
            self.obey(context, now_ms)?;
            self.emit(context, now_ms)?;
            self.report_back(context, now_ms)?;
            self.tell(context);
            if table_at.elapsed() >= TABLE_EVERY {
                table_at = Instant::now();
                table(context, now_ms);
            }
            self.until_ms = now_ms;
            if now_ms >= end_ms {
                break;
            }
            std::thread::sleep(TURN.saturating_sub(turn.elapsed()));
        }
        Ok(())
    }

    /// Reads commands and leases from the topics, as any subscriber would.
    fn obey(&mut self, context: &Context, now_ms: Millis) -> Outcome {
        while let Some(life) = self.buyer.poll_life() {
            match life {
                Life::Assigned(places) => self.buyer.begin(places.into_iter().map(|place| (place, 0)).collect())?,
                Life::Revoked(_) | Life::Lost(_) => self.buyer.release()?,
                Life::Failed(failure) => return Err(failure.error.into()),
            }
        }
        let batch = self.buyer.next_batch(1_000, Duration::ZERO);
        for record in batch.iter() {
            let payload = record.payload.unwrap_or_default();
            if record.source == 0 {
                if let Ok(command) = context.codec.adjustment(payload) {
                    self.market.buyer_mut().receive(&command, now_ms);
                }
            } else if let Ok(desired) = context.codec.desired_state(payload) {
                self.market.buyer_mut().receive_desired(&desired, now_ms);
            }
        }
        Ok(())
    }

    fn emit(&mut self, context: &Context, now_ms: Millis) -> Outcome {
        let Self { market, codec, sender, payload, .. } = self;
        let topics = &context.settings.topics;
        let mut failed = Ok(());
        market.advance(now_ms, &mut |emitted: Emitted<'_>| {
            if failed.is_ok() {
                failed = send(codec, sender, topics.event(emitted.record.kind()), payload, &emitted.record, now_ms);
            }
        });
        failed
    }

    fn report_back(&mut self, context: &Context, now_ms: Millis) -> Outcome {
        for fact in self.market.take_feedback(now_ms) {
            self.fact(&context.settings.topics.feedback, &fact, now_ms)?;
        }
        Ok(())
    }

    fn fact(&mut self, topic: &str, fact: &Fact, at_ms: Millis) -> Outcome {
        let payload =
            self.codec.encode_fact(fact).map_err(|error| Failure::failed(format!("encoding a fact: {error}"), ""))?;
        let key = fact.account_id().unwrap_or("global").to_owned();
        Ok(self.sender.send(topic, Some(0), Some(key.as_bytes()), Some(&payload), Some(at_ms))?)
    }

    /// Lines for what is new: commands and alerts.
    fn tell(&mut self, context: &Context) {
        for command in context.published.adjustments().iter().rev() {
            if self.told.commands.insert(command.command_id.clone()) {
                let value = command
                    .value_micros
                    .map(|micros| format!(" {}", money(micros, &command.currency)))
                    .unwrap_or_default();
                eprintln!(
                    "{}  {:<16} {}{}  {}: {}",
                    time(command.issued_at),
                    command.campaign_id,
                    command.kind,
                    value,
                    command.reason,
                    command.explanation.text
                );
            }
        }
        for proposal in context.published.proposals().iter().rev() {
            let (id, state) = (&proposal.command_id, &proposal.state);
            if !WORDS_OF_PROPOSALS.iter().any(|(known, _)| known == state) || self.told.proposals.get(id) == Some(state)
            {
                continue;
            }
            self.told.proposals.insert(id.clone(), state.clone());
            eprintln!("{}", proposal_line(proposal, context.clock.now_ms()));
        }
        let mut fresh = Vec::new();
        for alert in context.published.alerts().into_iter().rev() {
            if self.told.alerts.insert((alert.alert_id.clone(), alert.state.clone())) {
                self.told.alerts_opened.insert(alert.alert_id.clone());
                if alert.kind == "data_gap" {
                    self.told.data_gaps.insert(alert.alert_id.clone());
                }
                fresh.push(alert);
            }
        }
        alert_lines(&fresh).iter().for_each(|line| eprintln!("{line}"));
    }

    fn summary(&self, seed: u64, wall_seconds: f64) -> Value {
        let mut alone = Market::new(self.scenario.clone(), self.seed);
        alone.advance(self.until_ms, &mut |_: Emitted<'_>| {});
        let with = self.market.totals();
        let left_alone = alone.totals();
        let counts = self.market.buyer().counts();
        json!({
            "seed": seed,
            "events": self.market.events(),
            "wall_seconds": wall_seconds,
            "market_ms": self.until_ms.saturating_sub(self.start_ms),
            "flight_ms": self.flight_ms,
            "commands_issued": self.told.commands.len(),
            "commands_applied": counts.applied,
            "proposals_made": self.told.proposals.len(),
            "proposals_approved": self.told.proposals.values().filter(|state| *state == "approved").count(),
            "alerts_opened": self.told.alerts_opened.len(),
            "data_gaps": self.told.data_gaps.len(),
            "campaigns": campaigns(&with, &left_alone),
            "with": measures(&with),
            "without": measures(&left_alone),
        })
    }
}

/// What a person is told of a proposal, by its state. What only observing campaigns would have done is not told.
const WORDS_OF_PROPOSALS: [(&str, &str); 4] = [
    ("proposed", "waits for your yes on the dashboard, under Proposals"),
    ("approved", "approved"),
    ("rejected", "rejected, by a person or the guard"),
    ("expired", "nobody decided in time: nothing was done"),
];

fn proposal_line(proposal: &Adjustment, now_ms: Millis) -> String {
    let words = WORDS_OF_PROPOSALS.iter().find(|(state, _)| *state == proposal.state).map_or("", |(_, words)| words);
    let value = proposal.value_micros.map(|micros| format!(" {}", money(micros, &proposal.currency)));
    let (kind, value) = (&proposal.kind, value.unwrap_or_default());
    let why = match proposal.state.as_str() {
        "proposed" => format!("{}; {words}", proposal.explanation.text.trim_end_matches('.')),
        _ => words.to_owned(),
    };
    format!("{}  {:<16} PROPOSAL {kind}{value}  {why}", time(now_ms), proposal.campaign_id)
}

/// A line for each kind, state and instant: what befell all campaigns at once is one thing to read.
fn alert_lines(alerts: &[Alert]) -> Vec<String> {
    let mut groups: Vec<Vec<&Alert>> = Vec::new();
    for alert in alerts {
        let is_of = |other: &Alert| {
            (&other.kind, &other.state, other.updated_at) == (&alert.kind, &alert.state, alert.updated_at)
        };
        match groups.iter_mut().find(|group| is_of(group[0])) {
            Some(group) => group.push(alert),
            None => groups.push(vec![alert]),
        }
    }
    let line = |group: &Vec<&Alert>| {
        let first = group[0];
        let subject = |alert: &Alert| {
            let named = alert.campaign_id.clone().or_else(|| alert.account_id.clone());
            named.unwrap_or_else(|| "all".into())
        };
        let who = if group.len() == 1 { subject(first) } else { format!("{} campaigns", group.len()) };
        let words = match first.state.as_str() {
            // What it began with is no news of its end.
            "resolved" => format!("over after {}", span(first.updated_at.saturating_sub(first.opened_at))),
            _ => first.text.clone(),
        };
        let others = match group.len() {
            1 => String::new(),
            _ => format!("  ({})", group.iter().map(|alert| subject(alert)).collect::<Vec<_>>().join(", ")),
        };
        format!("{}  {who:<16} ALERT {} {}  {words}{others}", time(first.updated_at), first.kind, first.state)
    };
    groups.iter().map(line).collect()
}

/// A time of the market in words.
fn span(ms: Millis) -> String {
    match ms / MINUTE_MS {
        0 => format!("{} s", ms / 1_000),
        minutes @ 1..120 => format!("{minutes} min"),
        minutes => format!("{} h", minutes / 60),
    }
}

fn send(
    codec: &Codec,
    sender: &mut Sender,
    topic: &str,
    payload: &mut Vec<u8>,
    record: &Record<'_>,
    at_ms: Millis,
) -> Outcome {
    encode_event(codec, record, payload)?;
    Ok(sender.send(topic, None, Some(record.key().as_bytes()), Some(payload), Some(at_ms))?)
}

fn measures(totals: &Totals) -> Value {
    json!({
        "spend_micros": totals.spend_micros,
        "budget_micros": totals.budget_micros,
        "overspend_micros": totals.overspend_micros,
        "underspend_micros": totals.underspend_micros,
        "conversions": totals.conversions,
        "value_micros": totals.value_micros,
    })
}

fn campaigns(with: &Totals, without: &Totals) -> Value {
    let rows = with.campaigns.iter().zip(&without.campaigns).map(|(with, without)| {
        json!({
            "campaign_id": with.campaign_id,
            "currency": with.currency,
            "budget_micros": with.budget_micros,
            "with": { "spend_micros": with.spend_micros, "clicks": with.clicks, "conversions": with.conversions },
            "without": { "spend_micros": without.spend_micros, "clicks": without.clicks, "conversions": without.conversions },
        })
    });
    Value::Array(rows.collect())
}

/// What the service knows of each campaign, all of one row as of one instant: the pace is the spend beside the plan.
fn table(context: &Context, now_ms: Millis) {
    eprintln!(
        "{}  {:<16} {:>14} {:>14} {:>14}  {:<9} {:<8} {:>7}",
        time(now_ms),
        "campaign",
        "spent today",
        "planned by now",
        "day's budget",
        "pace",
        "bound by",
        "clicks"
    );
    context.published.campaigns().iter().for_each(|view| eprintln!("{:14}{}", "", table_row(view)));
}

fn table_row(view: &CampaignView) -> String {
    let amount = |micros: Option<i64>| micros.map_or("none".into(), |micros| money(micros, &view.currency));
    format!(
        "{:<16} {:>14} {:>14} {:>14}  {:<9} {:<8} {:>7}",
        view.campaign_id,
        money(view.spend_day_micros, &view.currency),
        amount(view.plan_micros),
        amount(view.budget_day_micros),
        view.pace,
        view.binding,
        view.clicks_day,
    )
}

fn print_summary(summary: &Value) -> Outcome {
    let amount = |side: &str, name: &str| summary[side][name].as_i64().unwrap_or(0);
    say(&format!(
        "{} events in {:.0} s; {} commands issued, {} applied, {} alerts opened",
        summary["events"],
        summary["wall_seconds"].as_f64().unwrap_or(0.0),
        summary["commands_issued"],
        summary["commands_applied"],
        summary["alerts_opened"]
    ))?;
    let (made, approved) =
        (summary["proposals_made"].as_u64().unwrap_or(0), summary["proposals_approved"].as_u64().unwrap_or(0));
    if made > 0 {
        say(&format!("{made} proposals waited for a person, {approved} approved: what nobody approves is not done"))?;
    }
    if let Some(words) = ended_early(summary) {
        say(&words)?;
    }
    say(&format!("{:<12} {:>16} {:>16}", "all in EUR", "with Paceline", "left alone"))?;
    for (word, name) in [
        ("spend", "spend_micros"),
        ("budget", "budget_micros"),
        ("overspend", "overspend_micros"),
        ("underspend", "underspend_micros"),
        ("value", "value_micros"),
    ] {
        say(&format!(
            "{word:<12} {:>16} {:>16}",
            money(amount("with", name), "EUR"),
            money(amount("without", name), "EUR")
        ))?;
    }
    say(&format!(
        "{:<12} {:>16} {:>16}",
        "conversions",
        amount("with", "conversions"),
        amount("without", "conversions")
    ))?;
    let earned = |side: &str| match amount(side, "spend_micros") {
        0 => "N/A (no spend)".to_owned(),
        spend => format!("{:.2}", amount(side, "value_micros") as f64 / spend as f64),
    };
    say(&format!("{:<12} {:>16} {:>16}", "value/spend", earned("with"), earned("without")))?;
    let (gaps, opened) = (summary["data_gaps"].as_u64().unwrap_or(0), summary["alerts_opened"].as_u64().unwrap_or(0));
    if gaps * 2 > opened {
        say(&format!(
            "{gaps} of the {opened} alerts say that data came late, and raises were held meanwhile: the market runs so much faster \
             than the clock that a hitch of half a second counts as minutes; a lower --speed or a quieter machine shows more"
        ))?;
    }
    Ok(())
}

/// What the sums of a part of the flight are worth; `None` of a whole one.
fn ended_early(summary: &Value) -> Option<String> {
    let (market_ms, flight_ms) = (summary["market_ms"].as_i64()?, summary["flight_ms"].as_i64()?);
    (market_ms < flight_ms).then(|| {
        format!(
            "ended early, {} into a flight of {}: the budget below is the part that the market's own traffic gives to this \
             time, which nobody knows beforehand; over- and underspend are judged at the flight's end",
            span(market_ms),
            span(flight_ms)
        )
    })
}

fn time(at_ms: Millis) -> String {
    let seconds = at_ms.div_euclid(1_000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02} UTC", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::output::Explanation;

    fn alert(kind: &str, state: &str, campaign: &str, updated_at: Millis) -> Alert {
        Alert {
            kind: kind.into(),
            state: state.into(),
            campaign_id: Some(campaign.into()),
            updated_at,
            text: "data are 7 min old".into(),
            ..Alert::default()
        }
    }

    #[test]
    fn what_befalls_all_campaigns_at_once_is_one_line_and_an_end_has_words_of_its_own() {
        let opened = alert("data_gap", "opened", "a", HOUR_MS);
        let others = [
            alert("data_gap", "opened", "b", HOUR_MS),
            alert("data_gap", "opened", "a", 2 * HOUR_MS),
            Alert { opened_at: HOUR_MS, ..alert("data_gap", "resolved", "b", HOUR_MS + 12 * MINUTE_MS) },
        ];
        let lines = alert_lines(&[std::slice::from_ref(&opened), &others[..]].concat());
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].contains("2 campaigns") && lines[0].ends_with("data are 7 min old  (a, b)"), "{lines:?}");
        assert!(lines[1].ends_with("data are 7 min old"), "{lines:?}");
        assert!(lines[2].contains("resolved  over after 12 min") && !lines[2].contains("7 min old"), "{lines:?}");
    }

    #[test]
    fn a_proposal_is_told_with_what_is_asked_of_the_person() {
        let proposal = Adjustment {
            campaign_id: "tea-display".into(),
            kind: "set_bid".into(),
            value_micros: Some(1_980),
            currency: "EUR".into(),
            state: "proposed".into(),
            explanation: Explanation {
                text: "Bid up from 0.001800 to 0.001980 EUR: behind.".into(),
                ..Explanation::default()
            },
            ..Adjustment::default()
        };
        let line = proposal_line(&proposal, HOUR_MS);
        assert!(
            line.contains("PROPOSAL set_bid 0.001980 EUR  Bid up from") && line.contains("waits for your yes"),
            "{line}"
        );
        let line = proposal_line(&Adjustment { state: "expired".into(), ..proposal }, HOUR_MS);
        assert!(line.ends_with("nobody decided in time: nothing was done"), "{line}");
    }

    fn wanted(span: &str, speed: u32) -> Demo {
        Demo { span: span.into(), speed, seed: 7, port: 8080, policy: None, json: false }
    }

    #[test]
    fn a_policy_of_ones_own_lies_over_what_the_accelerated_clock_needs() {
        let file = std::env::temp_dir().join(format!("paceline-demo-policy-{}.toml", std::process::id()));
        let with = |text: &str| {
            std::fs::write(&file, text).unwrap();
            policy(Some(&file))
        };
        let body = with("[stage1]\nidle_after_ms = 7000\n[defaults.plan]\nfull_budget_on_first_day = false\n").unwrap();
        let said: toml::Table = body.parse().unwrap();
        assert_eq!(said["stage1"]["idle_after_ms"].as_integer(), Some(7000));
        assert_eq!(said["stage1"]["sibling_skew_ms"].as_integer(), Some(120_000), "the demo's own stays");
        assert_eq!(said["defaults"]["plan"]["full_budget_on_first_day"].as_bool(), Some(false));
        assert!(::policy::settings::check(&body).is_ok() && ::policy::settings::check(DEMO_POLICY).is_ok());
        assert!(with("[defaults.plan]\nno_such_number = 1\n").is_err());
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn a_market_of_more_than_a_year_is_refused_before_anything_starts() {
        assert_eq!(flight_ms(&wanted("120s", 300)).unwrap(), 10 * HOUR_MS);
        for (span, speed) in [("99999999999d", 300), ("106751991167d", 2_000), ("30d", 300), ("0s", 300), ("x", 1)] {
            assert_eq!(flight_ms(&wanted(span, speed)).unwrap_err().kind.exit_code(), 2, "{span}");
        }
    }

    #[test]
    fn a_port_in_use_is_told_in_the_demo_s_own_option() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = http::Endpoint {
            setting: "http.listen",
            address: held.local_addr().unwrap(),
            tls: None,
            routes: axum::Router::new(),
        };
        let words = in_words_of_the_demo(http::serve(vec![endpoint]).unwrap_err(), 8080).to_string();
        assert!(
            words.contains("(--port)") && words.contains("with --port") && !words.contains("http.listen"),
            "{words}"
        );
    }

    #[test]
    fn the_demo_begins_at_the_last_six_o_clock() {
        let six = 1_795_327_200_000; // 2026-11-22T06:00Z
        for (now, begins) in [(six, six), (six - 1, six - DAY_MS), (six + 17 * HOUR_MS, six)] {
            assert_eq!(morning_before(now), begins);
        }
    }
}
