//! What people change: what goes to the feedback topic, and what the audit keeps.

use super::*;
use model::fact::Fact;
use serde_json::json;

#[test]
fn an_approval_goes_out_with_who_and_why_and_is_audited() {
    let api = Api::new();
    api.published().put_proposal(&command("p1", "set_bid", "proposed", 1));
    let (status, answer) = api.post("/proposals/p1/approve", &json!({ "reason": " seen " }));
    assert_eq!((status, &answer["sent"][0]["outcome"]), (202, &"sent".into()));
    let parcel = api.parcels.try_recv().unwrap();
    let Fact::Decision(decision) = parcel.fact else { panic!("not a decision") };
    assert_eq!((decision.command_id.as_str(), decision.decision.as_str()), ("p1", "approve"));
    assert_eq!((decision.actor.as_str(), decision.reason.as_deref()), ("local operator", Some("seen")));
    assert_eq!((decision.account_id.as_str(), parcel.key.as_str()), ("acme", "c1"));
    api.shared.audit.conclude(parcel.audit_id, "sent", None);
    let entry = &api.document("/audit")["entries"][0];
    assert_eq!(
        (&entry["actor"], &entry["action"], &entry["outcome"]),
        (&"local operator".into(), &"approve".into(), &"sent".into())
    );
    assert_eq!((&entry["subject"], &entry["reason"]), (&"p1".into(), &"seen".into()));
}

#[test]
fn what_no_longer_waits_is_not_decided() {
    let api = Api::new();
    api.published().put_proposal(&command("done", "set_bid", "approved", 1));
    let late = Adjustment { decide_by: Some(5), ..command("late", "set_bid", "proposed", 1) };
    api.published().put_proposal(&late);
    for (id, status) in [("done", 409), ("late", 409), ("nobody", 404)] {
        assert_eq!(api.post(&format!("/proposals/{id}/reject"), &json!({ "reason": "x" })).0, status, "{id}");
    }
    assert!(api.parcels.try_recv().is_err());
    assert_eq!(api.document("/audit")["entries"][0]["outcome"], "refused");
}

