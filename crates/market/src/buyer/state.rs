//! What an ad buyer has in force for one campaign, with the leases of single values.

use model::WHOLE_PPM;
use model::fact::CampaignSpec;
use model::time::Millis;
use std::collections::BTreeMap;

/// Bid, budgets and status in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CampaignState {
    /// For one billable event.
    pub bid_micros: i64,
    /// Of the campaign's local day.
    pub daily_budget_micros: Option<i64>,
    /// Of the whole flight.
    pub flight_budget_micros: Option<i64>,
    /// Not bidding.
    pub paused: bool,
    /// Factors on the bid by (dimension, value), in parts per million.
    pub modifiers: BTreeMap<(String, String), i64>,
    /// Factors on the bid by local hour of the day (24) or week (168), in parts per million; empty for none.
    pub hour_table: Vec<i64>,
    /// Who changed it last: paceline, person, platform.
    pub actor: String,
}

/// The values that commands change, each with a sequence of its own; a pause and its resume are one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Bid,
    DailyBudget,
    FlightBudget,
    Status,
    Modifier(String, String),
    HourTable,
}

/// A value of any place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Micros(Option<i64>),
    Ppm(i64),
    Table(Vec<i64>),
    Paused(bool),
}

impl CampaignState {
    /// What the owner wrote.
    pub(crate) fn of(spec: &CampaignSpec) -> Self {
        Self {
            bid_micros: spec.bid_micros,
            daily_budget_micros: spec.daily_budget_micros,
            flight_budget_micros: spec.flight_budget_micros,
            paused: spec.status != "active",
            actor: "person".into(),
            ..Self::default()
        }
    }

    pub(crate) fn get(&self, place: &Place) -> Value {
        match place {
            Place::Bid => Value::Micros(Some(self.bid_micros)),
            Place::DailyBudget => Value::Micros(self.daily_budget_micros),
            Place::FlightBudget => Value::Micros(self.flight_budget_micros),
            Place::Status => Value::Paused(self.paused),
            Place::Modifier(name, value) => {
                Value::Ppm(*self.modifiers.get(&(name.clone(), value.clone())).unwrap_or(&WHOLE_PPM))
            }
            Place::HourTable => Value::Table(self.hour_table.clone()),
        }
    }

    /// Puts a value in force; a value of another kind than the place's is not one, and changes nothing.
    pub(crate) fn put(&mut self, place: &Place, value: &Value) {
        match (place, value) {
            (Place::Bid, Value::Micros(Some(bid))) => self.bid_micros = *bid,
            (Place::DailyBudget, Value::Micros(budget)) => self.daily_budget_micros = *budget,
            (Place::FlightBudget, Value::Micros(budget)) => self.flight_budget_micros = *budget,
            (Place::Status, Value::Paused(paused)) => self.paused = *paused,
            (Place::Modifier(name, of), Value::Ppm(factor)) => {
                self.modifiers.insert((name.clone(), of.clone()), *factor);
            }
            (Place::HourTable, Value::Table(table)) => self.hour_table.clone_from(table),
            _ => {}
        }
    }

    /// Whether the bid depends on more than itself.
    pub(crate) fn is_modified(&self) -> bool {
        !(self.modifiers.is_empty() && self.hour_table.is_empty())
    }

    /// The product of the factors that hold for an ad, that of a weather left out.
    pub(crate) fn modifier_in_any_weather(&self, ad: &Ad<'_>) -> f64 {
        let factor = |name: &str, value: &str| {
            // A map of strings is small here, and asked only where a campaign has modifiers at all.
            let found = self.modifiers.iter().find(|(key, _)| key.0 == name && key.1 == value);
            found.map_or(WHOLE_PPM, |(_, factor)| *factor)
        };
        let hour = match self.hour_table.len() {
            0 => WHOLE_PPM,
            length => self.hour_table[ad.hour_of_week % length],
        };
        let values = [("device", ad.device), ("geo", ad.geo), ("placement", ad.placement), ("creative", ad.creative)];
        values
            .map(|(name, value)| factor(name, value))
            .iter()
            .chain([&hour])
            .fold(1.0, |product, &ppm| product * (ppm.max(0) as f64 / WHOLE_PPM as f64))
    }
}

/// What factors tell apart.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ad<'a> {
    pub(crate) device: &'a str,
    pub(crate) geo: &'a str,
    pub(crate) placement: &'a str,
    pub(crate) creative: &'a str,
    pub(crate) hour_of_week: usize,
}

impl CampaignState {
    /// The product of the factors that hold for an ad now.
    pub(crate) fn modifier(&self, ad: &Ad<'_>) -> f64 {
        let of_weather = self.modifiers.iter().filter(|((name, _), _)| name == "weather");
        of_weather.fold(self.modifier_in_any_weather(ad), |product, (_, ppm)| {
            product * ((*ppm).max(0) as f64 / WHOLE_PPM as f64)
        })
    }
}

/// A command in force at a place: its sequence, and what holds when its lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) sequence: i64,
    /// The value and the end of the lease; `None` where the value stays.
    pub(crate) fallback: Option<(Value, Millis)>,
}
