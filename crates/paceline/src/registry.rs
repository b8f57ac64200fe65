//! The schema registry: writers' schemas by id for what is read, ids of our schemas for what is written.
//!
//! What always holds: a registry that is away is not an id that is unknown. An id is unknown only where a registry says
//! so twice (once, while many are); then the record is a dead letter. The registry is asked first; where it cannot be,
//! what it once said is taken from disk (`state.dir`), and its age is told. What is not there either makes everything wait
//! (asked again with growing pauses, for `registry.patience`), and then the process ends with code 75 and starts again from
//! the logs: no record is ever judged without its schema. Schemas are immutable, so what was found is kept for the
//! process's life. One request is under way at a time; each has a deadline and a size limit; redirects are not followed, so
//! credentials go nowhere else.
//!
//! Missing on purpose: proxies, references between subjects, and change of a subject's rule of compatibility, which is its
//! owner's.

mod count;
mod disk;
mod subjects;

pub use count::Counts;
#[cfg(test)]
pub use subjects::topics_of;
pub use subjects::{SERVICE_WRITES, subjects_of};

use crate::clock::Clock;
use crate::failure::{Failure, Kind, Outcome};
use crate::settings::{RegistrySettings, Settings, Topics};
use avro_codec::registry::{IdAnswer, read_id, read_schema, request_body};
use avro_codec::{Codec, FixedIds, RecordName, SchemaIds, SchemaLookup};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use disk::{Disk, Kept};
use model::time::Millis;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::{Agent, Body, http};

/// A codec for a command that reads anything and writes `records`: with the registry's ids, or with the fixed ones
/// where no registry is set. Whoever cannot get an id is told why here.
pub fn codec(settings: &Settings, records: &[RecordName]) -> Outcome<Codec> {
    let Some(registry) = &settings.registry else { return Ok(Codec::fixed()) };
    // Only the service writes into its folder: it alone writes epochs.
    let mut client = Registry::open(registry)?.with_disk(settings, records.contains(&RecordName::Epoch));
    client.take_ids(&settings.topics, records, registry.register)?;
    Ok(Codec::new(Arc::new(client)))
}

/// A codec for who reads our logs and holds them against what it would write itself; registers nothing.
pub fn codec_of_the_logs(settings: &Settings) -> Outcome<Codec> {
    let Some(registry) = &settings.registry else { return Ok(Codec::fixed()) };
    let mut client = Registry::open(registry)?.with_disk(settings, false);
    for (record, subject) in subjects_of(&settings.topics, SERVICE_WRITES) {
        match client.ask_id_or_disk(&subject, record) {
            // Never written by this build, so there is nothing to compare.
            IdAnswer::NotThere => {}
            answer => client.take_id(record, client.id_from(&subject, record, answer)?),
        }
    }
    Ok(Codec::new(Arc::new(client)))
}

/// Whether the registry answers, takes the credentials, and holds or would take what the service writes; for `check`.
pub fn check(settings: &Settings) -> Outcome<Option<String>> {
    let Some(registry) = &settings.registry else { return Ok(None) };
    let client = Registry::open(registry)?;
    let mut absent = Vec::new();
    for (record, subject) in subjects_of(&settings.topics, SERVICE_WRITES) {
        match client.ask_id(&subject, record, "") {
            IdAnswer::NotThere if registry.register => absent.push(subject),
            answer => drop(client.id_from(&subject, record, answer)?),
        }
    }
    let note = format!("{} will be registered at the start: {}", registry.url, absent.join(", "));
    Ok((!absent.is_empty()).then_some(note))
}

/// A client, and what it has learned.
pub struct Registry {
    agent: Agent,
    url: String,
    authorization: Option<String>,
    patience: Duration,
    on_given_up: fn(&str),
    /// Fingerprints are no matter of a registry: single-object frames are read by our own releases.
    fixed: FixedIds,
    ours: HashMap<RecordName, u32>,
    disk: Option<Disk>,
    counts: Counts,
    known: RwLock<Known>,
    /// Held while a request is under way; lanes that want the same schema then find it in `known`.
    asking: Mutex<()>,
}

#[derive(Default)]
struct Known {
    schemas: HashMap<u32, Arc<str>>,
    unknown: HashMap<u32, Instant>,
    /// When the registry could last not be asked while the disk could.
    away_at: Option<Instant>,
}

