//! Prints what the demonstration's campaigns come to when nobody controls them: `market_day [seed] [hours]`.

use market::{Emitted, Market, Scenario};
use model::time::HOUR_MS;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<i64>());
    let seed = arguments.next().and_then(Result::ok).unwrap_or(1);
    let hours = arguments.next().and_then(Result::ok).unwrap_or(10).max(1);
    // A Tuesday, 06:00 UTC; no clock is read, so the table is the same every time.
    let start = 1_767_679_200_000;
    let mut market = Market::new(Scenario::demo(seed as u64, start, hours * HOUR_MS), seed as u64);
    market.advance(start + hours * HOUR_MS, &mut |_: Emitted<'_>| {});
    let totals = market.totals();
    let units = |micros: i64| micros as f64 / 1e6;
    println!(
        "{:<16} {:>3} {:>10} {:>10} {:>6} {:>9} {:>7} {:>6} {:>11}",
        "campaign", "", "budget", "spend", "ratio", "shown", "clicks", "conv.", "value"
    );
    for row in &totals.campaigns {
        let ratio = row.spend_ratio_ppm().map_or("-".to_owned(), |ppm| format!("{:.2}", ppm as f64 / 1e6));
        println!(
            "{:<16} {:>3} {:>10.2} {:>10.2} {:>6} {:>9} {:>7} {:>6} {:>11.2}",
            row.campaign_id,
            row.currency,
            units(row.budget_micros),
            units(row.spend_micros),
            ratio,
            row.impressions,
            row.clicks,
            row.conversions,
            units(row.value_micros)
        );
    }
    println!(
        "{} events in {hours} h; in EUR: spend {:.2} of {:.2}, over {:.2}, under {:.2}, value {:.2}",
        market.events(),
        units(totals.spend_micros),
        units(totals.budget_micros),
        units(totals.overspend_micros),
        units(totals.underspend_micros),
        units(totals.value_micros)
    );
}
