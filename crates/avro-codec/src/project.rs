//! The hot path: a writer's event schema becomes a flat list of steps that picks out what the fold reads.
//!
//! What always holds: one pass over the payload, no allocation, strings are lent from the payload and known to be
//! UTF-8. Strings of a run (no integer between them) are validated together: a run of short ASCII strings with their
//! one-byte lengths and branches is itself ASCII, so one check serves all; where it is not, each string is checked
//! alone, so the verdict is the same.
//!
//! What is missing on purpose: UTF-8 of skipped strings, and the resolution of fields that nobody reads here (a writer
//! may have `user_agent` as an int).

use crate::cursor::{Cursor, Fault, short_varint};
use crate::limits::Limits;
use crate::plan::{Compiler, Node, NodeId, Program, check_record_names, default_of, source_of};
use crate::read::skip;
use apache_avro::Schema;
use apache_avro::schema::RecordField;
use model::event::EventKind;
use serde_json::Value as Json;

/// Strings of a projection: those of a touch are the most.
pub(crate) const TEXTS_MAX: usize = 10;
/// Integers of a projection: the event's time, then its money.
pub(crate) const LONGS: usize = 2;

/// Names of the projected fields; their places are those of the slots.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) texts: &'static [&'static str],
    pub(crate) longs: [&'static str; LONGS],
}

/// What [`model::event::Touch`] needs.
const TOUCH: Shape = Shape {
    texts: &[
        "event_id",
        "account_id",
        "campaign_id",
        "creative_id",
        "channel",
        "device",
        "geo",
        "user_key",
        "currency",
        "placement",
    ],
    longs: ["event_time", "cost_micros"],
};

/// What [`model::event::Goal`] needs.
const GOAL: Shape = Shape {
    texts: &["event_id", "account_id", "user_key", "click_id", "conversion_type", "currency", "campaign_id"],
    longs: ["event_time", "value_micros"],
};

/// The projection of a kind of event.
pub(crate) fn shape_of(kind: EventKind) -> &'static Shape {
    match kind {
        EventKind::Impression | EventKind::Click => &TOUCH,
        EventKind::Conversion => &GOAL,
    }
}

/// Values of one event by slot.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Slots<'a> {
    pub(crate) texts: [Option<&'a str>; TEXTS_MAX],
    pub(crate) longs: [i64; LONGS],
}

/// A compiled pair of a writer's schema and an event projection.
#[derive(Debug)]
pub(crate) struct Projection {
    steps: Box<[Step]>,
    /// Text slots in the order of the wire, cut where something other than a string lies between.
    runs: Box<[Box<[u8]>]>,
    default_texts: Box<[(u8, Box<str>)]>,
    default_longs: [i64; LONGS],
    nested: Program,
}

/// One of the writer's fields. Slots are places in [`Slots`].
#[derive(Clone, Debug)]
enum Step {
    Text(u8),
    /// `["null", "string"]`, the contract's own form.
    NullOrText(u8),
    Long(u8),
    Int(u8),
    /// Any other union with something of ours in it.
    TextChoice(u8, Box<[Choice]>),
    LongChoice(u8, Box<[Choice]>),
    SkipText,
    SkipNullOrText,
    SkipLong,
    Skip(NodeId),
}

/// What one branch of a union gives.
#[derive(Clone, Debug)]
enum Choice {
    Null,
    Text,
    Long,
    Int,
    Mismatch(Box<str>),
}

