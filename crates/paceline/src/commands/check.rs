//! `paceline check`: everything that is wrong with a set-up, at once.

use super::{ask, connect, say, say_json};
use crate::cli::{Check, Output};
use crate::failure::{Failure, Kind, Outcome};
use crate::http;
use crate::notify;
use crate::registry;
use crate::service::snapshot_writer::make_usable;
use crate::service::topology;
use crate::settings::Settings;
use kafka_io::{Admin, From, LogReader, Until};
use model::fact::{ControlTopic, Fact};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::ops::ControlFlow;

/// Checks files and variables, then the cluster, the topics and the ports.
pub fn run(arguments: &Check) -> Outcome {
    let (settings, _) = Settings::load_checked(&arguments.config.files)?;
    connection_properties(&settings)?;
    notify::check(&settings)?;
    let mut warnings = Vec::new();
    if !arguments.no_environment {
        warnings = environment(&settings)?;
    }
    if arguments.output == Output::Json {
        return say_json(&json!({ "ok": true, "warnings": warnings }), arguments.output);
    }
    for warning in &warnings {
        say(&format!("warning: {warning}"))?;
    }
    say("the set-up is complete")
}

/// Whether the client takes the connection's properties, and the files that they name are there.
pub fn connection_properties(settings: &Settings) -> Outcome {
    let wrong = unreadable_files(settings);
    if !wrong.is_empty() {
        return Err(Failure::setup(
            format!("the connection's settings name {} file(s) that cannot be read", wrong.len()),
            "create each file, correct its path, or give the service's user the right to read it",
        )
        .listing(wrong));
    }
    connect(settings, "check").check().map_err(|mistakes| {
        let lines: Vec<String> =
            mistakes.iter().map(|mistake| format!("kafka.properties: {}", mistake.detail)).collect();
        Failure::setup(
            format!("the connection's settings have {} mistake(s)", lines.len()),
            "correct each line above; names and values are librdkafka's",
        )
        .listing(lines)
    })?;
    secret(settings)
}

/// Properties of the Kafka client that name a file; the authorities may also be a folder.
const FILES: [&str; 6] = [
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.crl.location",
    "ssl.keystore.location",
    "sasl.kerberos.keytab",
];

/// The client itself would tell of a missing file only once it connects, and then not by name.
fn unreadable_files(settings: &Settings) -> Vec<String> {
    let named = FILES.iter().filter_map(|name| Some((*name, settings.kafka_properties.get(*name)?)));
    // `probe` lets the client look for the system's own authorities.
    let paths = named.filter(|(name, path)| !(*name == "ssl.ca.location" && path.as_str() == "probe"));
    let tried = paths.filter_map(|(name, path)| {
        let opened = std::fs::File::open(path).map(|_| ());
        opened.err().map(|error| format!("kafka.properties: {name} {path:?}: {error}"))
    });
    tried.collect()
}

/// A secured cluster holds real users: the built-in hash secret, which everybody knows, is refused there.
fn secret(settings: &Settings) -> Outcome {
    match (&settings.user_key_secret, settings.is_secured()) {
        (None, true) => Err(secret_wanted("the cluster is secured")),
        _ => Ok(()),
    }
}

/// The cluster's faults and those of the ports are told together; warnings are returned.
fn environment(settings: &Settings) -> Outcome<Vec<String>> {
    if let Some(files) = &settings.http.tls {
        http::acceptor(files)?;
    }
    let cluster = cluster(settings);
    let mut notes = Vec::new();
    let mut faults = Vec::new();
    faults.extend(make_usable(&settings.state_dir).err());
    match registry::check(settings) {
        Ok(note) => notes.extend(note),
        Err(failure) => faults.push(failure),
    }
    let metrics = settings.metrics_listen;
    // Over TLS a service of ours is not asked; the one that holds both ports is known by the other.
    let asked = if settings.http.tls.is_some() { metrics } else { settings.http_listen };
    for (setting, address, asked) in
        [("http.listen", settings.http_listen, asked), ("metrics.listen", metrics, metrics)]
    {
        match port(setting, address, asked) {
            Ok(note) => notes.extend(note),
            Err(failure) => faults.push(failure),
        }
    }
    match cluster {
        Ok(warnings) if faults.is_empty() => Ok(warnings.into_iter().chain(notes).collect()),
        Ok(_) => Err(together(faults)),
        Err(failure) => Err(together(std::iter::once(failure).chain(faults).collect())),
    }
}

fn cluster(settings: &Settings) -> Outcome<Vec<String>> {
    let admin = Admin::connect(&connect(settings, "check"), topology::ANSWER_LIMIT)?;
    let topology = topology::inspect(settings, &admin)?;
    topology::refuse_growth(
        settings,
        topology,
        &LogReader::open(&connect(settings, "check"), topology::ANSWER_LIMIT)?,
    )?;
    let warnings = topics(settings, &admin)?;
    automatic_campaigns(settings, &admin)?;
    Ok(warnings)
}

