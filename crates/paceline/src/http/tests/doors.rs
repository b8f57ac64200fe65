//! Each rule of the door, by what happens where it is broken.

use super::*;
use crate::settings::TokenRole;
use serde_json::json;
use sha2::{Digest, Sha256};

const TOKENS: [&str; 4] = ["token-viewer", "token-operator", "token-approver", "token-admin"];

/// With one token for each role, called as the role.
fn guarded(more: &[(&str, &str)]) -> Api {
    let hash = |role: &str, token: &str| {
        let hash: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{role}:{hash}")
    };
    let tokens: Vec<(String, String)> = TokenRole::ALL
        .iter()
        .zip(TOKENS)
        .map(|(role, token)| (format!("HTTP__TOKENS__{}1", role.as_str().to_uppercase()), hash(role.as_str(), token)))
        .collect();
    let mut all: Vec<(&str, &str)> = tokens.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    all.extend(more);
    Api::with(&all)
}

fn with_token(api: &Api, path: &str, token: &str) -> u16 {
    let request = request("GET", path).header(header::AUTHORIZATION, format!("Bearer {token}"));
    read(api.send(request.body(Body::empty()).unwrap())).0
}

fn halt() -> Value {
    json!({ "scope": "account=acme", "reason": "wrong prices" })
}

