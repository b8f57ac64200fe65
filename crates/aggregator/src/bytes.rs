//! Little-endian bytes of snapshot chunks, and a reader that trusts no length.

use std::fmt;

/// Why a chunk could not be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt(pub &'static str);

impl Corrupt {
    /// Nothing is damaged, but no id of it can be matched any more.
    pub const OTHER_SECRET: Corrupt = Corrupt("it was made under another secret");
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "snapshot chunk is corrupt: {}", self.0)
    }
}

impl std::error::Error for Corrupt {}

/// Appends to a chunk.
#[derive(Default)]
pub(crate) struct Writer(pub Vec<u8>);

impl Writer {
    pub fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn flag(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }

    pub fn count(&mut self, value: usize) {
        self.u64(value as u64);
    }

    pub fn text(&mut self, value: &str) {
        self.u32(value.len() as u32);
        self.0.extend_from_slice(value.as_bytes());
    }
}

/// Reads a chunk; every failure is a value.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Corrupt("it ends too early"))?;
        self.0 = rest;
        Ok(*head)
    }

    pub fn u16(&mut self) -> Result<u16, Corrupt> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Corrupt> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Corrupt> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, Corrupt> {
        self.array().map(i64::from_le_bytes)
    }

    pub fn flag(&mut self) -> Result<bool, Corrupt> {
        match self.array::<1>()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Corrupt("a flag is neither 0 nor 1")),
        }
    }

    /// A count of items of at least `item_bytes` each, which must all be here: so it is safe to allocate by.
    pub fn count(&mut self, item_bytes: usize) -> Result<usize, Corrupt> {
        let count = usize::try_from(self.u64()?).map_err(|_| Corrupt("a count is too large"))?;
        match count.checked_mul(item_bytes) {
            Some(bytes) if bytes <= self.0.len() => Ok(count),
            _ => Err(Corrupt("a count is larger than what follows")),
        }
    }

    pub fn text(&mut self) -> Result<&'a str, Corrupt> {
        let length = self.u32()? as usize;
        let (head, rest) = self.0.split_at_checked(length).ok_or(Corrupt("a text ends too early"))?;
        self.0 = rest;
        std::str::from_utf8(head).map_err(|_| Corrupt("a text is not UTF-8"))
    }

    pub fn end(self) -> Result<(), Corrupt> {
        if self.0.is_empty() { Ok(()) } else { Err(Corrupt("bytes are left over")) }
    }
}
