//! What the command line says about itself beyond its arguments: an example for each command, completions for shells,
//! pages for `man`.
//!
//! What always holds: every command that does something has an example, a group shows those of its commands, and every
//! example is a command line that is understood (tested). Examples stand here and not beside the arguments, so that they can be read one after the other.

use super::Cli;
use clap::{Command, CommandFactory};
use std::io;
use std::path::Path;

/// Command, what the example does, the example.
const EXAMPLES: &[(&str, &str, &str)] = &[
    ("demo", "Two minutes on http://127.0.0.1:8080/, then the summary", "paceline demo"),
    (
        "demo",
        "Two and a half of its days under your own rules and experiments",
        "paceline demo --for 12m --policy mine.toml",
    ),
    ("demo", "Half a minute of another market, for a script", "paceline demo --for 30s --seed 11 --json"),
    ("run", "Both stages", "paceline run --config paceline.toml"),
    ("run", "Stage 1 alone, on a machine of its own", "paceline run --config paceline.toml --role aggregator"),
    ("check", "Before the first start and in CI", "paceline check --config paceline.toml"),
    ("config show", "Where did this value come from?", "paceline config show --config paceline.toml --origin"),
    ("topics plan", "What would be created, and who needs which permission", "paceline topics plan --replication 3"),
    ("topics apply", "Create what is missing", "paceline topics apply --event-partitions 12 --replication 3"),
    ("campaigns apply", "Check two files and publish them", "paceline campaigns apply search.toml display.csv"),
    ("policy apply", "Check it and publish it as the next version", "paceline policy apply policy.toml"),
    ("policy show", "What is in force?", "paceline policy show"),
    ("policy check", "Validate, publish nothing", "paceline policy check policy.toml"),
    ("rules check", "Are they complete, and which are there?", "paceline rules check policy.toml"),
    ("rules test", "The rules' own tests, in CI", "paceline rules test policy.toml"),
    ("rules preview", "What would they have done?", "paceline rules preview policy.toml --files journal"),
    ("generate", "A load of 500 events a second", "paceline generate --rate 500 --for 5m --campaigns 20"),
    (
        "import",
        "Last month as if it were last week",
        "paceline import --map columns.toml --shift-weeks auto events.csv",
    ),
    ("import", "Files that have our field names already", "paceline import --kind clicks clicks.jsonl"),
    (
        "tap",
        "A campaign's commands since an instant, the oldest first",
        "paceline tap ads.adjustments --key spring-display --from 2026-11-20T00:00:00Z",
    ),
    ("tap", "What do records of this topic look like?", "paceline tap ads.kpis --max 1"),
    ("why", "Why was this command given?", "paceline why 1c9c8d4cb70e4947a5039490655a686f"),
    (
        "why",
        "Why did this campaign get none at that time?",
        "paceline why --campaign spring-display --at 2026-11-20T09:00:00Z",
    ),
    ("verify", "One day", "paceline verify --from 2026-11-20T00:00:00Z --to 2026-11-21T00:00:00Z"),
    (
        "replay",
        "Another policy beside a recorded run",
        "paceline replay --journal --files journal --policy new.toml --compare run --out run-new",
    ),
    ("replay", "A month that may be interrupted", "paceline replay --journal --files journal --resume --out run"),
    (
        "replay",
        "Alerts beside known troubles",
        "paceline replay --journal --files journal --rehearse --labels troubles.csv --out rehearsal",
    ),
    ("replay", "Which policy is worth an experiment?", "paceline replay --sweep sweep.toml --out sweep"),
    (
        "report",
        "November, for one client of an agency",
        "paceline report --from 2026-11-01 --to 2026-12-01 --account acme --title \"Acme, November\" --out acme-november.html",
    ),
    ("report", "Everything in an export, without a broker", "paceline report --files journal --out report"),
    ("export", "The journal, for replays", "paceline export journal --out journal"),
    (
        "export",
        "November's KPI rows for a spreadsheet",
        "paceline export kpis --format csv --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z --out november.csv",
    ),
    ("halt", "One account", "paceline halt --scope account=acme --reason \"wrong prices\""),
    ("halt", "One campaign", "paceline halt --scope campaign=acme/spring-display --reason \"landing page is down\""),
    ("release", "The same account", "paceline release --scope account=acme --reason \"prices corrected\""),
    (
        "dead-letters list",
        "What was refused since midnight UTC?",
        "paceline dead-letters list --from 2026-11-20T00:00:00Z",
    ),
    (
        "dead-letters retry",
        "After the schema was registered",
        "paceline dead-letters retry --reason unknown_schema --dry-run",
    ),
    ("proposals list", "What waits for a person", "paceline proposals list"),
    ("proposals approve", "Say yes", "paceline proposals approve a092235bd471e70649bfb5badeace740 --reason seen"),
    ("proposals reject", "Say no", "paceline proposals reject a092235bd471e70649bfb5badeace740 --reason \"too early\""),
    (
        "proposals undo",
        "Ask for the bid before this command again",
        "paceline proposals undo 1c9c8d4cb70e4947a5039490655a686f --reason \"wrong season\"",
    ),
    ("token new", "For who decides proposals", "paceline token new --role approver --name ann"),
    (
        "simulate",
        "Twenty markets of one trial",
        "paceline simulate --scenario crates/market/trials/s1-*.toml --seeds 20",
    ),
    (
        "analyze attribute",
        "Credit by removal effects",
        "paceline analyze attribute --input journeys.csv --model markov",
    ),
    ("analyze experiment", "May we stop now?", "paceline analyze experiment --input arms.csv"),
    (
        "analyze delay",
        "Conversions that are still to come",
        "paceline analyze delay --input clicks.csv --as-of 2026-11-20",
    ),
    ("analyze allocate", "The best split of a budget", "paceline analyze allocate --input curves.json"),
    ("analyze ltv", "Purchases of the next year", "paceline analyze ltv --input customers.csv --predict 52"),
    (
        "analyze detect",
        "Anomalies of a price, a series for each campaign",
        "paceline analyze detect --input cpc.csv --timestamp-column time --value-column cpc --key-column campaign",
    ),
    ("conformance", "Your own subscriber", "paceline conformance --adapter \"python3 adapter.py\""),
    (
        "bench",
        "Four million events, on a broker that may be loaded",
        "paceline bench --brokers 127.0.0.1:9092 --events 4000000",
    ),
    (
        "completions",
        "For bash: write it to where bash looks, as ~/.local/share/bash-completion/completions/paceline",
        "paceline completions bash",
    ),
    ("man", "All pages; then `man man/paceline.1`", "paceline man --out man"),
];

