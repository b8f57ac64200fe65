//! Codes for the (account, campaign, currency) that touches point to.
//!
//! What always holds: the same folds give the same codes (the lowest free one is taken), so codes may stand in
//! snapshots. A code stays as long as a remembered touch points to it: while the tables of touches are swept, shard by
//! shard, what they still point to is marked; at the end of a round, what was neither marked nor used in it is freed.
//! Names are found by 128 bits of a keyed hash and not compared as texts, which saves the hot path two cache misses:
//! among a million names the chance that any two share them is below 10^-26.

use crate::bytes::{Corrupt, Reader, Writer};
use crate::sums::TouchCodes;
use std::sync::Arc;

/// One name: three strings in one.
#[derive(Clone, Debug)]
struct Name {
    text: Arc<str>,
    account_bytes: u32,
    campaign_bytes: u32,
}

/// What is known of a code in this round of sweeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flags {
    /// Seen in an event.
    used: bool,
    /// Pointed to by a touch that was met.
    marked: bool,
}

/// Where a name is found.
#[derive(Clone, Copy, Default)]
struct Place {
    print: [u64; 2],
    /// Code + 1, 0 where free.
    code: u32,
}

/// The strings of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named<'a> {
    pub account: &'a str,
    pub campaign: &'a str,
    pub currency: &'a str,
}

/// 128 bits that stand for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Print([u64; 2]);

/// The interner.
#[derive(Clone)]
pub(crate) struct Names {
    /// By code; `None` where a code was freed.
    names: Vec<Option<Name>>,
    /// By code; apart from the names because every event writes here.
    flags: Vec<Flags>,
    /// By code: what the worker's sums know each name by; no state.
    in_sums: Vec<TouchCodes>,
    /// Open-addressed.
    index: Vec<Place>,
    /// Free codes below `names.len()`, the lowest last.
    free: Vec<u32>,
    seed: u64,
}

impl Names {
    /// The seed makes collisions unguessable; it does not reach codes.
    pub fn new(seed: u64) -> Self {
        Self {
            names: Vec::new(),
            flags: Vec::new(),
            in_sums: Vec::new(),
            index: vec![Place::default(); 64],
            free: Vec::new(),
            seed,
        }
    }

    pub fn len(&self) -> usize {
        self.names.len() - self.free.len()
    }

    pub fn contains(&self, code: u32) -> bool {
        self.names.get(code as usize).is_some_and(Option::is_some)
    }

    /// What a name is found by.
    pub fn print(&self, named: Named<'_>) -> Print {
        Print(print_of(self.seed, named))
    }

    /// See [`crate::table::Table::touch`].
    pub fn touch(&self, Print(print): Print) -> u64 {
        self.index[print[0] as usize & (self.index.len() - 1)].print[0]
    }

    /// The code of a known name; changes nothing.
    pub fn find(&self, Print(print): Print) -> Option<u32> {
        let mask = self.index.len() - 1;
        let mut at = print[0] as usize & mask;
        loop {
            let place = &self.index[at];
            if place.code == 0 {
                return None;
            }
            if place.print == print {
                return Some(place.code - 1);
            }
            at = (at + 1) & mask;
        }
    }

    /// The code of a name; `None` where it is new and `names_max` are held.
    pub fn code(&mut self, named: Named<'_>, names_max: usize) -> Option<u32> {
        self.code_of(self.print(named), || named, names_max)
    }

