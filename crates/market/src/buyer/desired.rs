//! Desired state: leases are renewed, and a buyer that joined late takes over what is confirmed.
//!
//! What always holds: nothing here shortens a lease (a command withdraws it), and no value is taken over that no buyer has
//! confirmed; those come as commands.

use super::rule::place_of;
use super::state::{Held, Place, Value};
use super::{AdBuyer, Task};
use model::output::{DesiredState, DesiredValue};
use model::time::Millis;

impl AdBuyer {
    /// Follows one record, of a campaign or of a whole account's lease.
    pub(super) fn follow(&mut self, at: Millis, desired: &DesiredState) {
        for number in 0..self.desks.len() {
            let desk = &mut self.desks[number];
            let is_meant = desk.account_id == desired.account_id
                && desired.campaign_id.as_ref().is_none_or(|id| *id == desk.campaign_id);
            if !is_meant {
                continue;
            }
            if let Some(until) = desired.lease_until {
                desk.held
                    .values_mut()
                    .filter(|held| held.sequence <= desired.sequence)
                    .for_each(|held| held.renew(until));
            }
            let campaign_id = desk.campaign_id.clone();
            for value in desired.values.iter().filter(|value| value.target.id == campaign_id) {
                self.follow_value(at, number, value);
            }
        }
    }

    fn follow_value(&mut self, at: Millis, number: usize, value: &DesiredValue) {
        let Some(place) = place_of(&value.kind, value.dimension.as_ref()) else { return };
        match self.desks[number].held.get_mut(&place) {
            Some(held) if held.sequence > value.sequence => {}
            Some(held) if held.sequence == value.sequence => {
                value.lease_until.into_iter().for_each(|until| held.renew(until));
            }
            _ => {
                if let Some(found) = confirmed(value, &place, at) {
                    self.adopt(at, number, value, place, &found);
                }
            }
        }
    }

    fn adopt(&mut self, at: Millis, number: usize, value: &DesiredValue, place: Place, found: &Value) {
        let state = &mut self.states[number];
        let fallback = fallback_of(value, found, state.get(&place));
        state.put(&place, found);
        state.actor = "paceline".into();
        if let Some((_, when)) = &fallback {
            self.plan((*when).max(at), Task::Lapse(number, place.clone()));
        }
        let desk = &mut self.desks[number];
        desk.sequence = desk.sequence.max(value.sequence);
        let command_id = value.command_id.clone();
        desk.held.insert(place, Held { sequence: value.sequence, fallback });
        self.applied.insert(command_id, at);
    }
}

impl Held {
    fn renew(&mut self, until: Millis) {
        if let Some((_, when)) = &mut self.fallback {
            *when = until.max(*when);
        }
    }
}

/// The value of a desired state that some buyer has confirmed and that still holds.
fn confirmed(value: &DesiredValue, place: &Place, at: Millis) -> Option<Value> {
    value.confirmed_at?;
    if value.lease_until.is_some_and(|until| until <= at) {
        return None;
    }
    match place {
        Place::Status => Some(Value::Paused(value.kind == "pause")),
        Place::Bid | Place::DailyBudget | Place::FlightBudget => {
            let micros = value.confirmed_micros.filter(|_| value.confirmed_micros == value.wanted_micros)?;
            Some(Value::Micros(Some(micros)))
        }
        Place::Modifier(..) => value.confirmed_ppm.filter(|_| value.confirmed_ppm == value.wanted_ppm).map(Value::Ppm),
        Place::HourTable => {
            value.confirmed_table.clone().filter(|_| value.confirmed_table == value.wanted_table).map(Value::Table)
        }
    }
}

fn fallback_of(value: &DesiredValue, found: &Value, before: Value) -> Option<(Value, Millis)> {
    let fallback = value.fallback.as_ref()?;
    let back = match found {
        Value::Paused(paused) => Value::Paused(!paused),
        _ => fallback.value_micros.map_or(before, |micros| Value::Micros(Some(micros))),
    };
    Some((back, value.lease_until.unwrap_or(fallback.when).max(fallback.when)))
}