/// Schemas and refusals that are kept; beyond it all are asked for again. Far above what one deployment has.
const KNOWN_MAX: usize = 4096;
/// An unknown id is asked for again after this: somebody may have registered it since.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);
/// Between the two askings that make an id unknown: replicas of a registry learn of a new schema within it.
const CONFIRM_AFTER: Duration = Duration::from_millis(250);
/// Unknown ids at a time that are asked about twice: 16 of them hold the events up for 4 s.
const CONFIRMED_MAX: usize = 16;
/// Once the registry could not be asked, what is on disk is taken without asking for this long: a backlog of many schemas
/// does not wait for each.
const AWAY_FOR: Duration = Duration::from_secs(10);
/// First and longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// All set-up faults are told within 10 s.
const START_PATIENCE: Duration = Duration::from_secs(8);
/// No schema is larger; a body beyond it is not a registry's.
const BODY_BYTES_MAX: u64 = 4 * 1024 * 1024;

impl Registry {
    /// A client that has asked nothing yet.
    pub fn open(settings: &RegistrySettings) -> Outcome<Self> {
        let timeout = Duration::from_millis(settings.timeout_ms.unsigned_abs());
        let tls = TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(roots(settings)?).build();
        let agent = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .tls_config(tls)
            .user_agent(concat!("paceline/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        let authorization = match (&settings.token, &settings.username) {
            (Some(token), _) => Some(format!("Bearer {token}")),
            (None, Some(name)) => {
                let password = settings.password.as_deref().unwrap_or_default();
                Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}"))))
            }
            (None, None) => None,
        };
        Ok(Self {
            agent,
            url: settings.url.trim_end_matches('/').to_owned(),
            authorization,
            patience: Duration::from_millis(settings.patience_ms.unsigned_abs()),
            on_given_up: end_process,
            fixed: FixedIds::new(),
            ours: HashMap::new(),
            disk: None,
            counts: Counts::of_the_process(),
            known: RwLock::default(),
            asking: Mutex::default(),
        })
    }

    fn with_disk(self, settings: &Settings, writes: bool) -> Self {
        let disk = Disk::at(&settings.state_dir, &self.url, writes);
        Self { disk: Some(disk), ..self }
    }

    /// Looks our schemas up, and registers what is not there where that is allowed.
    fn take_ids(&mut self, topics: &Topics, records: &[RecordName], register: bool) -> Outcome {
        for (record, subject) in subjects_of(topics, records) {
            let mut answer = self.ask_id_or_disk(&subject, record);
            if register && answer == IdAnswer::NotThere {
                answer = self.ask_id(&subject, record, "/versions");
            }
            self.take_id(record, self.id_from(&subject, record, answer)?);
        }
        Ok(())
    }

    fn take_id(&mut self, record: RecordName, id: u32) {
        // A record of two topics has a subject for each; whichever id is written, readers get the same text for it.
        self.ours.entry(record).or_insert(id);
        self.keep(id, Arc::from(record.schema_json()));
    }

    /// The registry's word, or, where it cannot be asked, what it once said of the very same text.
    fn ask_id_or_disk(&self, subject: &str, record: RecordName) -> IdAnswer {
        let Some(kept) = self.disk.as_ref().and_then(|disk| disk.id(subject, record.schema_json())) else {
            return self.ask_id(subject, record, "");
        };
        if !self.is_away() {
            match self.ask_id_within(Duration::ZERO, subject, record, "") {
                IdAnswer::Away(why) => self.note_away(&format!("for subject {subject}: {why}"), &kept),
                answer => return answer,
            }
        }
        self.counts.taken_from_disk(age_ms(&kept));
        IdAnswer::Id(kept.said)
    }

