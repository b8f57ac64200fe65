//! Who may use the API, from where and over what.
//!
//! What always holds: an address that other machines reach is refused unless there are TLS and tokens, or the override
//! that says in its name what it gives up.

use super::Reader;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Names that the controller reads as somebody who is no person.
const RESERVED_NAMES: [&str; 3] = ["paceline", "platform", "unknown"];

/// Settings of the API's door.
#[derive(Clone, Debug, Default)]
pub struct HttpSettings {
    /// Who may come in; everybody on this machine where there are none.
    pub tokens: Vec<TokenSetting>,
    /// Certificate chain and key.
    pub tls: Option<TlsFiles>,
    /// Names in the Host header that are taken, beside addresses and, on the loopback, `localhost`.
    pub hosts: BTreeSet<String>,
}

/// One token, as its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSetting {
    /// Who holds it; stands in the audit and in the feedback records.
    pub name: String,
    /// What it allows.
    pub role: TokenRole,
    /// SHA-256 of the token: it is 256 random bits, so nothing slower is needed.
    pub sha256: [u8; 32],
}

/// What a token allows. All may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRole {
    /// Nothing else.
    Viewer,
    /// Halts and releases accounts and campaigns.
    Operator,
    /// Approves and rejects proposals; halts.
    Approver,
    /// Everything.
    Admin,
}

impl TokenRole {
    /// All, the least first.
    pub const ALL: [TokenRole; 4] = [TokenRole::Viewer, TokenRole::Operator, TokenRole::Approver, TokenRole::Admin];

    /// The word in settings and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            TokenRole::Viewer => "viewer",
            TokenRole::Operator => "operator",
            TokenRole::Approver => "approver",
            TokenRole::Admin => "admin",
        }
    }

    /// The role of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// Files of the server's certificate.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// PEM, the server's certificate first.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

impl HttpSettings {
    /// Reads the table `http` but for the address.
    pub(super) fn read(reader: &mut Reader, listen: SocketAddr) -> Self {
        let certificate = reader.text("http.tls.certificate", "", "PEM file of the API's certificate chain");
        let key = reader.text("http.tls.key", "", "PEM file of the API's private key");
        if certificate.is_empty() != key.is_empty() {
            reader.mistake("http.tls.certificate and http.tls.key: one without the other; set both or none".into());
        }
        let tls = (!certificate.is_empty() && !key.is_empty())
            .then(|| TlsFiles { certificate: certificate.into(), key: key.into() });
        let hosts = reader.text("http.hosts", "", "names under which the API is reached, separated by commas");
        let hosts = hosts.split(',').map(|host| host.trim().to_ascii_lowercase()).filter(|host| !host.is_empty());
        let unprotected = reader.flag(
            "http.unprotected_behind_proxy",
            false,
            "listen beyond this machine without TLS and tokens: only on a private network, behind a proxy that has both",
        );
        let settings = Self { tls, hosts: hosts.collect(), tokens: tokens(reader) };
        let is_safe = settings.tls.is_some() && !settings.tokens.is_empty();
        if !listen.ip().is_loopback() && !is_safe && !unprotected {
            reader.mistake(format!(
                "http.listen: other machines reach {listen}, so http.tls.certificate, http.tls.key and at least one \
                 http.tokens.NAME (see `paceline token new`) must be set; or listen on 127.0.0.1; or, on a private \
                 network behind a proxy that has both, set http.unprotected_behind_proxy"
            ));
        }
        settings
    }
}

fn tokens(reader: &mut Reader) -> Vec<TokenSetting> {
    let table = reader.open_table("http.tokens", "role and SHA-256 of a token, as `paceline token new` prints them");
    let mut tokens: Vec<TokenSetting> = Vec::new();
    for (name, text) in table {
        match token(&name, &text) {
            Ok(token) if tokens.iter().any(|other| other.sha256 == token.sha256) => {
                reader.mistake(format!("http.tokens.{name}: the same token as another; make one for each person"));
            }
            Ok(token) => tokens.push(token),
            Err(why) => reader.mistake(format!("http.tokens.{name}: {why}")),
        }
    }
    tokens
}

fn token(name: &str, text: &str) -> Result<TokenSetting, String> {
    if RESERVED_NAMES.contains(&name.to_ascii_lowercase().as_str()) {
        return Err("this name stands for somebody who is no person; use another".into());
    }
    let (role, hash) = text.split_once(':').ok_or("write ROLE:SHA256, as `paceline token new` prints it")?;
    let words = TokenRole::ALL.map(TokenRole::as_str).join(", ");
    let role = TokenRole::parse(role).ok_or_else(|| format!("{role:?} is not one of {words}"))?;
    let sha256 = unhex(hash).ok_or("the hash is not 64 hexadecimal digits; see `paceline token new`")?;
    Ok(TokenSetting { name: name.to_owned(), role, sha256 })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    bytes.try_into().ok().filter(|_| digits.len() == 64)
}

#[cfg(test)]
mod tests {
    use crate::settings::Settings;
    use std::collections::BTreeMap;

    fn load(pairs: &[(&str, &str)]) -> Result<Settings, (u8, Vec<String>)> {
        let environment: BTreeMap<String, String> =
            pairs.iter().map(|(name, value)| (format!("PACELINE__HTTP__{name}"), (*value).to_owned())).collect();
        match Settings::load_with(&[], &environment) {
            Ok((settings, _)) => Ok(settings),
            Err(failure) => Err((failure.kind.exit_code(), failure.mistakes)),
        }
    }

    #[test]
    fn an_address_that_others_reach_needs_tls_and_tokens() {
        let hash = format!("viewer:{}", "0f".repeat(32));
        let open = [("LISTEN", "0.0.0.0:8080")];
        let (code, mistakes) = load(&open).unwrap_err();
        assert_eq!((code, mistakes.len()), (78, 1));
        assert!(mistakes[0].contains("http.listen") && mistakes[0].contains("paceline token new"), "{mistakes:?}");
        let tls = [("TLS__CERTIFICATE", "c.pem"), ("TLS__KEY", "k.pem")];
        assert!(load(&[&open[..], &tls[..]].concat()).is_err(), "TLS alone");
        assert!(load(&[&open[..], &[("TOKENS__ANN", hash.as_str())]].concat()).is_err(), "tokens alone");
        assert!(load(&[&open[..], &tls[..], &[("TOKENS__ANN", hash.as_str())]].concat()).is_ok());
        assert!(load(&[open[0], ("UNPROTECTED_BEHIND_PROXY", "true")]).is_ok());
        assert!(load(&[("LISTEN", "[::1]:8080")]).is_ok());
    }

    #[test]
    fn a_token_must_name_a_person_a_role_and_a_hash() {
        let hash = "0f".repeat(32);
        for (name, text) in [
            ("TOKENS__PACELINE", format!("admin:{hash}")),
            ("TOKENS__PLATFORM", format!("admin:{hash}")),
            ("TOKENS__ANN", format!("king:{hash}")),
            ("TOKENS__ANN", "admin:0f".into()),
            ("TOKENS__ANN", hash.clone()),
        ] {
            assert_eq!(load(&[(name, &text)]).unwrap_err().1.len(), 1, "{name}={text}");
        }
        let settings = load(&[("TOKENS__ANN", &format!("approver:{hash}"))]).unwrap();
        assert_eq!((settings.http.tokens[0].name.as_str(), settings.http.tokens[0].sha256[0]), ("ann", 15));
    }
}
