//! Whether a specification makes sense: what is wrong with it, and what will surprise its owner.
//!
//! A mistake is what would be refused, or what a campaign in mode `auto` could not be steered by: it is sent by nobody.
//! A warning is what is taken as it stands, but does less than its owner may think. Each says what, why, and what to do.
//!
//! What is missing on purpose: whether a platform has a profile, and whether other members of a shared budget agree;
//! the policy and the other specifications are in the cluster.

use model::fact::CampaignSpec;
use model::time::Millis;
use policy::composition::bid_ceiling_micros;

/// What is to be said of one specification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Nothing is sent while there is one.
    pub mistakes: Vec<String>,
    /// Sent all the same.
    pub warnings: Vec<String>,
}

/// Channels that the documents name; others are taken, since the set is open.
const CHANNELS: [&str; 11] =
    ["search", "social", "display", "video", "native", "email", "affiliate", "audio", "shopping", "owned", "other"];
/// Attribution models that a campaign can be steered by.
const MODELS_STEERING: [&str; 2] = ["last", "linear"];

/// Looks at all of it, so that everything is told at once.
pub fn check(spec: &CampaignSpec, now_ms: Millis) -> Said {
    let mut said = Said::default();
    identity(spec, &mut said);
    words(spec, &mut said);
    numbers(spec, &mut said);
    times(spec, now_ms, &mut said);
    // The rest reads words that must be right first.
    if said.mistakes.is_empty() {
        steering(spec, &mut said);
        unread(spec, &mut said);
    }
    said
}

impl Said {
    fn mistake(&mut self, text: impl Into<String>) {
        self.mistakes.push(text.into());
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }
}

fn identity(spec: &CampaignSpec, said: &mut Said) {
    for (name, value) in
        [("campaign_id", &spec.campaign_id), ("account_id", &spec.account_id), ("channel", &spec.channel)]
    {
        if value.is_empty() || value.len() > 256 {
            said.mistake(format!("{name} has {} bytes; give it 1 to 256", value.len()));
        }
        if value.chars().any(char::is_control) {
            said.mistake(format!("{name} {value:?} has a control character, which no list can show; write it without"));
        }
    }
    if spec.currency.len() != 3 || !spec.currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        said.mistake(format!("currency {:?} is not an ISO 4217 code; write for example EUR", spec.currency));
    }
    if !spec.channel.is_empty() && !CHANNELS.contains(&spec.channel.as_str()) {
        said.warn(format!(
            "channel {:?} is none of {}; it is taken as it stands, and shares start values with campaigns of the same word only: check the spelling",
            spec.channel,
            CHANNELS.join(", ")
        ));
    }
}

fn words(spec: &CampaignSpec, said: &mut Said) {
    const CONTROLS: &[&str] = &["none", "paceline", "platform"];
    let words: [(&str, &str, &[&str]); 8] = [
        ("status", &spec.status, &["active", "paused", "ended"]),
        ("daily_cap", &spec.daily_cap, &["profile", "hard", "average"]),
        ("bid_control", &spec.bid_control, CONTROLS),
        ("budget_control", &spec.budget_control, CONTROLS),
        (
            "bid_strategy",
            &spec.bid_strategy,
            &["manual", "max_clicks", "max_conversions", "max_value", "target_cpa", "target_roas"],
        ),
        ("attribution_model", &spec.attribution_model, &["last", "first", "linear", "position", "time_decay"]),
        ("spend_source", &spec.spend_source, &["events", "stats"]),
        ("mode", &spec.mode, &["observe", "approve", "auto"]),
    ];
    for (name, value, allowed) in words {
        if !allowed.contains(&value) {
            said.mistake(format!("{name} {value:?} is unknown; write one of {}", allowed.join(", ")));
        }
    }
}

