//! `paceline simulate --auction-log`: recorded auctions played again under control.
//!
//! Rows are tab-separated and have no header: clicked (0 or 1), market price, predicted click rate, segment. A row that is
//! none of that ends the command; nothing is skipped in silence.

use super::{say, say_json};
use crate::cli::Output;
use crate::failure::{Failure, Outcome};
use replay::auction_log::{Goal, Report, Row, play};
use serde_json::json;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Reads, plays and prints.
pub fn run(log: &Path, goal: &str, rounds: u32, output: Output) -> Outcome {
    let goal = parse_goal(goal)?;
    let failed = |error: std::io::Error| {
        Failure::failed(format!("cannot read the auction log {}: {error}", log.display()), "give the path of a log")
    };
    let rows = read(log, BufReader::new(File::open(log).map_err(failed)?))?;
    let report = play(&rows, goal, rounds as usize);
    if output == Output::Json { say_json(&json!(report), output) } else { tell(&report) }
}

fn parse_goal(text: &str) -> Outcome<Goal> {
    let (name, number) = text.split_once('=').unwrap_or((text, ""));
    let number = number.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    match (name, number) {
        ("ecpc", Some(number)) => Ok(Goal::Ecpc(number)),
        ("spend", Some(number)) => Ok(Goal::Spend(number)),
        _ => Err(Failure::failed(format!("the goal {text} is none"), "give ecpc=X or spend=B, a number above 0")),
    }
}

fn read(log: &Path, source: impl BufRead) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for (at, line) in source.lines().enumerate() {
        let wrong = |what: &str| {
            let words = format!("line {} of the auction log {}: {what}", at + 1, log.display());
            Failure::failed(
                words,
                "rows are: clicked (0 or 1), market price, predicted click rate, segment; tab-separated",
            )
        };
        let line = line.map_err(|error| wrong(&error.to_string()))?;
        if line.is_empty() {
            continue;
        }
        rows.push(parse_row(&line).map_err(wrong)?);
    }
    if rows.is_empty() {
        let words = format!("the auction log {} is empty", log.display());
        return Err(Failure::failed(words, "give a log with at least one row"));
    }
    Ok(rows)
}

fn parse_row(line: &str) -> Result<Row, &'static str> {
    let mut fields = line.split('\t');
    let clicked = match fields.next() {
        Some("0") => false,
        Some("1") => true,
        _ => return Err("clicked is neither 0 nor 1"),
    };
    let price = fields.next().and_then(|field| field.parse().ok()).filter(|price| (0..=PRICE_MAX).contains(price));
    let rate = fields.next().and_then(|field| field.parse().ok()).filter(|rate| (0.0..=1.0).contains(rate));
    let price = price.ok_or("the market price is no whole number from 0")?;
    Ok(Row { clicked, price, rate: rate.ok_or("the predicted click rate is no number from 0 to 1")? })
}

/// A thousand billion: sums of a log of millions stay inside an i64.
const PRICE_MAX: i64 = 1_000_000_000_000;

fn tell(report: &Report) -> Outcome {
    say("round  multiplier      wins  clicks          cost          ecpc")?;
    for round in &report.rounds {
        let ecpc = round.ecpc.map_or("-".into(), |ecpc| format!("{ecpc:.1}"));
        say(&format!(
            "{:>5} {:>11.4} {:>9} {:>7} {:>13} {:>13}",
            round.round, round.multiplier, round.wins, round.clicks, round.cost, ecpc
        ))?;
    }
    let rmse = report.steady_state_rmse.map_or("-".into(), |rmse| format!("{rmse:.4}"));
    say(&format!(
        "goal {}: settled at round {} of {}, overshoot {:.4}, steady state rmse {rmse}",
        report.goal,
        report.settling_round,
        report.rounds.len(),
        report.overshoot
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_clicked_price_rate_segment() {
        assert_eq!(parse_row("1\t77\t0.00125\tsports"), Ok(Row { clicked: true, price: 77, rate: 0.00125 }));
        for wrong in ["", "2\t77\t0.1", "0\t-1\t0.1", "0\t7.5\t0.1", "0\t7", "0\t7\tNaN", "0\t7\t1.5"] {
            assert!(parse_row(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_mistake_names_its_line_and_a_goal_its_form() {
        let Err(failure) = read(Path::new("log"), &b"0\t7\t0.1\tx\n0,7,0.1\n"[..]) else { panic!("a comma passed") };
        assert!(format!("{failure:?}").contains("line 2"), "{failure:?}");
        assert!(matches!(parse_goal("ecpc=40000"), Ok(Goal::Ecpc(_))));
        assert!(matches!(parse_goal("spend=5e6"), Ok(Goal::Spend(_))));
        assert!(["ecpc", "ecpc=0", "cpa=4", "ecpc=NaN"].iter().all(|goal| parse_goal(goal).is_err()));
    }
}
