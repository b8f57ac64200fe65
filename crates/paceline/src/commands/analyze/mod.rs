//! `paceline analyze …`: the service's own estimators on a file.
//!
//! Each file of this folder reads one form of input, asks the pure estimator and prints its answer; no estimate is made
//! here. Rows are read one by one; kept are counts, or (where a question needs it) what is known of each journey or
//! customer. A mistake names the file, the line and the column, and nothing is printed then.

mod allocate;
mod attribute;
mod delay;
pub mod detect;
mod experiment;
mod ltv;
mod table;

use super::say;
use crate::cli::{AnalyzeCommand, Output};
use crate::failure::{Failure, Outcome};
use serde::Serialize;
use std::fs::File;
use std::path::Path;

/// Runs one of the questions.
pub fn run(command: &AnalyzeCommand) -> Outcome {
    match command {
        AnalyzeCommand::Attribute(arguments) => attribute::run(arguments),
        AnalyzeCommand::Detect(arguments) => detect::run(arguments),
        AnalyzeCommand::Experiment(arguments) => experiment::run(arguments),
        AnalyzeCommand::Delay(arguments) => delay::run(arguments),
        AnalyzeCommand::Allocate(arguments) => allocate::run(arguments),
        AnalyzeCommand::Ltv(arguments) => ltv::run(arguments),
    }
}

fn open(path: &Path) -> Outcome<File> {
    File::open(path)
        .map_err(|error| Failure::failed(format!("cannot open {}: {error}", path.display()), "check the path"))
}

/// Prints a document with the fields in the contract's order; what is not finite becomes null.
fn print(document: &impl Serialize, output: Output) -> Outcome {
    let text = match output {
        Output::Json => serde_json::to_string(document),
        Output::Text => serde_json::to_string_pretty(document),
    };
    say(&text.map_err(|error| Failure::failed(format!("cannot write the result: {error}"), ""))?)
}
