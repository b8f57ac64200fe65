//! Rates of reading and writing impressions on one core, beside apache-avro: `cargo run --release -p avro-codec
//! --example decode_speed`. With the argument `events` only the hot path, for profilers. Best of several short rounds,
//! because neighbours on the machine only ever slow one down.

use apache_avro::reader::datum::GenericDatumReader;
use avro_codec::{Codec, RecordName, Scratch};
use model::event::{Event, EventKind, Impression};
use std::hint::black_box;

const RECORDS: usize = 1_000;
const ROUNDS: usize = 20;

fn main() {
    let codec = Codec::fixed();
    let events: Vec<Impression> = (0..RECORDS).map(impression).collect();
    let payloads: Vec<Vec<u8>> = events
        .iter()
        .map(|event| codec.encode(RecordName::Impression, event).expect("an impression encodes"))
        .collect();
    let bytes: usize = payloads.iter().map(Vec::len).sum();
    println!("impressions of {} bytes with their frame", bytes / RECORDS);

    let mut scratch = Scratch::default();
    report("Codec::event, borrowed projection", 200, || {
        for payload in &payloads {
            match codec.event(EventKind::Impression, payload, &mut scratch) {
                Ok(Event::Impression(touch)) => drop(black_box(touch)),
                other => panic!("{other:?}"),
            }
        }
    });
    if std::env::args().any(|argument| argument == "events") {
        return;
    }
    report("Codec::record, whole owned record", 20, || {
        for payload in &payloads {
            black_box(codec.record::<Impression>(RecordName::Impression, payload).expect("it decodes"));
        }
    });
    let reader = GenericDatumReader::builder(RecordName::Impression.schema()).build().expect("the schema resolves");
    report("apache-avro read_deser, whole owned record", 10, || {
        for payload in &payloads {
            black_box(reader.read_deser::<Impression>(&mut &payload[5..]).expect("it decodes"));
        }
    });
    report("apache-avro read_value, tree", 10, || {
        for payload in &payloads {
            black_box(reader.read_value(&mut &payload[5..]).expect("it decodes"));
        }
    });
    let mut buffer = Vec::new();
    report("Codec::encode_into, through apache-avro", 10, || {
        for event in &events {
            buffer.clear();
            codec.encode_into(RecordName::Impression, event, &mut buffer).expect("it encodes");
            black_box(&buffer);
        }
    });
}

#[allow(clippy::disallowed_methods)] // A clock is what this program is about.
fn report(what: &str, repeats: usize, mut work: impl FnMut()) {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = std::time::Instant::now();
        for _ in 0..repeats {
            work();
        }
        best = best.min(start.elapsed().as_secs_f64() / (repeats * RECORDS) as f64);
    }
    println!("{what}: {:.2} M/s, {:.0} ns each", 1e-6 / best, best * 1e9);
}

fn impression(n: usize) -> Impression {
    Impression {
        event_id: format!("0190b1f0-7a3c-7def-8123-{n:012}"),
        event_time: 1_760_000_000_000 + n as i64,
        account_id: format!("acct-{:03}", n % 7),
        campaign_id: format!("cmp-{:05}", n % 997),
        ad_group_id: Some(format!("ag-{}", n % 31)),
        creative_id: Some(format!("cr-{}", n % 101)),
        channel: "display".into(),
        platform: Some("meta".into()),
        device: "mobile".into(),
        geo: "DE".into(),
        user_key: Some(format!("u-{:016x}", n * 7_919)),
        variant: None,
        cost_micros: 1_200 + n as i64,
        currency: "EUR".into(),
        user_agent: None,
        ip_key: None,
        audience: None,
        placement: Some("feed".into()),
    }
}
