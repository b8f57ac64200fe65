//! Every length and depth has a bound with a name. A count read from a record never decides an allocation.

/// What one record may hold. Counted while reading, before anything is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one string, bytes or fixed value, skipped ones included.
    pub text_bytes_max: usize,
    /// Items of one array or map.
    pub items_max: usize,
    /// Items of all arrays and maps of the record together: nested collections must not multiply.
    pub items_total_max: usize,
    /// Records, arrays, maps and unions inside each other.
    pub depth_max: usize,
}

/// Bytes of a whole record with its frame: a broker's own default limit.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// Bytes of an event id, by the contract.
pub const EVENT_ID_BYTES_MAX: usize = 64;

/// Bytes of an account or campaign id, by the contract; the longest platform resource name known has 90.
pub const ID_BYTES_MAX: usize = 256;

/// Bytes of a policy file inside its record: half a payload, so that it also fits into a journal record.
pub const POLICY_BODY_BYTES_MAX: usize = 512 << 10;

/// Bytes of a record of a control topic other than a policy, with its frame: it travels whole inside a journal record,
/// which must fit into one of the broker's, and a specification lives in memory.
pub const CONTROL_BYTES_MAX: usize = 256 << 10;

impl Limits {
    /// Records that others write: events, specifications, reports, feedback.
    pub const INPUT: Limits =
        Limits { text_bytes_max: 4 << 10, items_max: 1_000, items_total_max: 10_000, depth_max: 16 };

    /// A policy version: its body is a file.
    pub const POLICY: Limits = Limits { text_bytes_max: POLICY_BODY_BYTES_MAX, ..Limits::INPUT };

    /// What we write ourselves: the journal splits at 900 kB, and its smallest item (a word of the dictionary) takes
    /// two bytes, a row of deltas sixteen. A copied policy sets the length of a text.
    pub const OWN: Limits =
        Limits { text_bytes_max: POLICY_BODY_BYTES_MAX, items_max: 500_000, items_total_max: 500_000, depth_max: 16 };
}