fn numbers(spec: &CampaignSpec, said: &mut Said) {
    for (name, value) in [
        ("bid_micros", Some(spec.bid_micros)),
        ("bid_min_micros", Some(spec.bid_min_micros)),
        ("bid_max_micros", Some(spec.bid_max_micros)),
        ("bid_step_micros", Some(spec.bid_step_micros)),
        ("budget_min_micros", spec.budget_min_micros),
        ("budget_max_micros", spec.budget_max_micros),
        ("budget_step_micros", Some(spec.budget_step_micros)),
        ("daily_budget_micros", spec.daily_budget_micros),
        ("weekly_budget_micros", spec.weekly_budget_micros),
        ("monthly_budget_micros", spec.monthly_budget_micros),
        ("flight_budget_micros", spec.flight_budget_micros),
        ("target_cpa_micros", spec.target_cpa_micros),
        ("target_roas_ppm", spec.target_roas_ppm),
    ] {
        if let Some(value) = value.filter(|value| *value < 0) {
            said.mistake(format!("{name} is {value}; money and ratios are not negative"));
        }
    }
    let above = |low: i64, high: i64| high > 0 && low > high;
    for (low, high, low_name, high_name) in [
        (spec.bid_min_micros, spec.bid_max_micros, "bid_min_micros", "bid_max_micros"),
        (spec.bid_micros, spec.bid_max_micros, "bid_micros", "bid_max_micros"),
        (
            spec.budget_min_micros.unwrap_or(0),
            spec.budget_max_micros.unwrap_or(0),
            "budget_min_micros",
            "budget_max_micros",
        ),
    ] {
        if above(low, high) {
            said.mistake(format!("{low_name} {low} is above {high_name} {high}; correct one of them"));
        }
    }
    if spec.bid_micros > 0 && spec.bid_micros < spec.bid_min_micros {
        let (bid, min) = (spec.bid_micros, spec.bid_min_micros);
        said.mistake(format!("bid_micros {bid} is below bid_min_micros {min}; correct one of them"));
    }
}

fn times(spec: &CampaignSpec, now_ms: Millis, said: &mut Said) {
    if let Err(error) = window::calendar::Zone::parse(&spec.time_zone) {
        said.mistake(format!("time_zone: {error}"));
    }
    match spec.flight_end {
        Some(end) if end <= spec.flight_start => {
            said.mistake("flight_end is not after flight_start; correct one of them")
        }
        Some(end) if end <= now_ms && spec.status == "active" => {
            said.warn(
                "flight_end has passed, so the campaign is paused and not steered; set status = ended or a later end",
            );
        }
        None if spec.flight_budget_micros.is_some() => {
            said.warn(
                "flight_budget_micros has no flight_end to be spread to, so it is only a limit; give a flight_end",
            );
        }
        _ => {}
    }
    if let Some(marks) = spec.open_hours.as_ref().map(|marks| marks.chars().count()).filter(|marks| *marks != 168) {
        said.mistake(format!("open_hours has {marks} marks; write 168, one for each hour of the week"));
    }
}

/// What steering needs: without it nothing would be commanded, and in silence.
fn steering(spec: &CampaignSpec, said: &mut Said) {
    if spec.mode == "observe" || spec.status != "active" || spec.protected {
        if spec.mode != "observe" && spec.protected {
            said.warn(format!(
                "mode is {}, but protected = true: nothing is ever commanded; set one of them",
                spec.mode
            ));
        }
        return;
    }
    let mut needed = Vec::new();
    let mode = &spec.mode;
    let budgets =
        [spec.daily_budget_micros, spec.weekly_budget_micros, spec.monthly_budget_micros, spec.flight_budget_micros];
    if budgets.iter().all(Option::is_none) && spec.budget_id.is_none() {
        needed.push(format!(
            "mode is {mode}, but there is no budget to pace to, so commands would only be observed; give daily_budget_micros (or weekly, monthly, flight, or a budget_id), or set mode = observe"
        ));
    }
    let ceiling = bid_ceiling_micros(&spec.bid_strategy, spec.bid_micros, spec.bid_max_micros);
    let bounded = 0 < spec.bid_min_micros && spec.bid_min_micros <= ceiling;
    if spec.bid_control == "paceline" && !bounded {
        needed.push(format!(
            "mode is {mode} and bid_control is paceline, but the bid has no bounds, so bids would only be observed; give bid_min_micros and bid_max_micros, both above 0, or set bid_control = none"
        ));
    }
    match mode.as_str() {
        "auto" => said.mistakes.extend(needed),
        _ => said.warnings.extend(needed),
    }
    if spec.bid_control == "paceline" && bounded && spec.bid_micros == 0 {
        said.warn("bid_micros is not given, so the first bid is only known once the bidder reports one; give the bid now in force");
    }
    if spec.bid_control != "paceline" && spec.budget_control != "paceline" {
        said.warn(format!(
            "mode is {mode}, but neither bid_control nor budget_control is paceline, so nothing is commanded, pauses included; set one of them to paceline"
        ));
    }
}