    /// The same; the name itself is asked for only where it is new.
    pub fn code_of<'a>(
        &mut self,
        Print(print): Print,
        named: impl FnOnce() -> Named<'a>,
        names_max: usize,
    ) -> Option<u32> {
        if let Some(code) = self.find(Print(print)) {
            self.flags[code as usize].used = true;
            return Some(code);
        }
        (self.len() < names_max).then(|| self.add(named(), print))
    }

    /// The strings of a code, and what sums remember of them.
    pub fn with_codes(&mut self, code: u32) -> Option<(Named<'_>, &mut TouchCodes)> {
        let name = self.names.get(code as usize)?.as_ref()?;
        Some((name.named(), self.in_sums.get_mut(code as usize)?))
    }

    pub fn get(&self, code: u32) -> Option<Named<'_>> {
        self.names.get(code as usize)?.as_ref().map(Name::named)
    }

    pub fn mark(&mut self, code: u32) {
        if let Some(flags) = self.flags.get_mut(code as usize) {
            flags.marked = true;
        }
    }

    /// A round of sweeps has ended: frees what nothing points to.
    pub fn end_round(&mut self) {
        let mut freed = false;
        for (slot, flags) in self.names.iter_mut().zip(&mut self.flags) {
            if slot.is_some() && !flags.used && !flags.marked {
                (*slot, freed) = (None, true);
            }
            *flags = Flags { used: false, marked: false };
        }
        if freed {
            self.rebuild();
        }
    }

    /// What a snapshot needs: all but the index, which is made again.
    pub fn frozen(&self) -> Self {
        Self {
            names: self.names.clone(),
            flags: self.flags.clone(),
            in_sums: Vec::new(),
            index: Vec::new(),
            free: Vec::new(),
            seed: self.seed,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.count(self.names.len());
        for (name, flags) in self.names.iter().zip(&self.flags) {
            out.flag(name.is_some());
            if let Some(name) = name {
                let named = name.named();
                out.text(named.account);
                out.text(named.campaign);
                out.text(named.currency);
                out.flag(flags.used);
                out.flag(flags.marked);
            }
        }
        out.0
    }

    pub fn decode(seed: u64, bytes: &[u8]) -> Result<Self, Corrupt> {
        let mut input = Reader::new(bytes);
        let mut names = Self::new(seed);
        for _ in 0..input.count(1)? {
            if !input.flag()? {
                names.names.push(None);
                names.flags.push(Flags { used: false, marked: false });
                continue;
            }
            let named = Named { account: input.text()?, campaign: input.text()?, currency: input.text()? };
            names.names.push(Some(Name::new(named)));
            names.flags.push(Flags { used: input.flag()?, marked: input.flag()? });
        }
        input.end()?;
        if names.names.len() >= u32::MAX as usize {
            return Err(Corrupt("there are too many names"));
        }
        names.rebuild();
        Ok(names)
    }

    fn add(&mut self, named: Named<'_>, print: [u64; 2]) -> u32 {
        let name = Some(Name::new(named));
        let flags = Flags { used: true, marked: false };
        let code = match self.free.pop() {
            Some(code) => {
                (self.names[code as usize], self.flags[code as usize]) = (name, flags);
                self.in_sums[code as usize] = TouchCodes::default();
                code
            }
            None => {
                self.names.push(name);
                self.flags.push(flags);
                self.in_sums.push(TouchCodes::default());
                self.names.len() as u32 - 1
            }
        };
        if self.names.len() * 2 > self.index.len() {
            self.rebuild()
        } else {
            self.place(print, code)
        }
        code
    }

    fn place(&mut self, print: [u64; 2], code: u32) {
        let mask = self.index.len() - 1;
        let mut at = print[0] as usize & mask;
        while self.index[at].code != 0 {
            at = (at + 1) & mask;
        }
        self.index[at] = Place { print, code: code + 1 };
    }

    fn rebuild(&mut self) {
        // A freed code beyond the last live one would come back only after a restore: the tail is cut in both.
        while matches!(self.names.last(), Some(None)) {
            self.names.pop();
        }
        self.flags.truncate(self.names.len());
        self.in_sums.resize(self.names.len(), TouchCodes::default());
        self.index = vec![Place::default(); (self.names.len() * 2).next_power_of_two().max(64)];
        self.free.clear();
        for code in (0..self.names.len()).rev() {
            match &self.names[code] {
                Some(name) => self.place(print_of(self.seed, name.named()), code as u32),
                None => self.free.push(code as u32),
            }
        }
    }
}

