//! Alerts, one row for each change of their lives.

use super::{Cell, Column, Row, decimal, text, time, whole};
use model::output::Alert;
use model::time::Millis;

impl Row for Alert {
    const COLUMNS: &'static [Column] = &[
        time("updated_at"),
        text("alert_id"),
        text("kind"),
        text("severity"),
        text("state"),
        text("scope"),
        text("account_id"),
        text("campaign_id"),
        time("opened_at"),
        time("resolved_at"),
        whole("observed"),
        whole("expected"),
        decimal("at_stake"),
        text("incident_id"),
        text("suggested_command"),
        text("explanation"),
        whole("journal_partition"),
        whole("journal_offset"),
        whole("policy_version"),
        text("build"),
    ];

    fn at(&self) -> Millis {
        self.updated_at
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            Cell::time(self.updated_at),
            Cell::text(&self.alert_id),
            Cell::text(&self.kind),
            Cell::text(&self.severity),
            Cell::text(&self.state),
            Cell::text(&self.scope),
            Cell::maybe(self.account_id.as_deref()),
            Cell::maybe(self.campaign_id.as_deref()),
            Cell::time(self.opened_at),
            Cell::time(self.resolved_at),
            Cell::whole(self.observed),
            Cell::whole(self.expected),
            Cell::decimal(self.money_at_stake_micros),
            Cell::text(&self.incident_id),
            Cell::maybe(self.suggested_command.as_deref()),
            Cell::text(&self.text),
            Cell::whole(i64::from(self.journal_partition)),
            Cell::whole(self.journal_offset),
            Cell::whole(self.policy_version),
            Cell::text(&self.build),
        ]
    }
}
