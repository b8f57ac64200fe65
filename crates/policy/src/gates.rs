//! May anything be decided now, and what (section 2): nine gates in order, the first that fails decides.
//!
//! What always holds: the reason of the first closed gate is recorded as "why nothing"; a later gate never opens what an
//! earlier one closed. The hard stop passes stale and dead data, since it can only save; it does not pass a halt, a person
//! or a missing mandate. Missing on purpose: the evidence gates of targets, modifiers and portfolios, which are their own.

use crate::profile::Actuator;
use crate::settings::{Gates as Settings, Millis};
use serde::{Deserialize, Serialize};

/// What the gates look at, for one campaign and one actuator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GateInput<'a> {
    /// T.
    pub now_ms: Millis,
    /// The kill switch, by its widest scope.
    pub halted: Option<Scope>,
    /// The specification, if one has arrived.
    pub spec: Option<SpecView<'a>>,
    /// When somebody else's value was last found on this actuator.
    pub override_at_ms: Option<Millis>,
    /// When the last command to this actuator was issued, if no answer has come.
    pub unanswered_since_ms: Option<Millis>,
    /// Usual time from a command to its effect.
    pub apply_ms: Millis,
    /// The platform says that it is learning.
    pub learning: bool,
    /// People have asked for no changes now.
    pub change_freeze: bool,
    /// A latched difference between journal and log.
    pub integrity_gap: bool,
    /// T - W; none while a source has not reported.
    pub data_age_ms: Option<Millis>,
    /// Declared period of the slowest feed that the campaign depends on.
    pub feed_period_ms: Millis,
}

/// The parts of a specification that the gates read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpecView<'a> {
    /// active, paused, ended.
    pub status: &'a str,
    /// Never touch.
    pub protected: bool,
    /// Start of the flight.
    pub flight_start_ms: Millis,
    /// End of the flight.
    pub flight_end_ms: Option<Millis>,
    /// Who holds this actuator: paceline, platform, none.
    pub control: &'a str,
    /// 0 where not given.
    pub bid_min_micros: i64,
    /// 0 where not given.
    pub bid_max_micros: i64,
    /// Any budget is given.
    pub has_budget: bool,
}

/// How wide a halt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)] // Named as the words of the contract.
pub enum Scope {
    Campaign,
    Account,
    Global,
}

/// How old the data are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Freshness {
    /// As declared.
    #[default]
    Fresh,
    /// Beyond three periods: nothing may raise spend.
    Stale,
    /// Beyond twelve periods, or unknown: nothing but the hard stop.
    Dead,
}

/// What may be decided; the greater, the less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Permission {
    /// Everything.
    All,
    /// Decreases and pauses.
    DecreasesOnly,
    /// The hard stop alone.
    HardStopOnly,
    /// Windows and KPIs, no decision.
    ObserveOnly,
    /// Nothing.
    Nothing,
}

/// Why nothing, or less than everything, may be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)] // Each word says it; sentences are in `explain`.
pub enum WhyNothing {
    HaltedGlobal,
    HaltedAccount,
    HaltedCampaign,
    NoSpec,
    Ended,
    BeforeFlight,
    AfterFlight,
    PausedByPerson,
    Protected,
    NotOurs,
    NoBidBounds,
    NoBudget,
    HumanOverride,
    AwaitingAck,
    ChangeFreeze,
    Learning,
    IntegrityGap,
    StaleData,
    DeadData,
}

/// The answer of the gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// What may be decided.
    pub permission: Permission,
    /// The first gate that failed.
    pub why: Option<WhyNothing>,
}

/// Passes the gates for one actuator.
pub fn pass(input: &GateInput<'_>, actuator: Actuator, settings: &Settings) -> Gate {
    let failed = halted(input)
        .or_else(|| unfit(input))
        .or_else(|| not_ours(input))
        .or_else(|| without_limits(input, actuator))
        .or_else(|| overridden(input, settings))
        .or_else(|| unanswered(input, settings))
        .or_else(|| input.change_freeze.then_some((Permission::HardStopOnly, WhyNothing::ChangeFreeze)))
        .or_else(|| input.learning.then_some((Permission::DecreasesOnly, WhyNothing::Learning)))
        .or_else(|| untrusted(input, settings));
    match failed {
        Some((permission, why)) => Gate { permission, why: Some(why) },
        None => Gate { permission: Permission::All, why: None },
    }
}

