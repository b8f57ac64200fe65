//! The state of a set at an epoch's end, in chunks.
//!
//! What always holds: taking one copies references, not tables; the same state has the same chunks with the same bytes,
//! whatever its history; a chunk whose version (the epoch that last wrote it) the store already has need not be written
//! again. Bytes are trusted no further than they can be checked: whatever is damaged, missing, doubled or from another
//! set or secret is an error. What is missing on purpose: files, manifests and checksums, which are the caller's.

use crate::bytes::{Corrupt, Reader, Writer};
use crate::dedupe::{Dedupe, encode_chunk};
use crate::minute::{Frozen, Minute};
use crate::names::Names;
use crate::pending::{Block, Pending};
use crate::semantics::Semantics;
use crate::set::{Identity, NAMES_SEED, SiblingSet};
use crate::slots::{ClickSlot, ClickTouch, ClickerSlot, ImpressionTouch, ViewerSlot};
use crate::spill::Piece;
use crate::table::{Shard, encode};
use crate::touches::Touches;
use model::keyed::KeyedHasher;
use std::borrow::Cow;
use std::collections::BTreeSet;
use window::watermark::SourceWatermark;

/// A frozen state; encoding it is for another thread.
pub struct SetSnapshot {
    head: Head,
    names: Names,
    values: Names,
    minute: Frozen,
    dedupe: Dedupe,
    touches: Touches,
    pending: Pending,
}

/// A piece of a snapshot.
pub struct Chunk<'a> {
    /// The same for the same piece in every snapshot of a set: words with slashes between.
    pub id: String,
    /// Epoch that last wrote it.
    pub version: u64,
    content: Content<'a>,
}

/// A chunk as it comes back from a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredChunk<'a> {
    /// [`Chunk::id`].
    pub id: String,
    /// [`Chunk::version`].
    pub version: u64,
    /// [`Chunk::encode`].
    pub bytes: Cow<'a, [u8]>,
}