/// What the whole says at its end.
const FIRST_STEPS: &str = "First steps:
  paceline demo                                  everything at once, without Kafka: http://127.0.0.1:8080/
  paceline topics apply                          with your own Kafka: what is missing is created
  paceline campaigns apply campaigns.toml        campaigns are only observed until they say otherwise
  paceline check                                 says all that is wrong, and what to do
  paceline run                                   the service; its page is on http://127.0.0.1:8080/
  paceline why --campaign spring-display         why a campaign got no command

Settings come from built-in defaults, files (-c FILE) and variables (PACELINE__KAFKA__BROKERS=host:9092 sets
kafka.brokers), later ones win; `paceline config show --origin` says which. Exit codes: 0 done, 1 failed, 2 wrong
arguments, 3 a difference was found, 75 may pass by itself, 78 a person must change something.";

/// The command line with its examples.
pub fn command() -> Command {
    exemplified(Cli::command(), "").after_help(FIRST_STEPS)
}

/// Writes a page for each command into a folder, which is created.
pub fn write_pages(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command(), folder)
}

fn exemplified(command: Command, path: &str) -> Command {
    let own =
        EXAMPLES.iter().filter(|(of, ..)| *of == path || (!path.is_empty() && of.starts_with(&format!("{path} "))));
    let examples: Vec<_> = own.collect();
    let command = if examples.is_empty() {
        command
    } else {
        let lines = examples.iter().map(|(_, what, line)| format!("\n  {line}\n      {what}"));
        command.after_help(format!("Examples:{}", lines.collect::<String>()))
    };
    command.mut_subcommands(|child| {
        let path = format!("{path} {}", child.get_name());
        exemplified(child, path.trim_start())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn every_command_has_an_example() {
        let mut paths = Vec::new();
        leaves(&Cli::command(), "", &mut paths);
        for path in &paths {
            assert!(EXAMPLES.iter().any(|(of, ..)| of == path), "{path} has no example");
        }
        for (path, ..) in EXAMPLES {
            assert!(paths.iter().any(|of| of == path), "{path} is no command");
        }
    }

    #[test]
    fn every_example_is_understood_and_of_its_command() {
        for (path, _, line) in EXAMPLES {
            let quoted = line.split('"').enumerate();
            let words = quoted.flat_map(|(at, part)| match at % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
                _ => vec![part.to_owned()],
            });
            let words: Vec<_> = words.collect();
            assert!(line.starts_with(&format!("paceline {path}")), "{line} is not of {path}");
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn the_help_ends_with_its_examples() {
        let help = command().find_subcommand_mut("why").expect("a command").render_long_help().to_string();
        assert!(help.contains("Examples:\n  paceline why 1c9c"), "{help}");
        let group = command().find_subcommand_mut("rules").expect("a group").render_long_help().to_string();
        assert!(group.contains("paceline rules check") && group.contains("paceline rules preview"), "{group}");
    }

    #[test]
    fn the_first_steps_are_understood() {
        let lines = FIRST_STEPS.lines().filter_map(|line| line.strip_prefix("  paceline "));
        for line in lines {
            let words = line.split("  ").next().unwrap_or_default();
            let asked = std::iter::once("paceline").chain(words.split_whitespace());
            if let Err(error) = Cli::try_parse_from(asked) {
                panic!("{line}: {error}");
            }
        }
        assert!(FIRST_STEPS.lines().all(|line| line.len() <= 120));
    }

    fn leaves(command: &Command, path: &str, into: &mut Vec<String>) {
        let children: Vec<_> = command.get_subcommands().filter(|child| child.get_name() != "help").collect();
        if children.is_empty() {
            into.push(path.to_owned());
        }
        for child in children {
            leaves(child, format!("{path} {}", child.get_name()).trim_start(), into);
        }
    }
}
