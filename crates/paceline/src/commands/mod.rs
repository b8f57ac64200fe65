//! What each command does; one file a command or family.

pub mod analyze;
mod ask;
mod auction_log;
mod bench;
mod campaigns;
mod check;
mod config;
mod conformance;
pub mod dead_letters;
mod demo;
mod export;
mod generate;
mod halt;
pub mod history;
mod import;
pub mod mask;
mod policy;
mod proposals;
mod replay;
mod report;
mod rules;
pub mod run;
mod simulate;
mod specified;
mod states;
mod tap;
mod token;
mod topics;
mod verify;
mod why;
mod wire;

pub use halt::{REASON_CHARS_MAX, leave_file as leave_halt_file, parse_scope};
pub use proposals::specification;
pub use why::is_other_half;

use crate::cli::{Command, Output, handbook};
use crate::failure::{Failure, Outcome};
use crate::service::topology::ANSWER_LIMIT;
use crate::settings::Settings;
use kafka_io::{Admin, Connection, Sender};
use std::io::Write;

/// Runs a command.
pub fn dispatch(command: Command) -> Outcome {
    match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Config(command) => config::run(&command),
        Command::Topics(command) => topics::run(&command),
        Command::Campaigns(command) => campaigns::run(&command),
        Command::Policy(command) => policy::run(&command),
        Command::Rules(command) => rules::run(&command),
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Tap(arguments) => tap::run(&arguments),
        Command::Halt(arguments) => halt::run(&arguments, "set"),
        Command::Release(arguments) => halt::run(&arguments, "release"),
        Command::DeadLetters(command) => dead_letters::run(&command),
        Command::Proposals(command) => proposals::run(&command),
        Command::Token(command) => token::run(&command),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Why(arguments) => why::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Analyze(command) => analyze::run(&command),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Conformance(arguments) => conformance::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut handbook::command(), "paceline", &mut script);
            say(String::from_utf8_lossy(&script).trim_end())
        }
        Command::Man { out } => handbook::write_pages(&out).map_err(|error| {
            let advice = "name a folder that can be written with --out";
            Failure::failed(format!("cannot write pages to {}: {error}", out.display()), advice)
        }),
    }
}

/// A connection under a client id that names the part of the program.
pub fn connect(settings: &Settings, part: &str) -> Connection {
    Connection {
        brokers: settings.brokers.clone(),
        properties: settings.kafka_properties.clone(),
        client_id: format!("paceline-{}-{part}", settings.slot),
    }
}

/// A plain producer, once the cluster has answered: who is away or refuses is told in seconds, not at a time-out.
pub fn sender(connection: &Connection) -> Outcome<Sender> {
    Admin::connect(connection, ANSWER_LIMIT)?;
    Ok(Sender::start(connection)?)
}

/// Without what a terminal would obey: an id with a line's end in it must not look like two lines.
pub fn printable(text: &str) -> String {
    let shown =
        |letter: char| if letter.is_control() { letter.escape_default().to_string() } else { letter.to_string() };
    text.chars().map(shown).collect()
}

/// Writes a line to stdout; a reader that has gone away ends the command in silence, as a pipe should.
pub fn say(line: &str) -> Outcome {
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::failed(format!("cannot write to stdout: {error}"), "")),
    }
}

/// Prints a JSON document.
pub fn say_json(value: &serde_json::Value, output: Output) -> Outcome {
    match output {
        Output::Json => say(&value.to_string()),
        Output::Text => say(&serde_json::to_string_pretty(value).unwrap_or_default()),
    }
}

/// Who gives a command: the login name, or a word that says it is unknown.
pub fn actor(given: Option<&str>) -> String {
    given
        .map(str::to_owned)
        .or_else(|| std::env::var("USER").ok())
        .or_else(|| std::env::var("LOGNAME").ok())
        .unwrap_or_else(|| "unknown".into())
        .chars()
        .take(ACTOR_CHARS_MAX)
        .collect()
}

/// Longer than any name; a record with a text above 4 kB would be refused.
const ACTOR_CHARS_MAX: usize = 200;