impl Name {
    fn new(named: Named<'_>) -> Self {
        Self {
            text: Arc::from([named.account, named.campaign, named.currency].concat()),
            account_bytes: named.account.len() as u32,
            campaign_bytes: named.campaign.len() as u32,
        }
    }

    fn named(&self) -> Named<'_> {
        let (account, rest) = self.text.split_at(self.account_bytes as usize);
        let (campaign, currency) = rest.split_at(self.campaign_bytes as usize);
        Named { account, campaign, currency }
    }
}

/// Two lanes of folded multiplication over 8-byte words: a few nanoseconds for three short names. With all lengths in it,
/// the last word of a text may overlap the one before, and a short one needs no end.
fn print_of(seed: u64, named: Named<'_>) -> [u64; 2] {
    let texts = [named.account, named.campaign, named.currency].map(str::as_bytes);
    let mut print = [mix(seed ^ LANES[0]), mix(seed ^ LANES[1])];
    let mut add = |word: u64| print = [mix(print[0] ^ word), mix(print[1].rotate_left(32) ^ word)];
    let [account, campaign, currency] = texts.map(|text| text.len() as u64);
    // No text has 2^32 bytes, so the currency's length cannot hide in the others'.
    add(account | campaign << 32);
    for text in texts {
        match (text.as_chunks::<8>(), text.last_chunk::<8>()) {
            ((words, rest), Some(last)) => {
                words.iter().for_each(|word| add(u64::from_le_bytes(*word)));
                if !rest.is_empty() {
                    add(u64::from_le_bytes(*last));
                }
            }
            // Shorter than a word: its bytes, the first one lowest.
            ((_, rest), None) => add(rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))),
        }
    }
    add(currency);
    print
}

/// Digits of pi: they make two lanes of one seed.
const LANES: [u64; 2] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344];

fn mix(word: u64) -> u64 {
    let product = u128::from(word ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(campaign: &str) -> Named<'_> {
        Named { account: "a", campaign, currency: "EUR" }
    }

    #[test]
    fn a_name_keeps_its_code_while_used_or_marked_and_frees_it_after() {
        let mut names = Names::new(1);
        assert_eq!(names.code(named("x"), 2), Some(0));
        assert_eq!(names.code(named("y"), 2), Some(1));
        assert_eq!(names.code(named("z"), 2), None);
        names.end_round();
        names.mark(1);
        names.end_round();
        assert!(!names.contains(0) && names.contains(1));
        assert_eq!(names.code(named("z"), 2), Some(0));
        assert_eq!(names.get(0), Some(named("z")));
        assert_eq!(names.code(named("y"), 2), Some(1));
    }

    #[test]
    fn where_one_string_ends_and_the_next_begins_matters() {
        let mut names = Names::new(1);
        let one = names.code(Named { account: "ab", campaign: "c", currency: "" }, 9);
        let other = names.code(Named { account: "a", campaign: "bc", currency: "" }, 9);
        assert_ne!(one, other);
    }

    #[test]
    fn a_thousand_names_read_back() {
        let mut names = Names::new(1);
        for at in 0..1_000 {
            assert_eq!(names.code(named(&format!("c{at}")), 5_000), Some(at));
        }
        names.end_round();
        names.code(named("c7"), 5_000);
        names.end_round();
        let bytes = names.encode();
        let mut read = Names::decode(1, &bytes).expect("just written");
        assert_eq!(read.encode(), bytes);
        assert_eq!((read.len(), read.names.len()), (1, 8));
        assert_eq!(read.code(named("new"), 5_000), names.code(named("new"), 5_000));
        for cut in 0..bytes.len() {
            assert!(Names::decode(1, &bytes[..cut]).is_err());
        }
    }
}