/// How old the data are, in the feed's own periods.
pub fn freshness(data_age_ms: Option<Millis>, feed_period_ms: Millis, settings: &Settings) -> Freshness {
    let limit = |min: Millis, periods: i64| min.max(feed_period_ms.max(0).saturating_mul(periods));
    match data_age_ms {
        None => Freshness::Dead,
        Some(age) if age > limit(settings.dead_min_ms, settings.dead_periods) => Freshness::Dead,
        Some(age) if age > limit(settings.stale_min_ms, settings.stale_periods) => Freshness::Stale,
        Some(_) => Freshness::Fresh,
    }
}

type Failed = Option<(Permission, WhyNothing)>;

fn halted(input: &GateInput<'_>) -> Failed {
    let why = match input.halted? {
        Scope::Global => WhyNothing::HaltedGlobal,
        Scope::Account => WhyNothing::HaltedAccount,
        Scope::Campaign => WhyNothing::HaltedCampaign,
    };
    Some((Permission::Nothing, why))
}

fn unfit(input: &GateInput<'_>) -> Failed {
    let why = match &input.spec {
        None => WhyNothing::NoSpec,
        Some(spec) if spec.protected => WhyNothing::Protected,
        Some(spec) if spec.status == "paused" => WhyNothing::PausedByPerson,
        Some(spec) if spec.status != "active" => WhyNothing::Ended,
        Some(spec) if input.now_ms < spec.flight_start_ms => WhyNothing::BeforeFlight,
        Some(spec) if spec.flight_end_ms.is_some_and(|end| input.now_ms >= end) => WhyNothing::AfterFlight,
        Some(_) => return None,
    };
    Some((Permission::Nothing, why))
}

fn not_ours(input: &GateInput<'_>) -> Failed {
    let ours = input.spec.is_some_and(|spec| spec.control == "paceline");
    (!ours).then_some((Permission::Nothing, WhyNothing::NotOurs))
}

fn without_limits(input: &GateInput<'_>, actuator: Actuator) -> Failed {
    let spec = input.spec?;
    let bounded = 0 < spec.bid_min_micros && spec.bid_min_micros <= spec.bid_max_micros;
    if actuator == Actuator::Bid && !bounded {
        Some((Permission::ObserveOnly, WhyNothing::NoBidBounds))
    } else if !spec.has_budget {
        Some((Permission::ObserveOnly, WhyNothing::NoBudget))
    } else {
        None
    }
}

fn overridden(input: &GateInput<'_>, settings: &Settings) -> Failed {
    let age = input.now_ms.saturating_sub(input.override_at_ms?);
    (age < settings.override_hold_ms).then_some((Permission::Nothing, WhyNothing::HumanOverride))
}

fn unanswered(input: &GateInput<'_>, settings: &Settings) -> Failed {
    let limit = input.apply_ms.max(0).saturating_mul(settings.ack_limit_applies);
    let age = input.now_ms.saturating_sub(input.unanswered_since_ms?);
    (age < limit).then_some((Permission::HardStopOnly, WhyNothing::AwaitingAck))
}

fn untrusted(input: &GateInput<'_>, settings: &Settings) -> Failed {
    match freshness(input.data_age_ms, input.feed_period_ms, settings) {
        Freshness::Dead => Some((Permission::HardStopOnly, WhyNothing::DeadData)),
        _ if input.integrity_gap => Some((Permission::DecreasesOnly, WhyNothing::IntegrityGap)),
        Freshness::Stale => Some((Permission::DecreasesOnly, WhyNothing::StaleData)),
        Freshness::Fresh => None,
    }
}

