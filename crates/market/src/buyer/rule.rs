//! The subscriber's rule: whether a command may be applied, and what is answered where it may not.
//!
//! Apply if and only if it is issued, newer than the last of its place, not expired, what it requires is in force, and
//! what it expects is what is found. Two readings are ours: a pause and a resume share a place, so that an old pause
//! cannot overtake a newer resume; and the expected sequence is one that this buyer must have reached, so that a
//! command may follow another whose answer is still on its way, where the value is the expected one.

use super::state::{CampaignState, Held, Place, Value};
use model::WHOLE_PPM;
use model::output::{Adjustment, Dimension};
use model::time::Millis;
use std::collections::BTreeMap;

/// What the rule says of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Put the value in force.
    Apply(Place, Value),
    /// Withdraw what is older.
    Cancel,
    /// What it requires is not in force yet.
    Wait,
    /// Not applied, for this result and reason.
    Refuse(&'static str, Option<&'static str>),
}

/// What the rule looks at, beside the command.
pub(crate) struct Judge<'a> {
    pub(crate) state: &'a CampaignState,
    pub(crate) held: &'a BTreeMap<Place, Held>,
    /// Highest sequence applied for the key.
    pub(crate) sequence: i64,
    pub(crate) currency: &'a str,
    pub(crate) campaign_id: &'a str,
    pub(crate) paused_by_person: bool,
}

impl Judge<'_> {
    /// The rule, for a command that was not applied before.
    pub(crate) fn judge(&self, command: &Adjustment, at: Millis, in_force: impl Fn(&str) -> bool) -> Verdict {
        if command.state != "issued" {
            return Verdict::Refuse("rejected", Some("not_issued"));
        }
        if at >= command.expires_at {
            return Verdict::Refuse("expired", None);
        }
        if !command.currency.is_empty() && command.currency != self.currency {
            return Verdict::Refuse("rejected", Some("currency"));
        }
        if !matches!(command.target.level.as_str(), "campaign" | "budget") || command.target.id != self.campaign_id {
            return Verdict::Refuse("rejected", Some("unknown_target"));
        }
        if command.kind == "cancel" {
            return if command.sequence > self.sequence {
                Verdict::Cancel
            } else {
                Verdict::Refuse("superseded", None)
            };
        }
        let (place, value) = match asked(command) {
            Ok(asked) => asked,
            Err(reason) => return Verdict::Refuse("rejected", Some(reason)),
        };
        if self.held.get(&place).is_some_and(|held| command.sequence <= held.sequence) || command.sequence <= 0 {
            return Verdict::Refuse("superseded", None);
        }
        if !command.requires.iter().all(|id| in_force(id)) {
            return Verdict::Wait;
        }
        if !self.is_as_expected(command, &place) {
            return Verdict::Refuse("conflict", None);
        }
        if self.paused_by_person && value == Value::Paused(false) {
            return Verdict::Refuse("rejected", Some("paused_by_person"));
        }
        Verdict::Apply(place, value)
    }

    fn is_as_expected(&self, command: &Adjustment, place: &Place) -> bool {
        let expected = &command.expected_previous;
        let value_matches = match self.state.get(place) {
            Value::Micros(found) => expected.value_micros.is_none_or(|value| found == Some(value)),
            Value::Ppm(found) => expected.value_ppm.is_none_or(|value| found == value),
            Value::Table(_) | Value::Paused(_) => true,
        };
        value_matches && expected.sequence <= self.sequence
    }
}

/// The place and the value that a command asks for, or why it cannot be read.
fn asked(command: &Adjustment) -> Result<(Place, Value), &'static str> {
    let place = place_of(&command.kind, command.dimension.as_ref()).ok_or("unknown_kind")?;
    let value = match &place {
        Place::Bid => Value::Micros(Some(command.value_micros.filter(|&bid| bid > 0).ok_or("bad_value")?)),
        Place::DailyBudget | Place::FlightBudget => {
            Value::Micros(Some(command.value_micros.filter(|&budget| budget >= 0).ok_or("bad_value")?))
        }
        Place::Status => Value::Paused(command.kind == "pause"),
        // Ten times is the most that any platform's modifier allows.
        Place::Modifier(..) => {
            Value::Ppm(command.value_ppm.filter(|ppm| (0..=10 * WHOLE_PPM).contains(ppm)).ok_or("bad_value")?)
        }
        Place::HourTable => Value::Table(command.table.clone().filter(|table| is_table(table)).ok_or("bad_value")?),
    };
    Ok((place, value))
}

fn is_table(table: &[i64]) -> bool {
    matches!(table.len(), 24 | 168) && table.iter().all(|ppm| (0..=10 * WHOLE_PPM).contains(ppm))
}

/// Dimensions whose factors this buyer takes; that of a weather holds for all ads, since it is in force only while the
/// weather is.
const FACTORS: [&str; 5] = ["device", "geo", "placement", "creative", "weather"];

/// The place that a kind of command changes; `None` for kinds that this buyer cannot carry out.
pub(crate) fn place_of(kind: &str, dimension: Option<&Dimension>) -> Option<Place> {
    match (kind, dimension) {
        ("set_bid", None) => Some(Place::Bid),
        ("set_daily_budget", None) => Some(Place::DailyBudget),
        ("set_flight_budget", None) => Some(Place::FlightBudget),
        ("pause" | "resume", None) => Some(Place::Status),
        ("set_modifier_table", _) => Some(Place::HourTable),
        ("set_modifier", Some(of)) if FACTORS.contains(&of.name.as_str()) => {
            Some(Place::Modifier(of.name.clone(), of.value.clone()))
        }
        _ => None,
    }
}
