//! Where the schema registry is, and how long it has for an answer.

use super::reader::Reader;
use std::path::PathBuf;

/// A schema registry that speaks Confluent's API.
#[derive(Clone, Debug)]
pub struct RegistrySettings {
    /// Base of the API, without credentials.
    pub url: String,
    /// Name for a login by password.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// Bearer token, instead of name and password.
    pub token: Option<String>,
    /// PEM file of authorities; the system's where absent.
    pub ca_file: Option<PathBuf>,
    /// Register our schemas where they are missing.
    pub register: bool,
    /// For one request.
    pub timeout_ms: i64,
    /// For a registry that is away.
    pub patience_ms: i64,
}

/// Reads `registry.*`; `None` where no address is given.
pub(super) fn read(reader: &mut Reader) -> Option<RegistrySettings> {
    let some = |text: String| (!text.is_empty()).then_some(text);
    let url = reader.text(
        "registry.url",
        "",
        "schema registry, base of its Confluent API; empty: the fixed ids of schemas/index.toml",
    );
    let settings = RegistrySettings {
        username: some(reader.text("registry.username", "", "name for a login by password")),
        password: reader.secret("registry.password", "its password; @file:PATH reads a file"),
        token: reader.secret("registry.token", "bearer token instead of name and password; @file:PATH reads a file"),
        ca_file: some(reader.text("registry.ca_file", "", "PEM file of authorities for https; empty: the system's"))
            .map(PathBuf::from),
        register: reader.flag("registry.register", true, "register our schemas where the registry lacks them"),
        timeout_ms: reader.duration_ms("registry.timeout", "5s", "for one request"),
        patience_ms: reader.duration_ms(
            "registry.patience",
            "30s",
            "how long everything waits for a registry that is away, before the process ends with code 75",
        ),
        url,
    };
    for mistake in mistakes(&settings) {
        reader.mistake(mistake);
    }
    (!settings.url.is_empty()).then_some(settings)
}

fn mistakes(settings: &RegistrySettings) -> Vec<String> {
    let mut mistakes = Vec::new();
    let has_login = settings.username.is_some() || settings.password.is_some() || settings.token.is_some();
    let rest = settings.url.strip_prefix("http://").or_else(|| settings.url.strip_prefix("https://"));
    match rest.map(|rest| rest.split('/').next().unwrap_or_default()) {
        None if settings.url.is_empty() && has_login => {
            mistakes.push("registry.url: is empty, but a login for the registry is given".into());
        }
        None if settings.url.is_empty() => {}
        // Not shown: a password may stand in it.
        Some(host) if host.contains('@') => {
            mistakes
                .push("registry.url: leave name and password out; set registry.username and registry.password".into());
        }
        None | Some("") => mistakes
            .push(format!("registry.url: {:?} is not an address such as https://registry.example.com", settings.url)),
        Some(_) => {}
    }
    if settings.password.is_some() && settings.username.is_none() {
        mistakes.push("registry.password: needs registry.username beside it".into());
    }
    if settings.token.is_some() && settings.username.is_some() {
        mistakes
            .push("registry.token: stands for a login of its own; leave registry.username out, or the token".into());
    }
    if settings.timeout_ms < 1 {
        mistakes.push("registry.timeout: must be longer than nothing".into());
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use crate::settings::Settings;

    fn load(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let set = |(name, value): &(&str, &str)| (format!("PACELINE__REGISTRY__{name}"), (*value).to_owned());
        let loaded = Settings::load_with(&[], &pairs.iter().map(set).collect());
        loaded.map(|(settings, _)| settings).map_err(|failure| failure.to_string())
    }

    #[test]
    fn without_an_address_the_fixed_ids_hold() {
        assert!(load(&[]).unwrap().registry.is_none());
        assert!(load(&[("USERNAME", "pace")]).unwrap_err().contains("registry.url"));
    }

    #[test]
    fn an_address_with_a_password_in_it_is_refused_and_not_shown() {
        let words = load(&[("URL", "https://pace:hunter2@registry:8081")]).unwrap_err();
        assert!(words.contains("registry.username") && !words.contains("hunter2"), "{words}");
    }

    #[test]
    fn logins_that_contradict_each_other_are_told_together() {
        let words = load(&[("URL", "registry:8081"), ("PASSWORD", "p"), ("TIMEOUT", "0s")]).unwrap_err();
        for name in ["registry.url", "registry.password", "registry.timeout"] {
            assert!(words.contains(name), "{words}");
        }
        assert!(
            load(&[("URL", "http://r"), ("USERNAME", "u"), ("TOKEN", "t")]).unwrap_err().contains("registry.token")
        );
    }
}
