//! One record as it lies in the client's buffers, and the name of a place in the cluster.

use rdkafka::bindings as native;
use std::ffi::{CStr, c_char, c_void};
use std::fmt;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
}

impl TopicPartition {
    /// The partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A record without its headers, borrowed from a batch that several threads may read.
#[derive(Clone, Copy)]
pub struct PlainRecord<'a> {
    /// Index into the list of topics that the reader was given.
    pub source: usize,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// When it was written (or appended, as the topic says), epoch milliseconds; -1 where the broker says nothing.
    pub timestamp_ms: i64,
    /// Whether the broker stamped it at append.
    pub is_append_time: bool,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub payload: Option<&'a [u8]>,
}

/// A record with its headers, borrowed from a batch that one thread reads.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    plain: PlainRecord<'a>,
    message: *const native::rd_kafka_message_t,
}

impl<'a> Deref for Record<'a> {
    type Target = PlainRecord<'a>;

    fn deref(&self) -> &PlainRecord<'a> {
        &self.plain
    }
}

/// What a message says of itself, read while it is at hand; a record once more, as long as the message lives.
pub(crate) struct Parts(Record<'static>);

// SAFETY: only pointers into the message, which any thread may read, and nothing is read through them here.
unsafe impl Send for Parts {}

impl Parts {
    /// # Safety
    /// `message` must be a live message of a consumer.
    pub(crate) unsafe fn of(source: usize, message: *const native::rd_kafka_message_t) -> Parts {
        // SAFETY: live now, by the caller's promise; what is lent is lent on by `record` alone.
        Parts(unsafe { Record::new(source, message) })
    }

    /// # Safety
    /// The message must live still, and must not be freed within `'a`.
    pub(crate) unsafe fn record<'a>(&self) -> Record<'a> {
        self.0
    }
}

impl<'a> Record<'a> {
    /// # Safety
    /// `message` must be a live message of a consumer that outlives `'a`, and must not be freed within it.
    pub(crate) unsafe fn new(source: usize, message: *const native::rd_kafka_message_t) -> Record<'a> {
        // SAFETY: the message is live, by the caller's promise; the struct is plain data.
        let fields = unsafe { *message };
        let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is live, by the caller's promise.
        let timestamp_ms = unsafe { native::rd_kafka_message_timestamp(message, &mut kind) };
        let plain = PlainRecord {
            source,
            partition: fields.partition,
            offset: fields.offset,
            timestamp_ms,
            is_append_time: kind == native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME,
            // SAFETY: key and payload point into the live message, with these lengths.
            key: unsafe { bytes(fields.key, fields.key_len) },
            // SAFETY: as above.
            payload: unsafe { bytes(fields.payload, fields.len) },
        };
        Record { plain, message }
    }

    /// The headers, in order.
    pub fn headers(&self) -> Vec<(&'a str, Option<&'a [u8]>)> {
        let mut list = ptr::null_mut();
        // SAFETY: the message is live for 'a; the headers it hands out are owned by it.
        if unsafe { native::rd_kafka_message_headers(self.message, &mut list) }
            != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            return Vec::new();
        }
        let mut headers = Vec::new();
        loop {
            let (mut name, mut value, mut length) = (ptr::null::<c_char>(), ptr::null::<c_void>(), 0usize);
            // SAFETY: the list belongs to the live message; the out pointers are ours.
            let found =
                unsafe { native::rd_kafka_header_get_all(list, headers.len(), &mut name, &mut value, &mut length) };
            if found != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return headers;
            }
            // SAFETY: names are NUL-terminated and live as long as the message.
            let name = unsafe { CStr::from_ptr::<'a>(name) }.to_str().unwrap_or("");
            // SAFETY: the value has this length and lives as long as the message.
            headers.push((name, unsafe { bytes(value.cast_mut(), length) }));
        }
    }
}

impl fmt::Debug for Record<'_> {
    /// Coordinates and sizes only: contents may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("source", &self.source)
            .field("partition", &self.partition)
            .field("offset", &self.offset)
            .field("key_bytes", &self.key.map(<[u8]>::len))
            .field("payload_bytes", &self.payload.map(<[u8]>::len))
            .finish()
    }
}

/// # Safety
/// Where `start` is not null it must point to `length` bytes that live for `'a`.
unsafe fn bytes<'a>(start: *mut c_void, length: usize) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: by the caller's promise.
    Some(unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length) })
}
