//! `paceline dead-letters list|retry`: what was refused, why, and once it is mended, back to where it came from.
//!
//! What always holds: the original bytes go back to the topic and partition that they came from, once for each refusal,
//! with a header that counts the attempts; a note of it on the dead-letter topic keeps a second call from sending them
//! again. What would be refused again, what was cut, and what came back too often stays. Between the record and its note
//! the command may die: then the next one sends it once more, which the ids of events make harmless.

mod letter;

pub use letter::{SENT_BACK, origin};

use super::import::time::instant;
use super::{connect, mask, say, say_json, sender};
use crate::cli::{DeadLettersCommand, LetterFilter, Output, RetryLetters};
use crate::failure::{Failure, Outcome};
use crate::registry;
use crate::service::topology::ANSWER_LIMIT;
use crate::settings::{Settings, Topics};
use avro_codec::{Codec, Scratch};
use kafka_io::{Admin, From, LogReader, Sender, Until};
use letter::{Letter, Record};
use model::event::EventKind;
use model::fact::{ControlTopic, Fact};
use model::time::Millis;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(15);
/// On what goes back: which attempt it is, from 1.
pub const ATTEMPT: &str = "paceline-attempt";
/// What lies in the record itself: an event that is too old only grows older, and a wrong one stays wrong.
const FOR_GOOD: [&str; 7] =
    ["too_old", "empty", "empty_id", "oversized_id", "negative_money", "excessive_money", "wrong_kind"];

/// Lists or sends back.
pub fn run(command: &DeadLettersCommand) -> Outcome {
    match command {
        DeadLettersCommand::List { filter, unmask, output } => list(filter, *unmask, *output),
        DeadLettersCommand::Retry(arguments) => retry(arguments),
    }
}

/// What the topic tells: all letters, and what was sent back of them.
#[derive(Default)]
struct Known {
    letters: Vec<Letter>,
    /// Attempts so far, by what the record is.
    attempts: BTreeMap<[u8; 32], u32>,
    /// Refusals that were answered by an attempt.
    answered: BTreeSet<(String, i32, i64)>,
}

/// Why a letter stays, or which attempt it gets.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Retry(u32),
    Stays(&'static str, String),
}

fn list(filter: &LetterFilter, unmask: bool, output: Output) -> Outcome {
    let (settings, wanted) = opened(filter)?;
    let codec = registry::codec(&settings, &[])?;
    let known = read(&settings, &wanted)?;
    let mut shown: Vec<Value> = known.letters.iter().map(|letter| told(letter, &known, &codec, unmask)).collect();
    let skipped = filter.max.map_or(0, |max| shown.len().saturating_sub(max));
    shown.drain(..skipped);
    if output == Output::Json {
        return say_json(&json!({ "dead_letters": shown }), output);
    }
    shown.iter().try_for_each(|letter| say(&letter.to_string()))?;
    if shown.is_empty() {
        eprintln!("no dead letter matches")
    };
    Ok(())
}

fn told(letter: &Letter, known: &Known, codec: &Codec, unmask: bool) -> Value {
    let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let payload = letter.payload.as_deref().unwrap_or_default();
    let mut told = json!({
        "id": letter.id(), "refused_at": letter.refused_at, "topic": letter.topic, "partition": letter.partition,
        "offset": letter.offset, "timestamp": letter.timestamp, "reason": letter.reason,
        "detail": if unmask { letter.detail.clone() } else { mask::unquoted(&letter.detail) },
        "bytes": letter.cut_from.unwrap_or(payload.len() as i64),
        "attempts": known.attempts.get(&letter.hash()).copied().unwrap_or(0),
        "sent_back": known.answered.contains(&letter.origin()),
        "sample": mask::sample(codec, payload),
    });
    if unmask {
        told["key"] = json!(text(&letter.key));
        told["sample"] = codec.to_json(payload).unwrap_or_else(|_| json!(text(&letter.payload)));
    }
    told
}

