//! `paceline dead-letters`.

use super::{ConfigFiles, Output};
use clap::{Args, Subcommand};

/// `paceline dead-letters …`
#[derive(Subcommand, Debug)]
pub enum DeadLettersCommand {
    /// Print refused records with their reasons, personal fields masked
    List {
        #[command(flatten)]
        #[allow(missing_docs)]
        filter: LetterFilter,
        /// Print keys, personal fields and undecodable values too
        #[arg(long)]
        unmask: bool,
        /// Form of the result
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Send the original bytes back to their topic, each refusal once; what would be refused again stays
    Retry(RetryLetters),
}

/// Which refused records.
#[derive(Args, Debug, Clone)]
pub struct LetterFilter {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub config: ConfigFiles,
    /// Only from this topic
    #[arg(long)]
    pub topic: Option<String>,
    /// Only with this reason: unknown_schema, decode_error, invalid_value, future …
    #[arg(long)]
    pub reason: Option<String>,
    /// Only this one, by its id in the list (partition/offset); may be given more than once
    #[arg(long, value_name = "P/O")]
    pub id: Vec<String>,
    /// Refused from this instant on (epoch ms or RFC 3339)
    #[arg(long)]
    pub from: Option<String>,
    /// Refused until this instant
    #[arg(long)]
    pub to: Option<String>,
    /// At most this many, the newest
    #[arg(long)]
    pub max: Option<usize>,
}

impl LetterFilter {
    /// Whether every letter is meant.
    pub fn is_empty(&self) -> bool {
        let texts = [&self.topic, &self.reason, &self.from, &self.to];
        texts.iter().all(|text| text.is_none()) && self.id.is_empty()
    }
}

/// `paceline dead-letters retry`
#[derive(Args, Debug, Clone)]
pub struct RetryLetters {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub filter: LetterFilter,
    /// All of them; needed where nothing else says which
    #[arg(long)]
    pub all: bool,
    /// Say what would go back, and send nothing
    #[arg(long)]
    pub dry_run: bool,
    /// A record that came back this often is poison and stays
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub attempts: u32,
}
