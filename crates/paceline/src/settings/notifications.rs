//! Where notifications of alerts go, and which.

use super::Reader;
use jiff::Timestamp;
use std::path::PathBuf;

/// A webhook for alerts.
#[derive(Clone, Debug)]
pub struct NotificationSettings {
    /// `http` or `https` address; nothing is sent without one.
    pub url: Option<String>,
    /// Secret of the signature; unsigned without.
    pub secret: Option<String>,
    /// Body that a Slack-compatible webhook takes, instead of the generic one.
    pub is_slack: bool,
    /// Least severity, as its rank: info 0, warning 1, critical 2.
    pub severity: usize,
    /// News are gathered for this long, so that many become one message.
    pub digest_ms: i64,
    /// What is not told.
    pub snoozes: Vec<Snooze>,
    /// PEM file of the certificates that are trusted; the system's where absent.
    pub ca: Option<PathBuf>,
}

/// Something that is not told for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snooze {
    /// Kind of alert, `*` for all.
    pub kind: String,
    /// Only of this account.
    pub account: Option<String>,
    /// Epoch milliseconds; for ever where absent.
    pub until_ms: Option<i64>,
}

impl NotificationSettings {
    /// Reads the table `notifications`.
    pub(super) fn read(reader: &mut Reader) -> Self {
        let url = reader.secret(
            "notifications.url",
            "webhook that alerts are sent to, http:// or https://; nothing is sent without; @file:PATH reads a file",
        );
        if url.as_ref().is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
            reader.mistake("notifications.url: it must begin with http:// or https://".into());
        }
        let secret = reader.secret(
            "notifications.secret",
            "secret that signs each message (HMAC-SHA256, as Standard Webhooks says); @file:PATH reads a file",
        );
        let format = reader.word("notifications.format", &["json", "slack"], "body of a message");
        let severity =
            reader.word("notifications.severity", &["warning", "info", "critical"], "least severity that is told");
        let digest_ms = reader.duration_ms(
            "notifications.digest",
            "1m",
            "news are gathered for this long into one message; critical ones for 2 s at most",
        );
        let snoozes = reader.text(
            "notifications.snooze",
            "",
            "what is not told: KIND, KIND@ACCOUNT or either with =UNTIL, separated by commas; * is every kind",
        );
        let ca = reader.text("notifications.ca", "", "PEM file of trusted certificates; the system's without");
        Self {
            url,
            secret,
            is_slack: format == "slack",
            severity: ["info", "warning", "critical"].iter().position(|word| *word == severity).unwrap_or(1),
            digest_ms,
            snoozes: read_snoozes(reader, &snoozes),
            ca: (!ca.is_empty()).then(|| ca.into()),
        }
    }
}

fn read_snoozes(reader: &mut Reader, text: &str) -> Vec<Snooze> {
    let mut snoozes = Vec::new();
    for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
        match parse(one) {
            Some(snooze) => snoozes.push(snooze),
            None => reader.mistake(format!(
                "notifications.snooze: {one:?} is not KIND, KIND@ACCOUNT or either with =UNTIL, \
                 for example data_gap@acme=2026-12-01T08:00:00Z"
            )),
        }
    }
    snoozes
}

fn parse(text: &str) -> Option<Snooze> {
    let (what, until_ms) = match text.split_once('=') {
        None => (text, None),
        Some((what, until)) => (what, Some(until.trim().parse::<Timestamp>().ok()?.as_millisecond())),
    };
    let (kind, account) = match what.split_once('@') {
        None => (what, None),
        Some((kind, account)) => (kind, Some(account.trim().to_owned()).filter(|account| !account.is_empty())),
    };
    let kind = kind.trim();
    let is_word = kind == "*" || (!kind.is_empty() && kind.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
    let is_whole = account.is_some() || !what.contains('@');
    (is_word && is_whole).then(|| Snooze { kind: kind.to_owned(), account, until_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snooze_names_a_kind_and_may_name_an_account_and_an_end() {
        let snooze = |kind: &str, account: Option<&str>, until_ms| {
            Some(Snooze { kind: kind.into(), account: account.map(str::to_owned), until_ms })
        };
        assert_eq!(parse("data_gap"), snooze("data_gap", None, None));
        assert_eq!(parse("*@acme=1970-01-01T00:00:01Z"), snooze("*", Some("acme"), Some(1_000)));
        for wrong in ["", "Data gap", "data_gap=tomorrow", "@acme", "data_gap@"] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }
}
