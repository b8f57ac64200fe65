//! `paceline demo`: the whole loop in one process, with nothing installed.
//!
//! The broker is the client library's own in-process one, the market is simulated and its ad buyer obeys the commands it
//! reads from the topics; everything between is the real service. One accelerated clock rules market, record timestamps,
//! cuts and buyer. At the end the same market, same seed, is run again with nobody steering it.

mod summary;
mod told;
mod world;

use super::run::{context, stop_on_signal};
use super::say;
use crate::cli::{Demo, Role};
use crate::clock::Clock;
use crate::failure::{Failure, Outcome};
use crate::http::{self, Shared};
use crate::service;
use crate::service::context::{Context, Stop};
use crate::service::topology::{Topology, needs};
use crate::settings::{Settings, parse_duration_ms};
use crate::telemetry::start_logging;
use avro_codec::Codec;
use kafka_io::MockBroker;
use model::time::{DAY_MS, HOUR_MS, Millis};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use world::World;

/// Partitions of each event topic: two, so that the demo shows what spreading looks like.
const EVENT_PARTITIONS: i32 = 2;
const JOURNAL_PARTITIONS: i64 = 2;
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
    let _ = std::fs::remove_dir_all(&context.settings.state_dir);
    played.and(served)?;
    let summary = summary::of(&world, started.elapsed().as_secs_f64());
    if arguments.json { say(&summary.to_string()) } else { summary::print(&summary) }
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

#[cfg(test)]
mod tests {
    use super::*;

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
