//! A message's body and its signature.
//!
//! The signature is that of Standard Webhooks: HMAC-SHA256 over id, time and body, so libraries of every language check
//! it. The time is part of it, so an old message cannot be sent again by somebody else.

use super::desk::Told;
use model::time::Millis;
use openssl::base64::{decode_block, encode_block};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use serde_json::json;

/// A secret may be given as the base64 of its bytes behind this.
const SECRET_PREFIX: &str = "whsec_";

/// The generic body.
pub fn generic(told: &[Told], build: &str, at: Millis) -> String {
    json!({ "source": "paceline", "build": build, "sent_at": at, "incidents": told }).to_string()
}

/// The body that Slack, Mattermost, Rocket.Chat and others take.
pub fn slack(told: &[Told]) -> String {
    let lines: Vec<String> = told.iter().map(line).collect();
    json!({ "text": lines.join("\n") }).to_string()
}

fn line(told: &Told) -> String {
    let whom = match (told.campaigns.as_slice(), told.accounts.as_slice()) {
        ([campaign], [account]) => format!("{account}/{campaign}"),
        ([], accounts) => accounts.join(", "),
        (campaigns, _) => campaigns.join(", "),
    };
    let count = if told.alerts_open > 1 { format!(" ({} alerts)", told.alerts_open) } else { String::new() };
    let (state, severity, kind) = (told.state, &told.severity, &told.kind);
    format!("*{state}* {severity} {kind}{count} {}: {}", escape(&whom), escape(&told.text))
}

/// The three characters that mean something else there.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Value of the header `webhook-signature`.
pub fn signature(secret: &str, id: &str, at_seconds: i64, body: &str) -> Result<String, ErrorStack> {
    let key = match secret.strip_prefix(SECRET_PREFIX) {
        Some(encoded) => decode_block(encoded)?,
        None => secret.as_bytes().to_vec(),
    };
    let key = PKey::hmac(&key)?;
    let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
    signer.update(format!("{id}.{at_seconds}.{body}").as_bytes())?;
    Ok(format!("v1,{}", encode_block(&signer.sign_to_vec()?)))
}

#[cfg(test)]
mod tests {
    use super::super::desk::Desk;
    use super::super::desk::tests::{alert, settings};
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specification_s_example() {
        // Standard Webhooks, "Signature scheme", test vector of its libraries.
        let signed = signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signed.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn bodies_tell_who_and_what_and_let_no_text_be_read_as_markup() {
        let mut desk = Desk::new(&settings(&[]));
        desk.take(&alert("i", "c1", "critical", "opened"), 0);
        let told = desk.handle_timeout(60_000);
        let slack: serde_json::Value = serde_json::from_str(&slack(&told)).unwrap();
        assert_eq!(slack["text"], "*opened* critical cost_spike acme/c1: a &lt;click&gt; costs twice");
        let generic: serde_json::Value = serde_json::from_str(&generic(&told, "b", 7)).unwrap();
        assert_eq!(generic["incidents"][0]["campaigns"][0], "c1");
        assert_eq!(generic["incidents"][0]["money_at_stake_micros"], 5);
    }
}
