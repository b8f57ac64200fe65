//! States of stage 2 that a service has kept, as beginnings of a replay: where a journal has lost its own, or to save the
//! time that its past takes.
//!
//! What always holds: it reads; a state is taken only where the journal still holds the record that follows it. A state is
//! what the service had, not what a replay made: what came before it is believed, and who begins with one says so.

use crate::failure::{Failure, Outcome};
use crate::service::stage2::{PartitionHeader, partition_folder};
use crate::settings::Settings;
use crate::snapshots::{Directory, Snapshots};
use controller::{Controller, Setup};
use model::time::Millis;
use std::path::PathBuf;

/// A state, and where it stands.
pub struct Begun {
    /// The state.
    pub controller: Controller,
    /// The first journal offset that it has not seen.
    pub next_offset: i64,
    /// Timestamp of the last record that it has.
    pub timestamp_ms: Millis,
}

/// The kept states of one journal partition.
pub struct States {
    folder: PathBuf,
    snapshots: Option<Snapshots>,
    /// Numbers and places, oldest first.
    places: Vec<(u64, PartitionHeader)>,
}

impl States {
    /// Looks into the service's folder; where there is none, there are no states.
    pub fn open(settings: &Settings, partition: i32) -> Outcome<Self> {
        let folder = partition_folder(&settings.state_dir, &settings.group, partition);
        if !folder.is_dir() {
            return Ok(Self { folder, snapshots: None, places: Vec::new() });
        }
        let unreadable = |error: std::io::Error| {
            Failure::setup(format!("cannot read snapshots in {}: {error}", folder.display()), "check state.dir")
        };
        let snapshots = Snapshots::open(Box::new(Directory::open(&folder).map_err(unreadable)?)).map_err(unreadable)?;
        let headers = snapshots.headers().map_err(unreadable)?.into_iter();
        let read = |(number, header): (u64, Vec<u8>)| Some((number, postcard::from_bytes(&header).ok()?));
        let places = headers.filter_map(read).collect();
        Ok(Self { snapshots: Some(snapshots), places, folder })
    }

    /// The newest state before `from`, or where none is, and where nothing is asked, the oldest; in both cases one whose
    /// next record is not before `low`. One that does not restore is passed over.
    pub fn begin(&self, setup: &Setup, low: i64, from: Option<Millis>) -> Option<Begun> {
        let usable = self.places.iter().copied().filter(|(_, place)| place.next_offset >= low);
        let (mut before, after): (Vec<_>, Vec<_>) =
            usable.partition(|(_, place)| from.is_some_and(|from| place.timestamp_ms < from));
        before.reverse();
        before.into_iter().chain(after).find_map(|(number, place)| self.restore(number, place, setup))
    }

    /// Where they were looked for, for words.
    pub fn folder(&self) -> std::path::Display<'_> {
        self.folder.display()
    }

    fn restore(&self, number: u64, place: PartitionHeader, setup: &Setup) -> Option<Begun> {
        let passed_over =
            |reason: &str| eprintln!("warning: state {number} in {} passed over: {reason}", self.folder());
        let loaded = self.snapshots.as_ref()?.load(number);
        let loaded = loaded.map_err(|reason| passed_over(&reason)).ok()?;
        let (.., state) = loaded.chunks().find(|(id, ..)| *id == "state")?;
        let controller = Controller::restore(setup.clone(), state);
        let controller = controller.map_err(|error| passed_over(&error.to_string())).ok()?;
        Some(Begun { controller, next_offset: place.next_offset, timestamp_ms: place.timestamp_ms })
    }
}
