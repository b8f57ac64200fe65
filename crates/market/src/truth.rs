//! The exact truth of what was emitted, counted by the generator itself: per campaign and minute of event time.
//!
//! What always holds: each event counts once, at its own event time, whether it arrives late or twice; sums are integers.
//! It shares no code with the pipeline that is tested against it.

use model::event::EventKind;
use model::time::{Millis, minute_of};

/// Sums of one campaign and minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Impressions.
    pub impressions: i64,
    /// Clicks, own touches among them.
    pub clicks: i64,
    /// Cost of both, in micros.
    pub spend_micros: i64,
    /// Conversions that name the campaign.
    pub conversions: i64,
    /// Their worth, in micros.
    pub value_micros: i64,
}

/// One campaign and minute with its sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The campaign.
    pub campaign_id: &'a str,
    /// Epoch minute of the events' own time.
    pub minute: i64,
    /// The sums.
    pub cell: Cell,
}

/// Sums per campaign and minute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    campaign_ids: Vec<String>,
    /// Per campaign the minutes with events, in order.
    minutes: Vec<Vec<(i64, Cell)>>,
}

impl Truth {
    /// Nothing yet, of these campaigns.
    pub fn new(campaign_ids: Vec<String>) -> Self {
        let minutes = vec![Vec::new(); campaign_ids.len()];
        Self { campaign_ids, minutes }
    }

    /// Counts an event of the campaign at `index`, `money_micros` its cost or worth; an unknown index is ignored.
    pub(crate) fn add(&mut self, index: usize, at: Millis, kind: EventKind, money_micros: i64) {
        let Some(minutes) = self.minutes.get_mut(index) else { return };
        let cell = cell_at(minutes, minute_of(at));
        let (count, money) = match kind {
            EventKind::Impression => (&mut cell.impressions, &mut cell.spend_micros),
            EventKind::Click => (&mut cell.clicks, &mut cell.spend_micros),
            EventKind::Conversion => (&mut cell.conversions, &mut cell.value_micros),
        };
        *count += 1;
        *money = money.saturating_add(money_micros);
    }

    /// All rows, by campaign in the scenario's order and minute.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.campaign_ids.iter().zip(&self.minutes).flat_map(|(campaign_id, minutes)| {
            minutes.iter().map(move |&(minute, cell)| Row { campaign_id, minute, cell })
        })
    }

    /// The sums of one campaign and minute; zero where nothing happened.
    pub fn cell(&self, campaign_id: &str, minute: i64) -> Cell {
        let index = self.campaign_ids.iter().position(|id| id == campaign_id);
        let minutes = index.and_then(|index| self.minutes.get(index));
        minutes
            .and_then(|minutes| minutes.binary_search_by_key(&minute, |row| row.0).ok().map(|at| minutes[at].1))
            .unwrap_or_default()
    }

    /// The same sums in steps of `minutes_per_row` minutes (60 for UTC hours).
    pub fn coarsened(&self, minutes_per_row: i64) -> Truth {
        let step = minutes_per_row.max(1);
        let mut coarse = Truth::new(self.campaign_ids.clone());
        for (from, to) in self.minutes.iter().zip(&mut coarse.minutes) {
            for (minute, cell) in from {
                cell_at(to, minute.div_euclid(step) * step).add(cell);
            }
        }
        coarse
    }

    /// These sums without those of `other`, rows that become zero left out; both of the same campaigns.
    pub fn without(&self, other: &Truth) -> Truth {
        let mut rest = self.clone();
        for (mine, theirs) in rest.minutes.iter_mut().zip(&other.minutes) {
            for (minute, cell) in theirs {
                cell_at(mine, *minute).subtract(cell);
            }
            mine.retain(|(_, cell)| *cell != Cell::default());
        }
        rest
    }

    /// The sums over everything.
    pub fn total(&self) -> Cell {
        let mut total = Cell::default();
        self.rows().for_each(|row| total.add(&row.cell));
        total
    }
}

/// Events come nearly in order: the last row first, a search only for those that do not.
fn cell_at(minutes: &mut Vec<(i64, Cell)>, minute: i64) -> &mut Cell {
    let at = match minutes.last() {
        Some((last, _)) if *last == minute => minutes.len() - 1,
        Some((last, _)) if *last > minute => match minutes.binary_search_by_key(&minute, |row| row.0) {
            Ok(at) => at,
            Err(at) => {
                minutes.insert(at, (minute, Cell::default()));
                at
            }
        },
        _ => {
            minutes.push((minute, Cell::default()));
            minutes.len() - 1
        }
    };
    &mut minutes[at].1
}

impl Cell {
    fn add(&mut self, other: &Cell) {
        self.impressions += other.impressions;
        self.clicks += other.clicks;
        self.spend_micros += other.spend_micros;
        self.conversions += other.conversions;
        self.value_micros += other.value_micros;
    }

    fn subtract(&mut self, other: &Cell) {
        self.impressions -= other.impressions;
        self.clicks -= other.clicks;
        self.spend_micros -= other.spend_micros;
        self.conversions -= other.conversions;
        self.value_micros -= other.value_micros;
    }
}