/// Whether the port is free, or held by a running service of ours, which is then said.
fn port(setting: &str, address: SocketAddr, asked: SocketAddr) -> Outcome<Option<String>> {
    let error = match TcpListener::bind(address) {
        Ok(_) => return Ok(None),
        Err(error) => error,
    };
    let in_use = error.kind() == ErrorKind::AddrInUse;
    match in_use.then(|| ask::reasons_not_live(asked)).flatten() {
        Some(reasons) => {
            let state =
                if reasons.is_empty() { "is live".to_owned() } else { format!("is not live: {}", reasons.join(", ")) };
            Ok(Some(format!(
                "{address} ({setting}) is held by a Paceline service that runs already and {state}; that is fine if it is the one you check, another one on this machine needs another address"
            )))
        }
        None if in_use => Err(Failure::new(
            Kind::TryLater,
            format!(
                "cannot listen on {address} ({setting}): another program holds the port, and it does not answer as Paceline does"
            ),
            format!("free the port or set {setting} to another address"),
        )),
        None => Err(Failure::setup(
            format!("cannot listen on {address} ({setting}): {error}"),
            format!("set {setting} to an address of this machine"),
        )),
    }
}

/// One failure as it is; several as a list under the gravest, which is what a person must mend.
fn together(mut faults: Vec<Failure>) -> Failure {
    if faults.len() == 1 {
        return faults.remove(0);
    }
    let kind = if faults.iter().any(|fault| fault.kind == Kind::Setup) { Kind::Setup } else { faults[0].kind };
    let lines = faults.iter().map(ToString::to_string).collect();
    Failure::new(kind, format!("the set-up has {} faults", faults.len()), "mend each, then check again").listing(lines)
}

/// Where commands are applied by themselves, the built-in hash key is refused too: whoever knows it could forge touches.
pub fn automatic_campaigns(settings: &Settings, admin: &Admin) -> Outcome {
    if settings.user_key_secret.is_some() {
        return Ok(());
    }
    let topic = &settings.topics.campaigns;
    let partitions = admin.partitions(&[topic])?.remove(topic).flatten().unwrap_or(0);
    let codec = registry::codec(settings, &[])?;
    let mut reader = LogReader::open(&connect(settings, "check"), topology::ANSWER_LIMIT)?;
    let mut automatic = BTreeMap::new();
    for partition in 0..partitions {
        reader.read(topic, partition, From::Earliest, Until::StableEnd, |record| {
            if let Some(Ok(Fact::CampaignSpec(spec))) =
                record.payload.map(|payload| codec.fact(ControlTopic::Campaigns, payload))
            {
                automatic.insert(spec.campaign_id.clone(), spec.mode == "auto" && spec.status == "active");
            }
            ControlFlow::Continue(())
        })?;
    }
    match automatic.iter().find(|(_, automatic)| **automatic) {
        Some((campaign_id, _)) => Err(secret_wanted(&format!("campaign {campaign_id} is in mode auto"))),
        None => Ok(()),
    }
}

/// The refusal of the built-in hash key, with its reason.
pub fn secret_wanted(reason: &str) -> Failure {
    Failure::setup(
        format!("user_key.secret is not set, and {reason}: user keys would be hashed with a key that everybody knows"),
        "set user_key.secret, the same for all workers, for example to @file:PATH",
    )
}

/// Checks the topics' settings: refusals end the command, warnings are returned.
pub fn topics(settings: &Settings, admin: &Admin) -> Outcome<Vec<String>> {
    let needs = topology::needs(settings, 0);
    let names: Vec<&str> = needs.iter().map(|need| need.name.as_str()).collect();
    let facts = admin.describe(&names)?;
    let (refusals, mut warnings) = topology::judge(settings, &facts);
    if !refusals.is_empty() {
        return Err(Failure::setup(
            format!("the topics have {} wrong setting(s)", refusals.len()),
            "correct the topics' settings; see `paceline topics plan`",
        )
        .listing(refusals));
    }
    warnings.extend(secret_note(settings));
    Ok(warnings)
}

/// Whoever guesses the secret can undo the hash of a known user's key.
const SECRET_BYTES_MIN: usize = 16;

fn secret_note(settings: &Settings) -> Option<String> {
    match &settings.user_key_secret {
        None => {
            Some("user_key.secret is not set: user keys are hashed with a built-in key that everybody knows".into())
        }
        Some(secret) if secret.len() < SECRET_BYTES_MIN => Some(format!(
            "user_key.secret has {} bytes and could be guessed: take {SECRET_BYTES_MIN} random ones or more",
            secret.len()
        )),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_absent_or_short_is_told_and_never_shown() {
        let note = |secret: Option<&str>| {
            let name = "PACELINE__USER_KEY__SECRET".to_owned();
            let variables = secret.map(|secret| (name, secret.to_owned())).into_iter().collect();
            secret_note(&Settings::load_with(&[], &variables).unwrap().0)
        };
        assert!(note(None).unwrap().starts_with("user_key.secret is not set"));
        let words = note(Some("hush")).unwrap();
        assert!(words.starts_with("user_key.secret has 4 bytes") && !words.contains("hush"), "{words}");
        assert_eq!(note(Some("0123456789abcdef")), None);
    }

    #[test]
    fn a_file_that_the_connection_names_and_nobody_can_read_is_told_by_name() {
        let set = |path: &str| {
            let name = "PACELINE__KAFKA__PROPERTIES__SSL_CA_LOCATION".to_owned();
            let (settings, _) = Settings::load_with(&[], &BTreeMap::from([(name, path.to_owned())])).unwrap();
            connection_properties(&settings).map_err(|failure| failure.to_string())
        };
        let words = set("/nowhere/ca.pem").unwrap_err();
        assert!(words.contains("ssl.ca.location") && words.contains("/nowhere/ca.pem"), "{words}");
        assert_eq!(set("probe"), Ok(()));
        let here = std::env::current_exe().unwrap();
        assert_eq!(set(&here.display().to_string()), Ok(()));
    }
}
