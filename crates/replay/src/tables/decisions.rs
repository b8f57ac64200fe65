//! Commands and proposals, one row for each state they reached.

use super::{Cell, Column, Row, decimal, text, time, whole};
use model::output::Adjustment;
use model::time::Millis;
use serde_json::{Map, Value, json};

impl Row for Adjustment {
    const COLUMNS: &'static [Column] = &[
        time("decided_at"),
        text("account_id"),
        text("campaign_id"),
        text("command_id"),
        text("state"),
        text("kind"),
        text("reason"),
        text("currency"),
        decimal("value"),
        decimal("value_ratio"),
        decimal("previous_value"),
        whole("sequence"),
        text("mode"),
        text("target_level"),
        text("target_id"),
        time("decided_at_event_time"),
        time("effective_from"),
        time("expires_at"),
        decimal("fallback_value"),
        time("fallback_at"),
        text("holder"),
        time("decide_by"),
        decimal("worst_case"),
        decimal("at_stake"),
        text("explanation"),
        text("without"),
        text("guard_edits"),
        text("terms"),
        text("windows"),
        time("watermark"),
        whole("journal_partition"),
        whole("journal_offset"),
        whole("policy_version"),
        text("build"),
    ];

    fn at(&self) -> Millis {
        self.issued_at
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        let why = &self.explanation;
        vec![
            Cell::time(self.issued_at),
            Cell::text(&self.account_id),
            Cell::text(&self.campaign_id),
            Cell::text(&self.command_id),
            Cell::text(&self.state),
            Cell::text(&self.kind),
            Cell::text(&self.reason),
            Cell::text(&self.currency),
            Cell::decimal(self.value_micros),
            Cell::decimal(self.value_ppm),
            Cell::decimal(self.expected_previous.value_micros),
            Cell::whole(self.sequence),
            Cell::text(&self.mode),
            Cell::text(&self.target.level),
            Cell::text(&self.target.id),
            Cell::time(self.decided_at_event_time),
            Cell::time(self.effective_from),
            Cell::time(self.expires_at),
            Cell::decimal(self.fallback.as_ref().and_then(|fallback| fallback.value_micros)),
            Cell::time(self.fallback.as_ref().map(|fallback| fallback.when)),
            Cell::maybe(self.holder.as_deref()),
            Cell::time(self.decide_by),
            Cell::decimal(self.risk.worst_case_micros),
            Cell::decimal(self.risk.at_stake_micros),
            Cell::text(&why.text),
            Cell::text(&why.without),
            Cell::made(why.guard_edits.join("; ")),
            Cell::made(terms(self).to_string()),
            Cell::made(json!(why.windows).to_string()),
            Cell::time(why.watermark),
            Cell::whole(i64::from(why.journal_partition)),
            Cell::whole(why.journal_offset),
            Cell::whole(why.policy_version),
            Cell::text(&why.build),
        ]
    }
}

fn terms(command: &Adjustment) -> Value {
    let terms = command.explanation.terms.iter();
    Value::Object(terms.map(|term| (term.name.clone(), json!(term.value))).collect::<Map<_, _>>())
}