#[test]
fn who_made_a_proposal_does_not_decide_it() {
    let api = Api::new();
    api.published().put_proposal(&command("p1", "set_bid", "proposed", 1));
    let engine = super::super::access::Caller {
        name: super::super::access::ENGINE.into(),
        role: crate::settings::TokenRole::Admin,
    };
    let body = super::super::problem::Told(serde_json::from_value(json!({ "reason": "mine" })).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answer = runtime.block_on(super::super::writing::approve(
        axum::extract::State(api.shared.clone()),
        axum::Extension(engine),
        axum::extract::Path("p1".to_owned()),
        body,
    ));
    let (status, problem) = read(axum::response::IntoResponse::into_response(answer));
    assert_eq!((status, &problem["type"]), (403, &"urn:paceline:own_proposal".into()));
}

#[test]
fn a_specification_that_waits_is_decided_by_its_version() {
    let api = Api::new();
    let mut entry = campaign("acme", "c1", 1);
    entry.view.spec_waits_version = Some(7);
    api.published().put_campaign(entry, 0);
    assert_eq!(api.post("/proposals/spec%2Fc1%2F6/approve", &json!({ "reason": "x" })).0, 404);
    assert_eq!(api.post("/proposals/spec%2Fc1%2F7/approve", &json!({ "reason": "x" })).0, 202);
    let Fact::Decision(decision) = api.parcels.try_recv().unwrap().fact else { panic!("not a decision") };
    assert_eq!((decision.command_id.as_str(), decision.account_id.as_str()), ("spec/c1/7", "acme"));
}

#[test]
fn a_specification_that_waits_in_two_accounts_is_decided_for_neither() {
    let api = Api::new();
    for account in ["acme", "tea"] {
        let mut entry = campaign(account, "c1", 1);
        entry.view.spec_waits_version = Some(7);
        api.published().put_campaign(entry, 0);
    }
    let (status, problem) = api.post("/proposals/spec%2Fc1%2F7/approve", &json!({ "reason": "x" }));
    assert_eq!((status, &problem["type"]), (409, &"urn:paceline:ambiguous".into()));
    assert_eq!(api.parcels.try_iter().count(), 0);
}

#[test]
fn many_are_decided_each_by_itself() {
    let api = Api::new();
    api.published().put_proposal(&command("p1", "set_bid", "proposed", 1));
    api.published().put_proposal(&command("p2", "set_bid", "rejected", 1));
    let body = json!({ "ids": ["p1", "p2", "p3", "p1"], "action": "reject", "reason": "too early" });
    let (status, answer) = api.post("/proposals/bulk", &body);
    let outcomes: Vec<&str> =
        answer["sent"].as_array().unwrap().iter().map(|sent| sent["outcome"].as_str().unwrap()).collect();
    assert_eq!((status, outcomes), (202, vec!["sent", "already_decided", "unknown"]));
    assert_eq!(api.parcels.try_iter().count(), 1);
    assert_eq!(api.post("/proposals/bulk", &json!({ "ids": [], "action": "reject", "reason": "x" })).0, 400);
}

#[test]
fn a_halt_and_its_release_go_out_under_the_key_of_their_scope() {
    let api = Api::new();
    let body = json!({ "scope": "campaign=acme/c1", "reason": "wrong prices" });
    assert_eq!((api.post("/halts", &body).0, api.post("/halts/release", &body).0), (202, 202));
    let said: Vec<(String, String, String)> = api
        .parcels
        .try_iter()
        .map(|parcel| match parcel.fact {
            Fact::Halt(halt) => (halt.scope, halt.action, parcel.key),
            _ => panic!("not a halt"),
        })
        .collect();
    let said: Vec<(&str, &str, &str)> = said.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    assert_eq!(said, [("campaign", "set", "c1"), ("campaign", "release", "c1")]);
    for scope in ["everything", "account=", "campaign=acme", "integrity", ""] {
        assert_eq!(api.post("/halts", &json!({ "scope": scope, "reason": "x" })).0, 400, "{scope}");
    }
}

#[test]
fn a_word_without_a_reason_is_not_taken() {
    let api = Api::new();
    let long = "x".repeat(501);
    for body in [
        json!({ "scope": "global" }),
        json!({ "scope": "global", "reason": "  " }),
        json!({ "scope": "global", "reason": long }),
        json!({ "scope": "global", "reason": "fine\nINFO approved by ann" }),
        json!({ "scope": "account=a\u{1b}[2J", "reason": "x" }),
        json!({ "scope": "global", "reason": "x", "force": true }),
        json!([]),
    ] {
        let (status, problem) = api.post("/halts", &body);
        assert!(status == 400 || status == 422, "{status} {problem}");
        assert_eq!(problem["status"], status);
    }
    assert!(api.parcels.try_recv().is_err());
}

#[test]
fn a_full_queue_is_told_and_a_large_body_is_not_read() {
    let api = Api::new();
    let body = json!({ "scope": "global", "reason": "x" });
    let mut last = 202;
    for _ in 0..300 {
        last = api.post("/halts", &body).0;
    }
    assert_eq!(last, 503);
    assert_eq!(api.document("/audit?limit=1")["entries"][0]["outcome"], "refused");
    assert_eq!(api.post("/halts", &json!({ "scope": "global", "reason": "x".repeat(70_000) })).0, 413);
}

#[test]
fn an_undo_shows_what_it_would_do_and_goes_out_with_the_value_that_was_shown() {
    let api = Api::new();
    let mut entry = campaign("acme", "c1", 1);
    entry.undos = vec![undoable("last", "set_bid", Some((3_000_000, 2_000_000)))];
    api.published().put_campaign(entry, 0);
    api.published().put_adjustment(&command("earlier", "set_bid", "issued", 1));
    api.published().put_adjustment(&command("last", "set_bid", "issued", 2));
    let shown = api.document("/adjustments/last/undo");
    assert_eq!(
        (&shown["possible"], &shown["to_micros"], &shown["goes_as"]),
        (&true.into(), &2_000_000.into(), &"command".into())
    );
    assert_eq!(api.document("/adjustments/earlier/undo")["possible_reason"], "not_the_last");
    let why = json!({ "reason": "wrong season" });
    let statuses = ["last", "earlier", "nobody"].map(|id| api.post(&format!("/adjustments/{id}/undo"), &why).0);
    assert_eq!(statuses, [202, 409, 404]);
    let Fact::Decision(decision) = api.parcels.try_recv().unwrap().fact else { panic!("not a decision") };
    assert_eq!((decision.decision.as_str(), decision.value_micros), ("undo", Some(2_000_000)));
    let audit = api.document("/audit");
    assert!(
        audit["entries"]
            .as_array()
            .unwrap()
            .iter()
            .any(|entry| entry["action"] == "undo" && entry["subject"] == "last")
    );
}

#[test]
fn who_asked_for_an_undo_does_not_approve_it() {
    let token = |name: &str| format!("{name}-0123456789abcdef0123456789abcdef");
    let hash = |name: &str| {
        use sha2::{Digest, Sha256};
        Sha256::digest(token(name)).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let (ann, bob) = (format!("approver:{}", hash("ann")), format!("approver:{}", hash("bob")));
    let api = Api::with(&[("HTTP__TOKENS__ANN", &ann), ("HTTP__TOKENS__BOB", &bob)]);
    let proposal = Adjustment { group_id: Some("undo/last/ann".into()), ..command("p", "set_bid", "proposed", 1) };
    api.published().put_proposal(&proposal);
    let by = |name: &str| {
        let bearer = format!("Bearer {}", token(name));
        api.post_with("/proposals/p/approve", &json!({ "reason": "x" }), &[("authorization", bearer.as_str())]).0
    };
    assert_eq!((by("ann"), by("bob")), (403, 202));
}

#[test]
fn words_on_their_way_are_waited_for_within_a_limit() {
    let api = Api::new();
    api.shared.drain();
    assert_eq!(api.post("/halts", &json!({ "scope": "global", "reason": "x" })).0, 202);
    let started = std::time::Instant::now();
    api.shared.drain();
    assert!(started.elapsed() >= std::time::Duration::from_millis(50), "nobody takes from this queue");
}