fn retry(arguments: &RetryLetters) -> Outcome {
    if arguments.filter.is_empty() && !arguments.all {
        return Err(Failure::usage(
            "neither a filter nor --all says what to send back",
            "see `paceline dead-letters list`",
        ));
    }
    let (settings, wanted) = opened(&arguments.filter)?;
    let codec = registry::codec(&settings, &[])?;
    let known = read(&settings, &wanted)?;
    let mut sender = if arguments.dry_run { None } else { Some(sender(&connect(&settings, "dead-letters"))?) };
    let (mut sent, mut stayed) = (0_usize, BTreeMap::<&str, usize>::new());
    let mut taken = BTreeSet::new();
    // The newest refusal of a record stands for all of it.
    for letter in known.letters.iter().rev() {
        if arguments.filter.max.is_some_and(|max| sent >= max) {
            break;
        }
        let fate = match taken.insert(letter.hash()) {
            true => fate(letter, &known, &settings.topics, &codec, arguments.attempts),
            false => Fate::Stays("copy", "the same record was refused again later".into()),
        };
        match fate {
            Fate::Stays(word, why) => {
                *stayed.entry(word).or_default() += 1;
                if word != "copy" && word != "sent_back" {
                    eprintln!("{} stays ({word}): {why}", letter.id());
                }
            }
            Fate::Retry(attempt) => {
                if let Some(sender) = &mut sender {
                    send(sender, &settings.topics.dead_letters, letter, attempt)?;
                }
                sent += 1;
                say(&json!({ "id": letter.id(), "topic": letter.topic, "partition": letter.partition,
                    "attempt": attempt, "sent": !arguments.dry_run })
                .to_string())?;
            }
        }
    }
    let stays: Vec<String> = stayed.iter().map(|(word, count)| format!("{count} {word}")).collect();
    let sent = if arguments.dry_run { format!("{sent} would go back") } else { format!("{sent} sent back") };
    eprintln!("{sent}; stays: {}", if stays.is_empty() { "none".to_owned() } else { stays.join(", ") });
    Ok(())
}

/// Whether the record would be taken now.
fn fate(letter: &Letter, known: &Known, topics: &Topics, codec: &Codec, attempts_max: u32) -> Fate {
    let stays = |word: &'static str, why: &str| Fate::Stays(word, why.to_owned());
    if known.answered.contains(&letter.origin()) {
        return stays("sent_back", "it was sent back before and has not been refused since");
    }
    if letter.is_cut() {
        return stays("cut", "it was too long to be kept whole: send it again from its source");
    }
    let Some(payload) = letter.payload.as_deref() else { return stays("empty", "there are no bytes to send") };
    if FOR_GOOD.contains(&letter.reason.as_str()) {
        return stays("would_loop", "its reason lies in the record itself: send a corrected one from its source");
    }
    match verdict(&letter.topic, payload, topics, codec) {
        None => return stays("foreign_topic", "its topic is none that is read; the setting topics.* may have changed"),
        Some(Err(why)) => {
            return Fate::Stays("would_loop", format!("it would be refused again: {}", mask::unquoted(&why)));
        }
        Some(Ok(is_a_word)) if is_a_word => {
            return stays("old_word", "it is somebody's word of that moment, and things may have changed: say it anew");
        }
        Some(Ok(_)) => {}
    }
    let attempt = known.attempts.get(&letter.hash()).copied().unwrap_or(0) + 1;
    if attempt > attempts_max {
        return Fate::Stays("poison", format!("{attempts_max} attempts came back; give --attempts for more"));
    }
    Fate::Retry(attempt)
}

/// What the decoder says of these bytes on a topic that we read, and whether they are a word that was true for its moment;
/// `None` for another topic.
fn verdict(topic: &str, payload: &[u8], topics: &Topics, codec: &Codec) -> Option<Result<bool, String>> {
    if let Some(kind) = EventKind::ALL.into_iter().find(|kind| topics.event(*kind) == topic) {
        let mut scratch = Scratch::default();
        return Some(codec.event(kind, payload, &mut scratch).map(|_| false).map_err(|rejected| rejected.to_string()));
    }
    let control = ControlTopic::ALL.into_iter().find(|control| topics.control(*control) == topic)?;
    let is_word = |fact: &Fact| matches!(fact, Fact::Halt(_) | Fact::StateReport(_) | Fact::Decision(_));
    Some(codec.fact(control, payload).map(|fact| is_word(&fact)).map_err(|rejected| rejected.to_string()))
}

/// The record first, then the note: the other way round a record could be lost.
fn send(sender: &mut Sender, notes: &str, letter: &Letter, attempt: u32) -> Outcome {
    let count = |name: &'static str, value: String| (Cow::Borrowed(name), value.into_bytes());
    let (key, payload) = (letter.key.as_deref(), letter.payload.as_deref());
    let header = [count(ATTEMPT, attempt.to_string())];
    sender.send_with_headers(&letter.topic, Some(letter.partition), key, payload, None, &header)?;
    sender.flush(PATIENCE)?;
    let headers = [
        count("topic", letter.topic.clone()),
        count("partition", letter.partition.to_string()),
        count("offset", letter.offset.to_string()),
        count("reason", SENT_BACK.to_owned()),
        count("detail", format!("attempt {attempt}")),
        count(ATTEMPT, attempt.to_string()),
        count(letter::HASH, super::replay::hex(&letter.hash())),
    ];
    sender.send_with_headers(notes, Some(letter.place.0), key, None, None, &headers)?;
    sender.flush(PATIENCE)?;
    Ok(())
}