enum Content<'a> {
    Head(&'a Head, u64),
    Names(&'a Names),
    Minute(&'a Frozen, &'a Names),
    Ids(&'a Shard<u64>),
    Viewers(&'a Shard<ViewerSlot>),
    Clickers(&'a Shard<ClickerSlot>),
    Clicks(&'a Shard<ClickSlot>),
    SpilledImpressions(&'a Piece<ImpressionTouch>),
    SpilledClicks(&'a Piece<ClickTouch>),
    Pending(&'a Block),
}

/// What is small.
#[derive(Clone, Debug, PartialEq)]
struct Head {
    partition: i32,
    partitions: i32,
    secret_check: u64,
    epoch: i64,
    positions: [i64; 3],
    sources: [SourceWatermark; 3],
    semantics: Semantics,
}

impl SiblingSet {
    /// The state as of the last closed epoch; `None` while one is open.
    pub fn snapshot(&self) -> Option<SetSnapshot> {
        (!self.is_open).then(|| SetSnapshot {
            head: Head {
                partition: self.identity.partition,
                partitions: self.identity.partitions,
                secret_check: secret_check(&self.hasher),
                epoch: self.epoch,
                positions: self.positions,
                sources: self.sources,
                semantics: self.semantics,
            },
            names: self.names.frozen(),
            values: self.values.frozen(),
            minute: self.minute.frozen(),
            dedupe: self.dedupe.clone(),
            touches: self.touches.clone(),
            pending: self.pending.clone(),
        })
    }

    /// The set that a snapshot was taken of; chunks may come in any order.
    pub fn restore<'a>(
        identity: Identity,
        hasher: KeyedHasher,
        chunks: impl IntoIterator<Item = StoredChunk<'a>>,
    ) -> Result<Self, Corrupt> {
        let mut set = SiblingSet::new(identity, hasher, Semantics::default());
        let (mut head, mut names, mut values, mut minute) = (None, None, None, None);
        let mut ids = BTreeSet::new();
        for chunk in chunks {
            let (version, bytes) = (chunk.version, &*chunk.bytes);
            match chunk.id.split_once('/').unwrap_or((&chunk.id, "")) {
                ("head", "") => head = Some(Head::decode(bytes)?),
                ("names", "") => names = Some(Names::decode(set.hasher.id(NAMES_SEED), bytes)?),
                ("values", "") => values = Some(Names::decode(set.hasher.id(NAMES_SEED), bytes)?),
                ("minute", "") => minute = Some(chunk.bytes),
                ("dedupe", path) => set.dedupe.restore(path, version, bytes)?,
                ("viewers", shard) => set.touches.viewers.restore(number(shard)?, version, bytes)?,
                ("clickers", shard) => set.touches.clickers.restore(number(shard)?, version, bytes)?,
                ("clicks", shard) => set.touches.clicks.restore(number(shard)?, version, bytes)?,
                ("spilled-impressions", name) => set.touches.spilled_impressions.restore(name, version, bytes)?,
                ("spilled-clicks", name) => set.touches.spilled_clicks.restore(name, version, bytes)?,
                ("pending", _) => set.pending.restore(version, bytes)?,
                _ => return Err(Corrupt("its name is unknown")),
            }
            if !ids.insert(chunk.id) {
                return Err(Corrupt("a chunk is there twice"));
            }
        }
        let (head, chunks) = head.ok_or(Corrupt("the head is missing"))?;
        set.names = names.ok_or(Corrupt("the names are missing"))?;
        set.values = values.ok_or(Corrupt("the values of clicks are missing"))?;
        let minute = minute.ok_or(Corrupt("the rows of the minute are missing"))?;
        set.minute = Minute::decode(set.hasher.id(NAMES_SEED), &set.names, &minute)?;
        if chunks != ids.len() as u64 {
            return Err(Corrupt("a chunk is missing"));
        }
        if !set.touches.codes_are_known(&set.names, &set.values) {
            return Err(Corrupt("a touch points to no name"));
        }
        set.adopt(head)
    }

    fn adopt(mut self, head: Head) -> Result<Self, Corrupt> {
        if (head.partition, head.partitions) != (self.identity.partition, self.identity.partitions) {
            return Err(Corrupt("it is of another partition"));
        }
        if head.secret_check != secret_check(&self.hasher) {
            return Err(Corrupt::OTHER_SECRET);
        }
        self.epoch = head.epoch;
        self.positions = head.positions;
        self.sources = head.sources;
        self.semantics = head.semantics;
        Ok(self)
    }
}

impl SetSnapshot {
    /// Number of the epoch at whose end it was taken.
    pub fn epoch(&self) -> i64 {
        self.head.epoch
    }

    /// Next position to read of each sibling.
    pub fn positions(&self) -> [i64; 3] {
        self.head.positions
    }

    /// All chunks, in one fixed order; those that would be empty are left out.
    pub fn chunks(&self) -> Vec<Chunk<'_>> {
        let mut chunks = vec![Chunk::new("names".to_owned(), self.head.version(), Content::Names(&self.names))];
        chunks.push(Chunk::new("values".to_owned(), self.head.version(), Content::Names(&self.values)));
        chunks.push(Chunk::new("minute".to_owned(), self.head.version(), Content::Minute(&self.minute, &self.names)));
        for (id, shard) in self.dedupe.chunks() {
            chunks.push(Chunk::new(id, shard.version, Content::Ids(shard)));
        }
        for (at, shard) in self.touches.viewers.filled() {
            chunks.push(Chunk::new(format!("viewers/{at}"), shard.version, Content::Viewers(shard)));
        }
        for (at, shard) in self.touches.clickers.filled() {
            chunks.push(Chunk::new(format!("clickers/{at}"), shard.version, Content::Clickers(shard)));
        }
        for (at, shard) in self.touches.clicks.filled() {
            chunks.push(Chunk::new(format!("clicks/{at}"), shard.version, Content::Clicks(shard)));
        }
        for (name, piece) in self.touches.spilled_impressions.chunks() {
            let id = format!("spilled-impressions/{name}");
            chunks.push(Chunk::new(id, piece.version, Content::SpilledImpressions(piece)));
        }
        for (name, piece) in self.touches.spilled_clicks.chunks() {
            chunks.push(Chunk::new(format!("spilled-clicks/{name}"), piece.version, Content::SpilledClicks(piece)));
        }
        for block in &self.pending.blocks {
            chunks.push(Chunk::new(format!("pending/{}", block.epoch), block.version, Content::Pending(block)));
        }
        let count = chunks.len() as u64 + 1;
        chunks.push(Chunk::new("head".to_owned(), self.head.version(), Content::Head(&self.head, count)));
        chunks
    }
}

impl<'a> Chunk<'a> {
    fn new(id: String, version: u64, content: Content<'a>) -> Self {
        Self { id, version, content }
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self.content {
            Content::Head(head, chunks) => head.encode(chunks),
            Content::Names(names) => names.encode(),
            Content::Minute(minute, names) => minute.encode(names),
            Content::Ids(shard) => encode_chunk(shard),
            Content::Viewers(shard) => encode(shard),
            Content::Clickers(shard) => encode(shard),
            Content::Clicks(shard) => encode(shard),
            Content::SpilledImpressions(piece) => piece.encode(),
            Content::SpilledClicks(piece) => piece.encode(),
            Content::Pending(block) => block.encode(),
        }
    }

    /// As a store gives it back.
    pub fn stored(&self) -> StoredChunk<'static> {
        StoredChunk { id: self.id.clone(), version: self.version, bytes: self.encode().into() }
    }
}

impl Head {
    fn version(&self) -> u64 {
        self.epoch.max(0) as u64
    }

    fn encode(&self, chunks: u64) -> Vec<u8> {
        let mut out = Writer::default();
        out.u32(FORMAT);
        out.u64(chunks);
        out.u32(self.partition as u32);
        out.u32(self.partitions as u32);
        out.u64(self.secret_check);
        out.i64(self.epoch);
        self.positions.iter().for_each(|position| out.i64(*position));
        for source in self.sources {
            let (newest, at) = source.parts();
            out.i64(newest);
            out.i64(at);
        }
        self.semantics.write(&mut out);
        out.0
    }

    /// And how many chunks there are with it.
    fn decode(bytes: &[u8]) -> Result<(Self, u64), Corrupt> {
        let mut input = Reader::new(bytes);
        if input.u32()? != FORMAT {
            return Err(Corrupt("its format is another"));
        }
        let chunks = input.u64()?;
        let (partition, partitions) = (input.u32()? as i32, input.u32()? as i32);
        let (secret_check, epoch) = (input.u64()?, input.i64()?);
        let positions = [input.i64()?, input.i64()?, input.i64()?];
        let mut sources = [SourceWatermark::new(); 3];
        for source in &mut sources {
            *source = SourceWatermark::from_parts(input.i64()?, input.i64()?);
        }
        let semantics = Semantics::read(&mut input)?;
        input.end()?;
        Ok((Self { partition, partitions, secret_check, epoch, positions, sources, semantics }, chunks))
    }
}

fn number(word: &str) -> Result<usize, Corrupt> {
    word.parse().map_err(|_| Corrupt("its name is unknown"))
}

/// Tells two secrets apart without telling either.
fn secret_check(hasher: &KeyedHasher) -> u64 {
    hasher.id("what a snapshot's secret is compared by: not an event id, because those have at most 64 bytes")
}

/// Counts up with every change of any chunk's bytes.
const FORMAT: u32 = 3;