impl WhyNothing {
    /// The word for labels and explanations.
    pub fn as_str(self) -> &'static str {
        match self {
            WhyNothing::HaltedGlobal => "halted_global",
            WhyNothing::HaltedAccount => "halted_account",
            WhyNothing::HaltedCampaign => "halted_campaign",
            WhyNothing::NoSpec => "no_spec",
            WhyNothing::Ended => "ended",
            WhyNothing::BeforeFlight => "before_flight",
            WhyNothing::AfterFlight => "after_flight",
            WhyNothing::PausedByPerson => "paused_by_person",
            WhyNothing::Protected => "protected",
            WhyNothing::NotOurs => "not_ours",
            WhyNothing::NoBidBounds => "no_bid_bounds",
            WhyNothing::NoBudget => "no_budget",
            WhyNothing::HumanOverride => "human_override",
            WhyNothing::AwaitingAck => "awaiting_ack",
            WhyNothing::ChangeFreeze => "change_freeze",
            WhyNothing::Learning => "learning",
            WhyNothing::IntegrityGap => "integrity_gap",
            WhyNothing::StaleData => "stale_data",
            WhyNothing::DeadData => "dead_data",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = 60_000;

    fn open() -> GateInput<'static> {
        let spec = SpecView {
            status: "active",
            control: "paceline",
            bid_min_micros: 1,
            bid_max_micros: 2,
            has_budget: true,
            ..SpecView::default()
        };
        GateInput {
            now_ms: 10_000 * MINUTE,
            spec: Some(spec),
            apply_ms: MINUTE,
            data_age_ms: Some(0),
            ..GateInput::default()
        }
    }

    fn why(input: GateInput<'_>) -> Option<&'static str> {
        pass(&input, Actuator::Bid, &Settings::default()).why.map(WhyNothing::as_str)
    }

    #[test]
    fn the_first_closed_gate_is_the_reason() {
        let spec = open().spec.unwrap();
        let with = |spec| GateInput { spec: Some(spec), ..open() };
        assert_eq!(why(open()), None);
        // Everything is wrong at once: the halt speaks; then one gate after the other.
        let mut input = GateInput {
            now_ms: 10_000 * MINUTE,
            halted: Some(Scope::Account),
            override_at_ms: Some(9_999 * MINUTE),
            unanswered_since_ms: Some(9_999 * MINUTE),
            learning: true,
            ..GateInput::default()
        };
        let mut told = vec![why(input.clone())];
        input.halted = None;
        told.push(why(input.clone()));
        input.spec = Some(SpecView { control: "none", bid_min_micros: 0, ..spec });
        told.push(why(input.clone()));
        input.spec = Some(SpecView { bid_min_micros: 0, ..spec });
        told.push(why(input.clone()));
        input.spec = Some(spec);
        told.push(why(input.clone()));
        input.override_at_ms = None;
        input.apply_ms = MINUTE;
        told.push(why(input.clone()));
        input.unanswered_since_ms = None;
        told.push(why(input.clone()));
        input.learning = false;
        told.push(why(input.clone()));
        let expected = [
            "halted_account",
            "no_spec",
            "not_ours",
            "no_bid_bounds",
            "human_override",
            "awaiting_ack",
            "learning",
            "dead_data",
        ];
        assert_eq!(told, expected.map(Some));
        assert_eq!(why(with(SpecView { status: "paused", ..spec })), Some("paused_by_person"));
        assert_eq!(why(with(SpecView { flight_end_ms: Some(10_000 * MINUTE), ..spec })), Some("after_flight"));
        assert_eq!(why(with(SpecView { has_budget: false, ..spec })), Some("no_budget"));
    }

    #[test]
    fn data_are_stale_at_three_periods_and_dead_at_twelve() {
        let at = |minutes: i64, period: i64| freshness(Some(minutes * MINUTE), period * MINUTE, &Settings::default());
        assert_eq!([at(3, 0), at(4, 0), at(12, 0), at(13, 0)].map(|f| f as u8), [0, 1, 1, 2]);
        assert_eq!([at(180, 60), at(181, 60), at(720, 60), at(721, 60)].map(|f| f as u8), [0, 1, 1, 2]);
        assert_eq!(freshness(None, 0, &Settings::default()), Freshness::Dead);
        let gate = |age| pass(&GateInput { data_age_ms: age, ..open() }, Actuator::Bid, &Settings::default());
        assert_eq!(gate(Some(4 * MINUTE)).permission, Permission::DecreasesOnly);
        assert_eq!(gate(None).permission, Permission::HardStopOnly);
    }

    #[test]
    fn an_override_and_a_missing_answer_end_by_themselves() {
        let now = open().now_ms;
        assert_eq!(why(GateInput { override_at_ms: Some(now - 24 * 60 * MINUTE), ..open() }), None);
        assert_eq!(why(GateInput { unanswered_since_ms: Some(now - 3 * MINUTE), ..open() }), None);
        assert_eq!(why(GateInput { unanswered_since_ms: Some(now - 3 * MINUTE + 1), ..open() }), Some("awaiting_ack"));
    }
}
