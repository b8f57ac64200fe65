//! The demo's last word: what the market cost and earned with the service, and left alone.

use super::told::span;
use super::world::World;
use crate::commands::say;
use crate::failure::Outcome;
use market::{Emitted, Market, Totals};
use policy::explain::amount as money;
use serde_json::{Value, json};

/// The sums of the market so far, and of the same market, same seed, with nobody steering it.
pub fn of(world: &World, wall_seconds: f64) -> Value {
    let mut alone = Market::new(world.scenario.clone(), world.seed);
    alone.advance(world.until_ms, &mut |_: Emitted<'_>| {});
    let with = world.market.totals();
    let left_alone = alone.totals();
    let counts = world.market.buyer().counts();
    json!({
        "seed": world.seed,
        "events": world.market.events(),
        "wall_seconds": wall_seconds,
        "market_ms": world.until_ms.saturating_sub(world.start_ms),
        "flight_ms": world.flight_ms,
        "commands_issued": world.told.commands.len(),
        "commands_applied": counts.applied,
        "proposals_made": world.told.proposals.len(),
        "proposals_approved": world.told.proposals.values().filter(|state| *state == "approved").count(),
        "alerts_opened": world.told.alerts_opened.len(),
        "data_gaps": world.told.data_gaps.len(),
        "campaigns": campaigns(&with, &left_alone),
        "with": measures(&with),
        "without": measures(&left_alone),
    })
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

/// The same in words, on stdout.
pub fn print(summary: &Value) -> Outcome {
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
