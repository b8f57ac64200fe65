//! One module per question a decision asks; pure, deterministic, integer money.
//!
//! What always holds: no I/O, no clock (every instant is an argument), no randomness. The same input gives the same
//! bytes on every machine: money is `i64` micros with sums in `i128`, logs and exponentials come from `libm`, a step is
//! rounded once. No function panics on any input; what cannot be computed is a [`hold::Hold`] with its reason. Nothing
//! here keeps state of its own: small state machines are values that the caller keeps and may write to a snapshot.
//!
//! The order of questions at one tick: [`gates`] (may we?), [`plan`] (what should have been spent?), [`pressure`] (which
//! bid spends the rest?), [`target`] (which bid meets the promised cost?), [`composition`] (which bid wins, is it worth a
//! command?), [`portfolio`] (which campaign gets how much tomorrow?), [`anomaly`] (what is wrong? its statistics are in [`detect`]), [`pause`] (who holds it?), [`guard`] (the
//! only way out), [`explain`] (say it). [`settings`] holds every number, [`profile`] what each platform allows, [`kpi`]
//! the ratios. `POLICY.md` beside this crate's `Cargo.toml` says the rules in words; "section" in a comment means a
//! section of it.
//!
//! What users add stands in [`rule`] (conditions and what they ask for) and [`goal`] (will it be met in time?).
//!
//! Beside the tick stand the estimators, which answer from counts alone: [`experiment`] (which arm is better?), [`delay`]
//! (how many conversions are still to come?), [`allocation`] (where does the next euro bring most?), [`ltv`] (what is a
//! customer still worth?), [`association`] (what goes together, and is no cause?).
//!
//! Missing on purpose, with their places left: targets that a platform follows by itself (end of section 5), modifiers by
//! hour of the week and by weather (7), exploration of anything but budgets (11).

pub mod allocation;
pub mod anomaly;
pub mod arithmetic;
pub mod association;
pub mod composition;
pub mod delay;
pub mod detect;
pub mod experiment;
pub mod explain;
pub mod gates;
pub mod goal;
pub mod guard;
pub mod hold;
pub mod kpi;
pub mod ltv;
pub mod modifier;
pub mod pause;
pub mod plan;
pub mod portfolio;
pub mod pressure;
pub mod profile;
pub mod rule;
pub mod settings;
pub mod switchback;
pub mod target;
pub mod underperformer;