impl Projection {
    /// Compiles; an error says why no record of this schema can be read.
    pub(crate) fn new(writer: &Schema, reader: &Schema, shape: &Shape) -> Result<Projection, String> {
        let (Schema::Record(from), Schema::Record(into)) = (writer, reader) else {
            return Err("the writer's schema is no record".into());
        };
        check_record_names(from, into)?;
        let mut compiler = Compiler::new(writer, reader);
        let mut targets = Vec::new();
        let (mut default_texts, mut default_longs) = (Vec::new(), [0; LONGS]);
        for (slot, field) in slots(shape, &into.fields) {
            let Some(source) = source_of(field, from) else {
                match (slot, default_of(field)?) {
                    (Slot::Text(at), Json::String(text)) => default_texts.push((at, text.as_str().into())),
                    (Slot::Long(at), number) => default_longs[usize::from(at)] = number.as_i64().unwrap_or_default(),
                    (Slot::Text(_), _) => {}
                }
                continue;
            };
            targets.push((source, slot, field));
        }
        let mut steps = Vec::new();
        for (index, field) in from.fields.iter().enumerate() {
            let target = targets.iter().find(|(source, ..)| *source == index);
            let step = match target {
                Some((_, slot, wanted)) => read_step(&mut compiler, &field.schema, *slot, &wanted.schema),
                None => skip_step(&mut compiler, &field.schema),
            };
            steps.push(step.map_err(|why| format!("{}: {why}", field.name))?);
        }
        Ok(Projection {
            runs: runs(&steps),
            steps: steps.into(),
            default_texts: default_texts.into(),
            default_longs,
            nested: compiler.finish_without_root(),
        })
    }

    /// Reads one whole record.
    #[inline]
    pub(crate) fn read<'a>(&'a self, bytes: &'a [u8]) -> Result<Slots<'a>, ReadFault> {
        let mut spans = [Span::ABSENT; TEXTS_MAX];
        let mut longs = self.default_longs;
        // The usual steps move a bare position, which can live in a register; the others borrow the bounded cursor.
        let mut at = 0;
        let mut cursor = Cursor::new(bytes, Limits::INPUT);
        for step in &self.steps {
            match step {
                Step::Text(slot) => spans[usize::from(*slot)] = text(bytes, &mut at)?,
                Step::NullOrText(slot) => {
                    if let Some(span) = null_or_text(bytes, &mut at)? {
                        spans[usize::from(*slot)] = span;
                    }
                }
                Step::Long(slot) => longs[usize::from(*slot)] = long(bytes, &mut at)?,
                Step::SkipText => drop(text(bytes, &mut at)?),
                Step::SkipNullOrText => drop(null_or_text(bytes, &mut at)?),
                Step::SkipLong => drop(long(bytes, &mut at)?),
                rare => {
                    cursor.jump_to(at);
                    self.rare_step(rare, &mut cursor, &mut spans, &mut longs)?;
                    at = cursor.at();
                }
            }
        }
        if at != bytes.len() {
            return Err(ReadFault::Trailing(bytes.len() - at));
        }
        let mut texts = [None; TEXTS_MAX];
        for (slot, text) in &self.default_texts {
            texts[usize::from(*slot)] = Some(&**text);
        }
        for run in &self.runs {
            lend_run(bytes, run, &spans, &mut texts)?;
        }
        Ok(Slots { texts, longs })
    }

    #[cold]
    fn rare_step(
        &self,
        step: &Step,
        cursor: &mut Cursor<'_>,
        spans: &mut [Span; TEXTS_MAX],
        longs: &mut [i64; LONGS],
    ) -> Result<(), Fault> {
        match step {
            Step::Int(slot) => longs[usize::from(*slot)] = i64::from(cursor.int()?),
            Step::TextChoice(slot, branches) => {
                if let Some(span) = text_choice(branches, cursor)? {
                    spans[usize::from(*slot)] = span;
                }
            }
            Step::LongChoice(slot, branches) => longs[usize::from(*slot)] = long_choice(branches, cursor)?,
            Step::Skip(node) => skip(&self.nested, *node, cursor)?,
            Step::Text(_) | Step::NullOrText(_) | Step::Long(_) => {}
            Step::SkipText | Step::SkipNullOrText | Step::SkipLong => {}
        }
        Ok(())
    }
}

/// A string: a length of one byte, as nearly all have, is taken here.
#[inline(always)]
fn text(bytes: &[u8], at: &mut usize) -> Result<Span, Fault> {
    let Some(rest) = bytes.get(*at..) else { return Err(Fault::Truncated) };
    if let [length, rest @ ..] = rest
        && *length < 0x80
        && *length & 1 == 0
        && usize::from(*length >> 1) <= rest.len()
    {
        let start = *at + 1;
        *at = start + usize::from(*length >> 1);
        return Ok(Span { start: start as u32, end: *at as u32 });
    }
    slowly(bytes, at, Span::read)
}