/// Which letters are asked for.
struct Wanted {
    topic: Option<String>,
    reason: Option<String>,
    ids: BTreeSet<String>,
    from: Option<Millis>,
    to: Option<Millis>,
}

impl Wanted {
    fn has(&self, letter: &Letter) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        is(&self.topic, &letter.topic)
            && is(&self.reason, &letter.reason)
            && (self.ids.is_empty() || self.ids.contains(&letter.id()))
            && self.from.is_none_or(|from| letter.refused_at >= from)
            && self.to.is_none_or(|to| letter.refused_at <= to)
    }
}

fn opened(filter: &LetterFilter) -> Outcome<(Settings, Wanted)> {
    let bound = |name: &str, text: &Option<String>| {
        text.as_deref().map(instant).transpose().map_err(|reason| Failure::usage(format!("--{name} {reason}"), ""))
    };
    let wanted = Wanted {
        topic: filter.topic.clone(),
        reason: filter.reason.clone(),
        ids: filter.id.iter().cloned().collect(),
        from: bound("from", &filter.from)?,
        to: bound("to", &filter.to)?,
    };
    Ok((Settings::load(&filter.config.files)?.0, wanted))
}

/// Reads the whole topic, since notes may stand anywhere after a letter; keeps only letters that are asked for.
fn read(settings: &Settings, wanted: &Wanted) -> Outcome<Known> {
    let connection = connect(settings, "dead-letters");
    let topic = &settings.topics.dead_letters;
    let partitions = Admin::connect(&connection, ANSWER_LIMIT)?.partitions(&[topic])?.remove(topic).flatten();
    let partitions = partitions.ok_or_else(|| {
        Failure::setup(format!("the topic {topic} does not exist"), "create the topics with `paceline topics apply`")
    })?;
    let mut reader = LogReader::open(&connection, PATIENCE)?;
    let mut known = Known::default();
    for partition in 0..partitions {
        reader.read(topic, partition, From::Earliest, Until::StableEnd, |record| {
            match Record::of(&record) {
                Some(Record::Letter(letter)) if wanted.has(&letter) => known.letters.push(letter),
                Some(Record::SentBack { origin, hash }) => {
                    known.answered.insert(origin);
                    *known.attempts.entry(hash).or_default() += 1;
                }
                Some(Record::Letter(_)) | None => {}
            }
            ControlFlow::Continue(())
        })?;
    }
    known.letters.sort_by_key(|letter| (letter.refused_at, letter.place));
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Topics {
        Settings::load_with(&[], &BTreeMap::new()).unwrap().0.topics
    }

    fn click(time: i64) -> Vec<u8> {
        json!({"event_id": "e", "event_time": time, "account_id": "a", "campaign_id": "c", "channel": "search", "device": "tv",
            "geo": "DE", "cost_micros": 1, "currency": "EUR"}).to_string().into_bytes()
    }

    fn letter(reason: &str, payload: Vec<u8>) -> Letter {
        Letter {
            topic: "ads.clicks".into(),
            partition: 1,
            offset: 7,
            reason: reason.into(),
            payload: Some(payload),
            ..Letter::default()
        }
    }

    fn word(letter: &Letter, known: &Known) -> String {
        match fate(letter, known, &topics(), &Codec::fixed(), 3) {
            Fate::Retry(attempt) => format!("retry {attempt}"),
            Fate::Stays(word, _) => word.to_owned(),
        }
    }

    #[test]
    fn what_decodes_now_goes_back_and_what_would_be_refused_again_stays() {
        let known = Known::default();
        assert_eq!(word(&letter("unknown_schema", click(5)), &known), "retry 1");
        assert_eq!(word(&letter("future", click(5)), &known), "retry 1", "time has passed");
        assert_eq!(word(&letter("decode_error", b"{\"event_id\": 1}".to_vec()), &known), "would_loop");
        assert_eq!(word(&letter("too_old", click(5)), &known), "would_loop");
        let cut = Letter { cut_from: Some(2_000_000), ..letter("too_large", click(5)) };
        assert_eq!(word(&cut, &known), "cut");
        let foreign = Letter { topic: "other".into(), ..letter("x", click(5)) };
        assert_eq!(word(&foreign, &known), "foreign_topic");
    }

    #[test]
    fn an_attempt_is_counted_made_once_a_refusal_and_given_up_after_the_third() {
        let first = letter("unknown_schema", click(5));
        let mut known = Known::default();
        known.answered.insert(first.origin());
        known.attempts.insert(first.hash(), 1);
        assert_eq!(word(&first, &known), "sent_back");
        let again = Letter { offset: 8, ..first.clone() };
        assert_eq!(again.hash(), first.hash(), "the same record at another place");
        assert_eq!(word(&again, &known), "retry 2");
        known.attempts.insert(first.hash(), 3);
        assert_eq!(word(&again, &known), "poison");
    }
}