    fn is_away(&self) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.away_at.is_some_and(|at| at.elapsed() < AWAY_FOR)
    }

    fn note_away<T>(&self, why: &str, kept: &Kept<T>) {
        let age_s = age_ms(kept) / 1_000;
        tracing::warn!(age_s, "the schema registry cannot be asked {why}; what it once said is taken from disk");
        self.known.write().unwrap_or_else(PoisonError::into_inner).away_at = Some(Instant::now());
    }

    /// What the registry has just said, for a start in its absence.
    fn keep_on_disk(&self, keep: impl FnOnce(&Disk, Millis) -> Result<(), String>) {
        if let Some(Err(why)) = self.disk.as_ref().map(|disk| keep(disk, Clock::System.now_ms())) {
            tracing::warn!(
                why,
                "what the schema registry says is not kept on disk; a start in its absence will lack it"
            );
        }
    }

    fn ask_id(&self, subject: &str, record: RecordName, action: &str) -> IdAnswer {
        self.ask_id_within(START_PATIENCE.min(self.patience), subject, record, action)
    }

    fn ask_id_within(&self, patience: Duration, subject: &str, record: RecordName, action: &str) -> IdAnswer {
        let body = request_body(record.schema_json());
        let path = format!("/subjects/{subject}{action}");
        let ask = || {
            let answer = match self.post(&path, &body) {
                Ok((status, answer)) => read_id(status, &answer),
                // No waiting makes a certificate trusted.
                Err(why) if why.contains("certificate") => IdAnswer::NoRegistry(why),
                Err(why) => IdAnswer::Away(why),
            };
            self.counts.requested(count::of_id(&answer));
            answer
        };
        let answer = until(patience, ask, |answer| matches!(answer, IdAnswer::Away(_)));
        if let IdAnswer::Id(id) = answer {
            self.keep_on_disk(|disk, now_ms| disk.keep_id(subject, record.schema_json(), id, now_ms));
        }
        answer
    }

    fn id_from(&self, subject: &str, record: RecordName, answer: IdAnswer) -> Outcome<u32> {
        let url = &self.url;
        Err(match answer {
            IdAnswer::Id(id) => return Ok(id),
            IdAnswer::Away(why) => Failure::new(
                Kind::TryLater,
                format!("the schema registry at {url} cannot be asked: {why}"),
                "check registry.url and that the registry is up",
            ),
            IdAnswer::Credentials(why) => Failure::setup(
                format!("the schema registry at {url} refuses us on subject {subject}: {why}"),
                "check registry.username and registry.password, or registry.token, and what they may read and write",
            ),
            IdAnswer::NotThere => Failure::setup(
                format!("the schema registry at {url} does not hold our schema of {record} under subject {subject}"),
                format!("register schemas/{}.avsc there, or set registry.register to true", record.file_stem()),
            ),
            IdAnswer::Refused(why) => Failure::setup(
                format!("the schema registry at {url} does not take our schema of {record} under {subject}: {why}"),
                "look at the subject's versions and its rule of compatibility; BACKWARD is what our releases keep",
            ),
            IdAnswer::NoRegistry(why) => Failure::setup(
                format!("what answers at {url} is no schema registry, or not at this path: {why}"),
                "set registry.url to the base of the Confluent API (for Apicurio it ends with /apis/ccompat/v7), and for https registry.ca_file to its authorities where the system does not know them",
            ),
        })
    }

    fn remembered(&self, id: u32) -> Option<SchemaLookup> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = known.schemas.get(&id) {
            return Some(SchemaLookup::Found(Arc::clone(text)));
        }
        let since = known.unknown.get(&id)?;
        (since.elapsed() < UNKNOWN_FOR).then_some(SchemaLookup::Unknown)
    }

    fn keep(&self, id: u32, text: Arc<str>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.schemas.len() >= KNOWN_MAX {
            known.schemas.clear();
        }
        known.schemas.insert(id, text);
    }

    fn keep_unknown(&self, id: u32) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut known.unknown, KNOWN_MAX);
        known.unknown.insert(id, Instant::now());
    }

    fn look_up(&self, id: u32) -> SchemaLookup {
        let on_disk = self.disk.as_ref().and_then(|disk| disk.schema(id));
        let lookup = match &on_disk {
            Some(kept) => self.ask_beside(id, kept),
            None => self.ask_until(id),
        };
        match (lookup, on_disk) {
            (SchemaLookup::Found(text), _) => {
                self.counts.looked_up("registry");
                self.keep_on_disk(|disk, now_ms| disk.keep_schema(id, &text, now_ms));
                SchemaLookup::Found(text)
            }
            (_, Some(kept)) => {
                self.counts.looked_up("disk");
                self.counts.taken_from_disk(age_ms(&kept));
                SchemaLookup::Found(Arc::from(kept.said))
            }
            (lookup, None) => {
                self.counts.looked_up("none");
                lookup
            }
        }
    }

    /// One question, for an id whose schema is on disk: nobody waits for more.
    fn ask_beside(&self, id: u32, kept: &Kept<String>) -> SchemaLookup {
        if self.is_away() {
            return SchemaLookup::Unavailable("it could not be asked a moment ago".into());
        }
        let lookup = self.ask_schema(id);
        match &lookup {
            SchemaLookup::Found(_) => {}
            SchemaLookup::Unavailable(why) => self.note_away(&format!("for id {id}: {why}"), kept),
            // Schemas are immutable: a replica lags, or a registry was emptied; what it gave before reads its records.
            SchemaLookup::Unknown => {
                tracing::warn!(id, "the schema registry does not know a schema that it once gave; that one is taken");
            }
        }
        lookup
    }

    /// Questions until the registry can be asked, for an id that nothing is known of.
    fn ask_until(&self, id: u32) -> SchemaLookup {
        let ask = || self.ask_schema(id);
        let first = until(self.patience, ask, |lookup| {
            if let SchemaLookup::Unavailable(why) = lookup {
                tracing::warn!(id, why, "the schema registry cannot be asked; everything waits for it");
            }
            matches!(lookup, SchemaLookup::Unavailable(_))
        });
        if first != SchemaLookup::Unknown || self.is_flooded() {
            return first;
        }
        std::thread::sleep(CONFIRM_AFTER);
        until(self.patience, ask, |lookup| matches!(lookup, SchemaLookup::Unavailable(_)))
    }

    fn ask_schema(&self, id: u32) -> SchemaLookup {
        let lookup = match self.get(&format!("/schemas/ids/{id}")) {
            Ok((status, body)) => read_schema(status, &body),
            Err(why) => SchemaLookup::Unavailable(why),
        };
        self.counts.requested(count::of_schema(&lookup));
        lookup
    }

    /// Many unknown ids at once are garbage, not a replica that lags: waiting for each would hold up the events.
    fn is_flooded(&self) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.unknown.values().filter(|since| since.elapsed() < UNKNOWN_FOR).count() >= CONFIRMED_MAX
    }

    fn get(&self, path: &str) -> Result<(u16, Vec<u8>), String> {
        let mut request = self.agent.get(format!("{}{path}", self.url)).header("accept", ACCEPT);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        answer_of(request.call())
    }

    fn post(&self, path: &str, body: &str) -> Result<(u16, Vec<u8>), String> {
        let request = self.agent.post(format!("{}{path}", self.url)).header("accept", ACCEPT);
        let mut request = request.header("content-type", CONTENT_TYPE);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        answer_of(request.send(body))
    }
}

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";
const ACCEPT: &str = "application/vnd.schemaregistry.v1+json, application/json";