/// A string behind the branch byte of `["null", "string"]`.
#[inline(always)]
fn null_or_text(bytes: &[u8], at: &mut usize) -> Result<Option<Span>, Fault> {
    match bytes.get(*at) {
        Some(0) => {
            *at += 1;
            Ok(None)
        }
        Some(2) => {
            *at += 1;
            text(bytes, at).map(Some)
        }
        _ => slowly(bytes, at, |cursor| if cursor.tag(2)? == 1 { Span::read(cursor).map(Some) } else { Ok(None) }),
    }
}

#[inline(always)]
fn long(bytes: &[u8], at: &mut usize) -> Result<i64, Fault> {
    let (value, length) = short_varint(bytes.get(*at..).unwrap_or_default());
    if length > 0 {
        *at += length;
        return Ok(value);
    }
    slowly(bytes, at, |cursor| cursor.long())
}

/// What the quick forms do not cover: long lengths, the record's last bytes, and everything that is wrong.
#[cold]
fn slowly<T>(bytes: &[u8], at: &mut usize, read: impl FnOnce(&mut Cursor<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
    let mut cursor = Cursor::new(bytes, Limits::INPUT);
    cursor.jump_to(*at);
    let value = read(&mut cursor)?;
    *at = cursor.at();
    Ok(value)
}

/// Why a projection stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReadFault {
    In(Fault),
    Trailing(usize),
}

impl From<Fault> for ReadFault {
    fn from(fault: Fault) -> Self {
        ReadFault::In(fault)
    }
}

/// Where a string lies in the payload; a payload is far below 4 GB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    const ABSENT: Span = Span { start: u32::MAX, end: u32::MAX };

    fn read(cursor: &mut Cursor<'_>) -> Result<Span, Fault> {
        let length = cursor.bytes()?.len() as u32;
        let end = cursor.at() as u32;
        Ok(Span { start: end - length, end })
    }

    #[inline(always)]
    fn is_present(self) -> bool {
        self.start != u32::MAX
    }
}

/// Lends the strings of one run, validated together where that is possible.
#[inline]
fn lend_run<'a>(
    bytes: &'a [u8],
    run: &[u8],
    spans: &[Span; TEXTS_MAX],
    texts: &mut [Option<&'a str>; TEXTS_MAX],
) -> Result<(), Fault> {
    let present = || run.iter().map(|slot| spans[usize::from(*slot)]).filter(|span| span.is_present());
    let (Some(first), Some(last)) = (present().next(), present().next_back()) else {
        return Ok(());
    };
    let whole = bytes.get(first.start as usize..last.end as usize).unwrap_or_default();
    let whole = std::str::from_utf8(whole).ok();
    for slot in run {
        let span = spans[usize::from(*slot)];
        if span.is_present() {
            let text = match whole {
                // A string cut inside a character is not UTF-8 by itself, although the run is.
                Some(whole) => whole.get((span.start - first.start) as usize..(span.end - first.start) as usize),
                None => {
                    bytes.get(span.start as usize..span.end as usize).and_then(|text| std::str::from_utf8(text).ok())
                }
            };
            texts[usize::from(*slot)] = Some(text.ok_or(Fault::BadText)?);
        }
    }
    Ok(())
}

fn text_choice(branches: &[Choice], cursor: &mut Cursor<'_>) -> Result<Option<Span>, Fault> {
    match &branches[cursor.tag(branches.len())?] {
        Choice::Text => Span::read(cursor).map(Some),
        Choice::Null => Ok(None),
        Choice::Mismatch(why) => Err(Fault::Unresolvable(why.to_string())),
        Choice::Long | Choice::Int => Err(Fault::BadTag),
    }
}

