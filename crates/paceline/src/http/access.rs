//! Who is asking, and what they may do.
//!
//! Without tokens, whoever reaches the loopback is the local operator, as with a shell on this machine; beyond the
//! loopback a service without tokens is read-only. Tokens come as `Authorization: Bearer` or, from the page, in a cookie
//! that other sites cannot make a browser send.

use super::problem::Problem;
use crate::settings::{HttpSettings, TokenRole, TokenSetting};
use axum::http::{HeaderMap, StatusCode, header};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The page's cookie; its value is the token.
pub const COOKIE: &str = "paceline_token";
/// What the engine calls itself, as the author of every proposal.
pub const ENGINE: &str = "paceline";

/// What a caller wants to do, beyond reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Approve or reject.
    Decide,
    /// Stop a scope.
    Halt,
    /// Let an account or a campaign go on.
    Release,
    /// Let everything go on.
    ReleaseAll,
    /// Read who did what.
    ReadAudit,
}

/// Whoever is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Stands in the audit and in feedback records.
    pub name: String,
    /// What they may do.
    pub role: TokenRole,
}

/// The rules of the door.
#[derive(Clone)]
pub struct Access(Arc<Rules>);

struct Rules {
    tokens: Vec<TokenSetting>,
    hosts: BTreeSet<String>,
    is_local: bool,
    is_encrypted: bool,
}

impl Access {
    /// The rules of these settings at an address.
    pub fn of(settings: &HttpSettings, listen: SocketAddr) -> Self {
        Self(Arc::new(Rules {
            tokens: settings.tokens.clone(),
            hosts: settings.hosts.clone(),
            is_local: listen.ip().is_loopback(),
            is_encrypted: settings.tls.is_some(),
        }))
    }

    /// Whether callers need a token.
    pub fn has_tokens(&self) -> bool {
        !self.0.tokens.is_empty()
    }

    /// Whether cookies may ask for encryption.
    pub fn is_encrypted(&self) -> bool {
        self.0.is_encrypted
    }

    /// Whether a Host header names this service. A name that somebody else's DNS points here is not one of ours; an
    /// address is nobody's name.
    pub fn knows_host(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.to_ascii_lowercase();
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
        bare.parse::<IpAddr>().is_ok() || (self.0.is_local && name == "localhost") || self.0.hosts.contains(&name)
    }

    /// Who sent these headers.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        if !self.has_tokens() {
            let role = if self.0.is_local { TokenRole::Admin } else { TokenRole::Viewer };
            let name = if self.0.is_local { "local operator" } else { "anybody" };
            return Ok(Caller { name: name.into(), role });
        }
        let token = bearer(headers).or_else(|| cookie(headers));
        let caller = token.and_then(|token| self.holder(token));
        caller.ok_or_else(|| {
            Problem::new(
                StatusCode::UNAUTHORIZED,
                "token",
                "send `Authorization: Bearer TOKEN` with a token that is known",
            )
        })
    }

    /// Who holds a token.
    pub fn holder(&self, token: &str) -> Option<Caller> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let found = self.0.tokens.iter().find(|known| is_equal(&known.sha256, &hash))?;
        Some(Caller { name: found.name.clone(), role: found.role })
    }
}

impl Caller {
    /// Refuses what the role does not allow.
    pub fn must(&self, deed: Deed) -> Result<(), Problem> {
        if self.may(deed) {
            return Ok(());
        }
        let detail = format!("the role {} of {} does not allow this", self.role.as_str(), self.name);
        Err(Problem::new(StatusCode::FORBIDDEN, "role", detail))
    }

    /// Whether the role allows it. To stop is allowed to all who may change anything: it can only lower spend.
    pub fn may(&self, deed: Deed) -> bool {
        use TokenRole::{Admin, Approver, Operator};
        match deed {
            Deed::Decide => matches!(self.role, Approver | Admin),
            Deed::Halt => matches!(self.role, Operator | Approver | Admin),
            Deed::Release => matches!(self.role, Operator | Admin),
            Deed::ReleaseAll => self.role == Admin,
            Deed::ReadAudit => matches!(self.role, Approver | Admin),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// Takes the same time wherever the first difference is.
fn is_equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}