/// What the service takes, and does not read yet.
fn unread(spec: &CampaignSpec, said: &mut Said) {
    let target = match spec.bid_strategy.as_str() {
        "target_cpa" => Some(spec.target_cpa_micros),
        "target_roas" => Some(spec.target_roas_ppm),
        _ => None,
    };
    if let Some(target) = target.filter(|_| spec.bid_control == "paceline") {
        let strategy = &spec.bid_strategy;
        if target.is_none_or(|target| target <= 0) {
            said.warn(format!(
                "bid_strategy is {strategy} without a target, so only the budget steers; set the target"
            ));
        } else if spec.spend_source == "stats" {
            said.warn(format!(
                "bid_strategy {strategy} needs events to see its target, and spend_source is stats, so only the budget steers"
            ));
        }
    }
    if !MODELS_STEERING.contains(&spec.attribution_model.as_str()) {
        said.warn(format!("attribution_model {} does not steer: bids, targets and the campaign's own figures follow last; what it would credit stands in the breakdown", spec.attribution_model));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A campaign in mode `auto` of which nothing is to be said.
    fn sound() -> CampaignSpec {
        CampaignSpec {
            campaign_id: "c".into(),
            account_id: "a".into(),
            version: 1,
            channel: "search".into(),
            status: "active".into(),
            time_zone: "Europe/Berlin".into(),
            currency: "EUR".into(),
            daily_budget_micros: Some(1_000_000),
            daily_cap: "hard".into(),
            bid_control: "paceline".into(),
            budget_control: "none".into(),
            bid_strategy: "max_clicks".into(),
            bid_micros: 2_000,
            bid_min_micros: 200,
            bid_max_micros: 20_000,
            attribution_model: "last".into(),
            spend_source: "events".into(),
            mode: "auto".into(),
            ..CampaignSpec::default()
        }
    }

    /// Mistakes and warnings, each joined.
    fn said(spec: CampaignSpec) -> (String, String) {
        let said = check(&spec, 0);
        (said.mistakes.join("\n"), said.warnings.join("\n"))
    }

    #[test]
    fn a_sound_campaign_is_taken_in_silence() {
        assert_eq!(check(&sound(), 0), Said::default());
    }

    #[test]
    fn mistakes_are_told_together() {
        let wrong = CampaignSpec {
            campaign_id: String::new(),
            time_zone: "Mars".into(),
            currency: "eur".into(),
            bid_min_micros: 5,
            bid_max_micros: 4,
            bid_micros: 0,
            ..sound()
        };
        assert_eq!(check(&wrong, 0).mistakes.len(), 4);
    }

    #[test]
    fn auto_without_a_budget_is_refused_and_approve_is_warned() {
        let without = CampaignSpec { daily_budget_micros: None, ..sound() };
        assert!(said(without.clone()).0.contains("no budget"));
        let approve = said(CampaignSpec { mode: "approve".into(), ..without.clone() });
        assert!(approve.0.is_empty() && approve.1.contains("no budget"));
        assert_eq!(said(CampaignSpec { budget_id: Some("pool".into()), ..without.clone() }), <_>::default());
        assert_eq!(said(CampaignSpec { mode: "observe".into(), ..without }), <_>::default());
    }

    #[test]
    fn auto_without_bounds_of_its_bid_is_refused() {
        for (min, max) in [(0, 0), (0, 20_000), (200, 0)] {
            let spec = CampaignSpec { bid_min_micros: min, bid_max_micros: max, ..sound() };
            assert!(said(spec.clone()).0.contains("no bounds"), "{min} to {max}");
            let not_ours = CampaignSpec { bid_control: "none".into(), budget_control: "paceline".into(), ..spec };
            assert_eq!(said(not_ours), <_>::default());
        }
        // A manual bid is its own ceiling.
        let manual = CampaignSpec { bid_strategy: "manual".into(), bid_max_micros: 0, ..sound() };
        assert_eq!(said(manual), <_>::default());
    }

    #[test]
    fn what_does_less_than_it_seems_is_warned_of() {
        let cases: [(CampaignSpec, &str); 6] = [
            (CampaignSpec { channel: "serch".into(), ..sound() }, "channel"),
            (CampaignSpec { protected: true, ..sound() }, "protected"),
            (CampaignSpec { bid_control: "none".into(), ..sound() }, "neither"),
            (CampaignSpec { bid_strategy: "target_cpa".into(), ..sound() }, "target_cpa"),
            (CampaignSpec { flight_budget_micros: Some(1), ..sound() }, "flight_end"),
            (CampaignSpec { attribution_model: "position".into(), ..sound() }, "position"),
        ];
        for (spec, word) in cases {
            let (mistakes, warnings) = said(spec);
            assert!(mistakes.is_empty() && warnings.contains(word), "{word}: {mistakes} {warnings}");
        }
    }
}