#[test]
fn a_foreign_name_in_the_host_header_is_refused() {
    let api = Api::new();
    let with_host = |host: &str| {
        let request = Request::builder().uri("/api/v1/overview").header(header::HOST, host);
        api.send(request.body(Body::empty()).unwrap()).status().as_u16()
    };
    for (host, status) in [
        ("localhost", 200),
        ("localhost:8080", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("rebound.example:8080", 421),
        ("localhost.rebound.example", 421),
        ("", 421),
    ] {
        assert_eq!(with_host(host), status, "{host}");
    }
    let bare = Request::builder().uri("/api/v1/overview").body(Body::empty()).unwrap();
    assert_eq!(api.send(bare).status(), 421);
    let named = Api::with(&[("HTTP__HOSTS", "ads.example, Paceline.Example")]);
    let request = Request::builder().uri("/").header(header::HOST, "paceline.example").body(Body::empty()).unwrap();
    assert_eq!(named.send(request).status(), 200);
}

#[test]
fn with_tokens_nobody_reads_without_one() {
    let api = guarded(&[]);
    assert_eq!(api.get("/overview").0, 401);
    assert_eq!(with_token(&api, "/overview", "guess"), 401);
    for token in TOKENS {
        assert_eq!(with_token(&api, "/overview", token), 200, "{token}");
    }
    let answer = api.send(request("GET", "/overview").body(Body::empty()).unwrap());
    assert_eq!(answer.headers()[header::WWW_AUTHENTICATE], "Bearer");
}

#[test]
fn a_role_does_what_it_may_and_no_more() {
    let api = guarded(&[]);
    api.published().put_proposal(&command("p", "set_bid", "proposed", 1));
    let (all, integrity) =
        (json!({ "scope": "global", "reason": "x" }), json!({ "scope": "integrity", "reason": "x" }));
    let cases: [(&str, Value, [u16; 4]); 5] = [
        ("/proposals/p/approve", json!({ "reason": "seen" }), [403, 403, 202, 202]),
        ("/halts", all.clone(), [403, 202, 202, 202]),
        ("/halts/release", halt(), [403, 202, 403, 202]),
        ("/halts/release", all, [403, 403, 403, 202]),
        ("/halts/release", integrity, [403, 403, 403, 202]),
    ];
    for (path, body, wanted) in cases {
        for (token, status) in TOKENS.iter().zip(wanted) {
            let bearer = format!("Bearer {token}");
            let (found, answer) = api.post_with(path, &body, &[("authorization", bearer.as_str())]);
            assert_eq!(found, status, "{token} {path} {body}: {answer}");
        }
    }
    assert_eq!(TOKENS.map(|token| with_token(&api, "/audit", token)), [403, 403, 200, 200]);
}

#[test]
fn a_service_beyond_the_loopback_without_tokens_only_reads() {
    let api = Api::with(&[("HTTP__LISTEN", "0.0.0.0:0"), ("HTTP__UNPROTECTED_BEHIND_PROXY", "true")]);
    let to = |builder: axum::http::request::Builder| builder.uri("http://10.0.0.1/api/v1/halts");
    let read_it = to(Request::builder()).header(header::HOST, "10.0.0.1").body(Body::empty()).unwrap();
    assert_eq!(api.send(read_it).status(), 200);
    let write = to(Request::builder()).method("POST").header(header::HOST, "10.0.0.1");
    let write = write.header(header::CONTENT_TYPE, "application/json").body(Body::from(halt().to_string())).unwrap();
    assert_eq!(api.send(write).status(), 403);
    assert!(api.parcels.try_recv().is_err());
}

#[test]
fn a_foreign_page_changes_nothing() {
    let api = Api::new();
    for (name, value, status) in [
        ("origin", "http://evil.example", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("origin", "http://localhost:8080", 202),
        ("sec-fetch-site", "same-origin", 202),
    ] {
        let (found, answer) = api.post_with("/halts", &halt(), &[(name, value)]);
        assert_eq!(found, status, "{name}: {value}: {answer}");
        assert_eq!(api.parcels.try_recv().is_ok(), status == 202);
    }
}

#[test]
fn a_form_is_taken_nowhere() {
    let api = Api::new();
    let posts = super::super::routes().into_iter().filter(|(_, methods, _)| methods.contains(&"post"));
    for path in posts.map(|(path, ..)| path.replace("{id}", "p")) {
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            let form = request("POST", &path).header(header::CONTENT_TYPE, kind);
            let status = api.send(form.body(Body::from(halt().to_string())).unwrap()).status();
            assert_eq!(status, 415, "{path} {kind}");
        }
        let bare = request("POST", &path).body(Body::from(halt().to_string())).unwrap();
        assert_eq!(api.send(bare).status(), 415, "{path}");
    }
    assert!(api.parcels.try_recv().is_err());
    assert_eq!(api.send(request("POST", "/alerts").body(Body::empty()).unwrap()).status(), 405);
}

#[test]
fn a_token_becomes_a_cookie_that_scripts_and_other_sites_do_not_get() {
    let api = guarded(&[]);
    assert_eq!(api.post("/session", &json!({ "token": "guess" })).0, 401);
    let login = request("POST", "/session").header(header::CONTENT_TYPE, "application/json");
    let answer = api.send(login.body(Body::from(json!({ "token": TOKENS[2] }).to_string())).unwrap());
    let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains("Secure"),
        "{cookie}"
    );
    let pair = cookie.split(';').next().unwrap();
    let (status, session) =
        read(api.send(request("GET", "/session").header(header::COOKIE, pair).body(Body::empty()).unwrap()));
    assert_eq!((status, &session["role"], &session["can"][0]), (200, &"approver".into(), &"approve".into()));
    let foreign = [("cookie", pair), ("origin", "https://evil.example")];
    assert_eq!(api.post_with("/session", &json!({ "token": TOKENS[2] }), &foreign).0, 403);
}

#[test]
fn an_answer_that_is_known_is_not_sent_again() {
    let api = Api::new();
    let ask = |tag: Option<&str>| {
        let mut request = request("GET", "/campaigns");
        if let Some(tag) = tag {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        api.send(request.body(Body::empty()).unwrap())
    };
    let tag = ask(None).headers()[header::ETAG].to_str().unwrap().to_owned();
    assert_eq!(ask(Some(&format!("\"other\", W/{tag}"))).status(), 304);
    api.published().put_campaign(campaign("acme", "c1", 1), 0);
    assert_eq!(ask(Some(&tag)).status(), 200);
}

#[test]
fn every_answer_says_that_it_is_no_page_of_anybody_else() {
    let api = Api::new();
    for path in ["/overview", "/nothing"] {
        let answer = api.send(request("GET", path).body(Body::empty()).unwrap());
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers()["cross-origin-resource-policy"], "same-origin");
    }
}