impl SchemaIds for Registry {
    fn by_id(&self, id: u32) -> SchemaLookup {
        let remembered = || self.remembered(id).inspect(|_| self.counts.looked_up("memory"));
        if let Some(lookup) = remembered() {
            return lookup;
        }
        let _one_at_a_time = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = remembered() {
            return lookup;
        }
        let lookup = self.look_up(id);
        match &lookup {
            SchemaLookup::Found(text) => self.keep(id, Arc::clone(text)),
            SchemaLookup::Unknown => self.keep_unknown(id),
            SchemaLookup::Unavailable(why) => {
                (self.on_given_up)(&format!("the schema registry at {} cannot be asked for id {id}: {why}", self.url));
            }
        }
        lookup
    }

    fn by_fingerprint(&self, fingerprint: u64) -> SchemaLookup {
        self.fixed.by_fingerprint(fingerprint)
    }

    fn id_of(&self, record: RecordName) -> Option<u32> {
        self.ours.get(&record).copied()
    }
}

/// Nothing may be judged without its schema, in no loop of any command; the next start reads the truth from the logs.
fn end_process(why: &str) {
    eprintln!("paceline: {why}; check registry.url and that the registry is up, then start again");
    std::process::exit(i32::from(Kind::TryLater.exit_code()));
}

/// Asks until the answer is no longer "away" or patience ends; the pauses double.
fn until<T>(patience: Duration, ask: impl Fn() -> T, is_away: impl Fn(&T) -> bool) -> T {
    let started = Instant::now();
    let mut pause = PAUSES.0;
    loop {
        let answer = ask();
        if !is_away(&answer) || started.elapsed() + pause >= patience {
            return answer;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Forgets what is asked for again anyway, and then the oldest half: a flood of made-up ids shall not bring back the time
/// when none was known and each was asked about twice.
fn make_room(unknown: &mut HashMap<u32, Instant>, max: usize) {
    if unknown.len() < max {
        return;
    }
    unknown.retain(|_, since| since.elapsed() < UNKNOWN_FOR);
    if unknown.len() < max {
        return;
    }
    let mut by_age: Vec<(Instant, u32)> = unknown.iter().map(|(id, since)| (*since, *id)).collect();
    by_age.sort_unstable();
    by_age.iter().take(max / 2).for_each(|(_, id)| _ = unknown.remove(id));
}

fn age_ms<T>(kept: &Kept<T>) -> Millis {
    Clock::System.now_ms().saturating_sub(kept.at_ms)
}

fn answer_of(answer: Result<http::Response<Body>, ureq::Error>) -> Result<(u16, Vec<u8>), String> {
    let mut answer = answer.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    let body =
        answer.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_vec().map_err(|error| error.to_string())?;
    Ok((status, body))
}

/// The system's authorities, or those of the file.
fn roots(settings: &RegistrySettings) -> Outcome<RootCerts> {
    let Some(path) = &settings.ca_file else { return Ok(RootCerts::PlatformVerifier) };
    let wrong = |why: String| {
        let what = format!("registry.ca_file {}: {why}", path.display());
        Failure::setup(what, "name a PEM file with the certificates of the registry's authorities")
    };
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| wrong(error.to_string()))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(wrong("it holds no certificate".into()));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

#[cfg(test)]
mod tests;
