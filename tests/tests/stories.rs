//! Every story, in one program: they run side by side, so none may count on a quiet machine or on names of its own.

mod bandit;
mod deploy;
mod exactly_once;
mod handbook;
mod import;
mod kafka_io;
mod proposals;
mod quiet;
mod recovery;
mod registry;
mod setup;
mod shadow;
mod slot;
mod stats;
mod torn;
mod truth;
mod verify;
