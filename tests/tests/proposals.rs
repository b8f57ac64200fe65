//! A person at a shell: what waits is listed in the currency's own digits, and what was approved is taken back by the id
//! that `approve` told, although the command that came of it has another.

use serde_json::{Value, json};
use system_tests::avro::{Fields, schemas};
use system_tests::{Broker, Deployment, logs};

#[test]
fn an_approved_proposal_is_undone_by_its_own_id_and_by_its_command_s() {
    let Some(broker) = Broker::shared() else { return };
    let deployment = Deployment::new(broker, "proposals");
    let writer = logs::Writer::open(&deployment.brokers);
    let send = |word: &str, id: &str, state: &str, offset: i64| {
        let payload = schemas().encode("Adjustment", adjustment(id, state, offset));
        writer.send(deployment.topic(word), Some(0), Some(b"acme"), Some(&payload));
    };
    send("proposals", "p-open", "proposed", 3);
    send("proposals", "p-1", "proposed", 5);
    send("proposals", "p-1", "approved", 9);
    send("adjustments", "k-other", "issued", 7);
    send("adjustments", "k-1", "issued", 9);
    writer.flush();

    let listed = deployment.run(&["proposals", "list"]);
    assert_eq!(listed.lines().count(), 1, "{listed}");
    assert!(listed.contains("p-open") && listed.contains("set_daily_budget 12.50 EUR"), "{listed}");
    for id in ["p-1", "k-1"] {
        let said: Value = serde_json::from_str(&deployment.run(&["proposals", "undo", id])).expect("one JSON document");
        assert_eq!(said, json!({ "command_id": "k-1", "decision": "undo" }), "by {id}");
    }
    let refused = deployment.output(&["proposals", "undo", "p-open"]);
    assert_eq!(refused.status.code(), Some(1), "what was not approved became no command");

    let sent = logs::read(&deployment.brokers, &[deployment.topic("feedback")]);
    assert_eq!(sent.len(), 2);
    for entry in &sent {
        let (name, decision) = schemas().decode(entry.bytes()).expect("a decision decodes");
        assert_eq!((name, decision.text("command_id"), decision.text("decision")), ("Decision", "k-1", "undo"));
    }
    deployment.clean();
}

fn adjustment(id: &str, state: &str, offset: i64) -> Value {
    let (now_ms, week_ms) = (1_700_000_000_000_i64, 604_800_000);
    json!({
        "command_id": id, "account_id": "acme", "campaign_id": "spring",
        "target": { "level": "campaign", "id": "spring" }, "kind": "set_daily_budget", "value_micros": 12_500_000,
        "expected_previous": { "value_micros": 10_000_000, "sequence": 1 }, "currency": "EUR", "sequence": 2,
        "requires": [], "mode": "approve", "state": state, "issued_at": now_ms, "decided_at_event_time": now_ms,
        "effective_from": now_ms, "expires_at": now_ms + week_ms, "reason": "person",
        "risk": { "worst_case_micros": 0, "at_stake_micros": 0 },
        "explanation": {
            "text": "More.", "windows": [], "watermark": now_ms, "journal_partition": 0, "journal_offset": offset,
            "terms": [], "guard_edits": [], "without": "Less.", "policy_version": 1, "build": "b", "tzdb": "t",
        },
    })
}
