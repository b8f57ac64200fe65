//! `paceline token new`: a token for the API, shown once, and the line of the settings that knows it.

use super::{say, say_json};
use crate::cli::{NewToken, Output, TokenCommand};
use crate::failure::{Failure, Outcome};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io::Read;

/// Makes it.
pub fn run(command: &TokenCommand) -> Outcome {
    let TokenCommand::New(arguments) = command;
    let token = token()?;
    let setting = setting(arguments, &token);
    if arguments.output == Output::Json {
        return say_json(&json!({ "token": token, "setting": setting.0, "value": setting.1 }), Output::Json);
    }
    say(&format!("token, shown this once: {token}"))?;
    say("setting, for the service's configuration file:")?;
    say("[http.tokens]")?;
    say(&format!("{} = \"{}\"", arguments.name, setting.1))
}

fn setting(arguments: &NewToken, token: &str) -> (String, String) {
    let hash = Sha256::digest(token.as_bytes());
    (format!("http.tokens.{}", arguments.name), format!("{}:{}", arguments.role.as_str(), hex(&hash)))
}

/// 256 bits from the system, after a prefix by which scanners of secrets know it.
fn token() -> Outcome<String> {
    let mut bytes = [0_u8; 32];
    std::fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes)).map_err(|error| {
        Failure::failed(format!("cannot read random bytes from /dev/urandom: {error}"), "make it on another machine")
    })?;
    Ok(format!("paceline_{}", hex(&bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Access;
    use crate::settings::{Settings, TokenRole};
    use std::collections::BTreeMap;

    #[test]
    fn the_printed_setting_knows_the_printed_token() {
        let token = token().unwrap();
        let name = "ann".to_owned();
        let (path, value) = setting(&NewToken { role: TokenRole::Approver, name, output: Output::Text }, &token);
        let variable = format!("PACELINE__{}", path.to_uppercase().replace('.', "__"));
        let (settings, _) = Settings::load_with(&[], &BTreeMap::from([(variable, value)])).unwrap();
        let access = Access::of(&settings.http, settings.http_listen);
        let holder = access.holder(&token).unwrap();
        assert_eq!((holder.name.as_str(), holder.role), ("ann", TokenRole::Approver));
        assert_eq!(access.holder(&token[..40]), None);
    }
}
