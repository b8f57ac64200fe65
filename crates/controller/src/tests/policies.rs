//! Whatever policy is accepted: no panic, no command out of the specification's bounds, the same state from a snapshot.

use super::world::*;
use crate::Controller;
use model::fact::*;
use model::time::{HOUR_MS, MINUTE_MS, Millis};
use policy::settings::check;
use proptest::prelude::*;
use std::sync::LazyLock;

/// Every number of the default policy, by its place, and whether it has a fraction.
static NUMBERS: LazyLock<Vec<(String, bool)>> = LazyLock::new(|| {
    let mut section = "";
    let mut numbers = Vec::new();
    for line in include_str!("../../../../deploy/policy/default.toml").lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, value)) = line.split_once(" = ")
            && value.starts_with(|first: char| first.is_ascii_digit())
            && !key.starts_with('#')
        {
            numbers.push((format!("{section}.{key}"), value.contains('.')));
        }
    }
    numbers
});

/// What a number is changed to: the ends of what a type holds, and what units are easily mixed up.
const WHOLE: [i64; 10] = [0, 1, 2, 999, 60_001, 86_400_000, 1_000_000, 2_147_483_647, i64::MAX / 2, i64::MAX];
const FRACTIONS: [f64; 9] = [0.0, 1e-300, 1e-6, 0.5, 0.999_999, 1.0, 2.0, 1e9, 1e300];

/// A policy with these numbers changed, those left out that are refused.
fn body(changes: &[(usize, usize)]) -> String {
    let mut body = String::new();
    for (at, pick) in changes {
        let (name, has_fraction) = &NUMBERS[at % NUMBERS.len()];
        let line = match has_fraction {
            true => format!("{name} = {:?}\n", FRACTIONS[pick % FRACTIONS.len()]),
            false => format!("{name} = {}\n", WHOLE[pick % WHOLE.len()]),
        };
        let longer = format!("{body}{line}");
        // Twice the same place is no policy either.
        if check(&longer).is_ok() {
            body = longer;
        }
    }
    body
}

fn campaign(name: &str, budget: Option<i64>, strategy: &str) -> CampaignSpec {
    CampaignSpec {
        daily_budget_micros: budget,
        flight_budget_micros: (name == "c").then_some(900_000_000),
        flight_end: (name == "c").then_some(MONDAY + 40 * HOUR_MS),
        bid_strategy: strategy.into(),
        target_cpa_micros: (strategy == "target_cpa").then_some(10_000_000),
        bid_micros: 500_000,
        bid_min_micros: 50_000,
        bid_max_micros: 5_000_000,
        bid_step_micros: 1_000,
        portfolio_id: (name != "b").then(|| "pool".into()),
        ..spec(name, 1)
    }
}

/// Three campaigns of a pool spend what is said under a policy, obeyed at once.
fn play(body: &str, spends: &[i64]) -> Result<(), TestCaseError> {
    let mut world = World::new();
    let policy = PolicyVersion { name: "default".into(), version: 1, body: body.into(), ..PolicyVersion::default() };
    let pool = EntitySpec {
        entity_id: "pool".into(),
        account_id: "acme".into(),
        kind: "portfolio".into(),
        version: 1,
        status: "active".into(),
        currency: "EUR".into(),
        daily_budget_micros: Some(300_000_000),
        ..EntitySpec::default()
    };
    let mut facts = vec![
        Fact::PolicyVersion(Box::new(policy)),
        Fact::EntitySpec(Box::new(pool)),
        specified(campaign("a", Some(100_000_000), "max_clicks")),
        specified(campaign("b", Some(20_000_000), "max_conversions")),
        specified(campaign("c", None, "target_cpa")),
    ];
    let mut now: Millis = MONDAY + 5 * HOUR_MS;
    for (step, spend) in spends.iter().enumerate() {
        let at = now - MINUTE_MS;
        let rows = ["a", "b", "c"].map(|name| touches(name, at, 200, 1 + spend % 7, *spend));
        let mut rows = rows.to_vec();
        rows.push(credit("c", at, at - HOUR_MS, 1_000_000, 12_000_000));
        let outputs = world.feed(now, &rows, &std::mem::take(&mut facts));
        for command in &outputs.adjustments {
            if command.kind == "set_bid" {
                let value = command.value_micros.unwrap_or(-1);
                prop_assert!((50_000..=5_000_000).contains(&value), "a bid of {value} under\n{body}");
            }
            facts.push(applied(command));
        }
        now += if step % 17 == 16 { 50 * MINUTE_MS } else { 2 * MINUTE_MS };
    }
    let bytes = world.controller.snapshot();
    let again = Controller::restore(setup(), &bytes).expect("what it wrote it reads");
    prop_assert!(again.snapshot() == bytes, "another state from the snapshot under\n{body}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_accepted_policy_cannot_end_the_service(
        changes in prop::collection::vec((any::<usize>(), any::<usize>()), 1..40),
        spends in prop::collection::vec(prop_oneof![3 => 0..20_000_000_i64, 1 => 0..2_000_000_000_i64], 20..150),
    ) {
        play(&body(&changes), &spends)?;
    }
}