fn long_choice(branches: &[Choice], cursor: &mut Cursor<'_>) -> Result<i64, Fault> {
    match &branches[cursor.tag(branches.len())?] {
        Choice::Long => cursor.long(),
        Choice::Int => cursor.int().map(i64::from),
        Choice::Mismatch(why) => Err(Fault::Unresolvable(why.to_string())),
        Choice::Null | Choice::Text => Err(Fault::BadTag),
    }
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Text(u8),
    Long(u8),
}

/// The reader's fields that have a slot.
fn slots<'f>(shape: &Shape, fields: &'f [RecordField]) -> Vec<(Slot, &'f RecordField)> {
    let slot = |name: &str| {
        let text = shape.texts.iter().position(|text| *text == name).map(|at| Slot::Text(at as u8));
        text.or_else(|| shape.longs.iter().position(|long| *long == name).map(|at| Slot::Long(at as u8)))
    };
    fields.iter().filter_map(|field| Some((slot(&field.name)?, field))).collect()
}

fn read_step<'s>(
    compiler: &mut Compiler<'s>,
    writer: &'s Schema,
    slot: Slot,
    reader: &'s Schema,
) -> Result<Step, String> {
    // The full resolution decides what is allowed; the branches below only give it its fast form.
    let node = compiler.resolve(writer, reader)?;
    let choice = |node: &Node| match node {
        Node::Null => Choice::Null,
        Node::Text => Choice::Text,
        Node::Number(crate::plan::Number::Int, _) => Choice::Int,
        Node::Number(..) => Choice::Long,
        Node::Mismatch(why) => Choice::Mismatch(why.clone()),
        _ => Choice::Mismatch("no string or integer".into()),
    };
    let choices: Vec<Choice> = match compiler.node(node) {
        Node::Union(branches) => branches.iter().map(|branch| choice(compiler.node(*branch))).collect(),
        single => {
            return match (slot, choice(single)) {
                (Slot::Text(at), Choice::Text) => Ok(Step::Text(at)),
                (Slot::Long(at), Choice::Long) => Ok(Step::Long(at)),
                (Slot::Long(at), Choice::Int) => Ok(Step::Int(at)),
                (_, Choice::Null) => Ok(Step::Skip(node)),
                _ => Err("no string or integer".into()),
            };
        }
    };
    Ok(match (slot, choices.as_slice()) {
        (Slot::Text(at), [Choice::Null, Choice::Text]) => Step::NullOrText(at),
        (Slot::Text(at), _) => Step::TextChoice(at, choices.into()),
        (Slot::Long(at), _) => Step::LongChoice(at, choices.into()),
    })
}

fn skip_step<'s>(compiler: &mut Compiler<'s>, writer: &'s Schema) -> Result<Step, String> {
    let node = compiler.plain(writer)?;
    Ok(match compiler.node(node) {
        Node::Text | Node::Bytes => Step::SkipText,
        Node::Number(crate::plan::Number::Long, _) => Step::SkipLong,
        Node::Union(branches) => match branches.iter().map(|branch| compiler.node(*branch)).collect::<Vec<_>>()[..] {
            [Node::Null, Node::Text | Node::Bytes] => Step::SkipNullOrText,
            _ => Step::Skip(node),
        },
        _ => Step::Skip(node),
    })
}

/// Cuts the text slots where integers lie between: their bytes are seldom UTF-8.
fn runs(steps: &[Step]) -> Box<[Box<[u8]>]> {
    let mut runs = vec![Vec::new()];
    for step in steps {
        match step {
            Step::Text(slot) | Step::NullOrText(slot) | Step::TextChoice(slot, _) => {
                if let Some(run) = runs.last_mut() {
                    run.push(*slot);
                }
            }
            Step::SkipText | Step::SkipNullOrText => {}
            Step::Long(_) | Step::Int(_) | Step::LongChoice(..) | Step::SkipLong | Step::Skip(_) => {
                runs.push(Vec::new());
            }
        }
    }
    runs.into_iter().filter(|run| !run.is_empty()).map(Vec::into_boxed_slice).collect()
}
