//! Desired states: every value and factor now in force of a campaign, and the lease that keeps an account's raises alive.
//!
//! What always holds: a desired state is a copy of the ledger and tells nothing that commands and answers did not; only a
//! lease is a fact of its own. Without its renewal every raise ends at its fallback, so silence never raises spend.

use crate::belief::Stamp;
use crate::campaign::{FLIGHT, Live};
use crate::desk::target;
use crate::factors::FactorSlot;
use crate::ledger::{AccountLedger, CampaignLedger, Lever, TABLE_KIND, VALUE_KIND};
use crate::measures::{NONE, net_spend};
use crate::slot::Slot;
use model::output::{DesiredState, DesiredValue, Dimension, Fallback, LedgerTotals, Term};
use model::time::Millis;

/// Key of an account's lease.
pub fn lease_key(account_id: &str) -> String {
    format!("lease/{account_id}")
}

/// The record of a campaign.
pub fn of_campaign(
    (account_id, campaign_id): (&str, &str),
    live: &Live,
    account: &AccountLedger,
    ledger: &CampaignLedger,
    now: Millis,
    stamp: Stamp<'_>,
) -> DesiredState {
    let levers = [(Lever::Bid, "set_bid"), (Lever::Budget, "set_daily_budget"), (Lever::State, "state")];
    let values = levers.into_iter().filter_map(|(lever, kind)| {
        let slot = ledger.slot(lever);
        let value = value(campaign_id, live, account, slot, kind)?;
        let holders = if lever == Lever::State { ledger.holders.words() } else { Vec::new() };
        Some(DesiredValue { holders, ..value })
    });
    let of_values = ledger.values.iter().map(|((name, value), slot)| {
        let dimension = Dimension { name: name.clone(), value: value.clone() };
        (Some(dimension), slot)
    });
    let factors = std::iter::once((None, &ledger.hours)).chain(of_values);
    let factors = factors.filter_map(|(dimension, slot)| factor(campaign_id, live, account, slot, dimension));
    DesiredState {
        account_id: account_id.to_owned(),
        campaign_id: Some(campaign_id.to_owned()),
        values: values.chain(factors).collect(),
        sequence: ledger.sequence,
        lease_until: account.lease_until,
        ledger: totals(live, account, ledger, now),
        journal_partition: stamp.journal_partition,
        journal_offset: stamp.journal_offset,
        policy_version: stamp.policy_version,
        build: stamp.build.to_owned(),
    }
}

/// The record that keeps all values in force of an account as of its last sequence.
pub fn lease(account_id: &str, account: &AccountLedger, until: Millis, stamp: Stamp<'_>) -> DesiredState {
    DesiredState {
        account_id: account_id.to_owned(),
        sequence: account.sequence,
        lease_until: Some(until),
        journal_partition: stamp.journal_partition,
        journal_offset: stamp.journal_offset,
        policy_version: stamp.policy_version,
        build: stamp.build.to_owned(),
        ..DesiredState::default()
    }
}

fn value(campaign_id: &str, live: &Live, account: &AccountLedger, slot: &Slot, kind: &str) -> Option<DesiredValue> {
    let last = slot.last.as_ref()?;
    // The state's kind says what is wanted: the value itself is no money.
    let (kind, wanted) = match (kind, last.value) {
        ("state", 0) => ("pause", None),
        ("state", _) => ("resume", None),
        (kind, value) => (kind, Some(value)),
    };
    Some(DesiredValue {
        target: target(campaign_id, &live.spec),
        kind: kind.to_owned(),
        dimension: None,
        wanted_micros: wanted,
        confirmed_micros: slot.confirmed.filter(|_| wanted.is_some()),
        confirmed_at: slot.confirmed_at,
        command_id: last.command_id.clone(),
        sequence: last.sequence,
        lease_until: account.lease_end(last),
        fallback: last.fallback.map(|(value, when)| Fallback { value_micros: Some(value), when }),
        ..DesiredValue::default()
    })
}

/// Factors by hour where there is no dimension, else that of one of its values.
fn factor(
    campaign_id: &str,
    live: &Live,
    account: &AccountLedger,
    slot: &FactorSlot,
    dimension: Option<Dimension>,
) -> Option<DesiredValue> {
    let last = slot.last.as_ref()?;
    let is_of_value = dimension.is_some();
    // After a lease what holds is what silence left; after a refusal what was confirmed.
    let wanted = if last.is_pending { &last.table } else { &slot.confirmed };
    let one = |table: &[i64]| table.first().copied().filter(|_| is_of_value);
    let whole = |table: &Vec<i64>| Some(table.clone()).filter(|table| !is_of_value && !table.is_empty());
    Some(DesiredValue {
        target: target(campaign_id, &live.spec),
        kind: if is_of_value { VALUE_KIND } else { TABLE_KIND }.to_owned(),
        dimension,
        confirmed_at: slot.confirmed_at,
        command_id: last.issued.command_id.clone(),
        sequence: last.issued.sequence,
        lease_until: account.lease_end(&last.issued),
        fallback: last.issued.fallback.map(|(_, when)| Fallback { value_micros: None, when }),
        wanted_ppm: one(wanted),
        confirmed_ppm: one(&slot.confirmed),
        wanted_table: whole(wanted),
        confirmed_table: whole(&slot.confirmed),
        ..DesiredValue::default()
    })
}

fn totals(live: &Live, account: &AccountLedger, ledger: &CampaignLedger, now: Millis) -> LedgerTotals {
    let day = live.calendar.day_of(now);
    let net = |sums: Option<_>| net_spend(&sums.unwrap_or(NONE));
    let increases = account.commands.recent(now).budget_increases_micros;
    let latches = [
        (ledger.halted, "halt"),
        (ledger.runaway_resumes_at(now) > 0, "runaway_resumed"),
        (ledger.bid.override_at.is_some(), "override"),
    ];
    LedgerTotals {
        spend_day_micros: live.net_spend_of_day(&day),
        spend_month_micros: net(live.months.get(day.month)),
        spend_flight_micros: net(live.totals.get(FLIGHT)),
        allowances: vec![Term { name: "budget_increases_hour_micros".into(), value: increases }],
        latches: latches.into_iter().filter(|(set, _)| *set).map(|(_, word)| word.to_owned()).collect(),
    }
}
