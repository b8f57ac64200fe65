//! The few calls of the C interface that batches need, each wrapped once.
//!
//! What always holds: a queue is destroyed before its client, a message is freed exactly once, and no message outlives
//! the batch that holds it.

use crate::record::{Parts, Record};
use rdkafka::bindings as native;
use rdkafka::error::RDKafkaErrorCode;
use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::time::Duration;

/// A client of the C library.
pub(crate) type ClientPointer = *mut native::rd_kafka_t;

/// A queue that takes messages only: events of the client stay on the client's own queue, where they are served.
pub(crate) struct MessageQueue(NonNull<native::rd_kafka_queue_t>);

// SAFETY: the C library's queues are thread-safe; the pointer has one owner.
unsafe impl Send for MessageQueue {}

impl MessageQueue {
    /// A new queue of `client`, which must outlive it.
    pub fn new(client: ClientPointer) -> MessageQueue {
        // SAFETY: the client is live; the call only fails where memory is exhausted.
        let queue = unsafe { native::rd_kafka_queue_new(client) };
        MessageQueue(NonNull::new(queue).expect("the client allocates a queue or aborts"))
    }

    /// Sends what is fetched for a partition here, and what waits in its own queue first.
    pub fn adopt(&self, client: ClientPointer, topic: &str, partition: i32) {
        self.forward(client, topic, partition, self.0.as_ptr());
    }

    /// Lets what is fetched for a partition wait in its own queue; the fetcher stops by itself when that is full.
    pub fn disown(&self, client: ClientPointer, topic: &str, partition: i32) {
        self.forward(client, topic, partition, std::ptr::null_mut());
    }

    fn forward(&self, client: ClientPointer, topic: &str, partition: i32, to: *mut native::rd_kafka_queue_t) {
        let topic = CString::new(topic).expect("topic names come from the cluster or were checked: no NUL inside");
        // SAFETY: client and queue are live; the partition's queue is a counted reference, given back at once, and the
        // forwarding holds its own.
        unsafe {
            let own = native::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition);
            if !own.is_null() {
                native::rd_kafka_queue_forward(own, to);
                native::rd_kafka_queue_destroy(own);
            }
        }
    }

    /// Up to `max` messages into `into`, which is cleared first. Waits only for the first one.
    ///
    /// The C call waits until its array is full or the time is over: asking for one and then for the rest without
    /// waiting returns as soon as there is something.
    pub fn take(&self, into: &mut Messages, max: usize, wait: Duration) {
        into.clear();
        if self.take_into(into, max, 0) == 0 && !wait.is_zero() && self.take_into(into, 1, millis(wait)) == 1 {
            self.take_into(into, max - 1, 0);
        }
    }

    fn take_into(&self, into: &mut Messages, max: usize, wait_ms: i32) -> usize {
        if max == 0 {
            return 0;
        }
        let held = into.0.len();
        into.0.reserve(max);
        // SAFETY: the vector has room for `max` more messages, each of which is laid out as a pointer; the call writes
        // at most that many, none of them null and all of them ours to free, and says how many.
        unsafe {
            let room = into.0.as_mut_ptr().add(held).cast::<*mut native::rd_kafka_message_t>();
            let taken = native::rd_kafka_consume_batch_queue(self.0.as_ptr(), wait_ms, room, max).max(0) as usize;
            into.0.set_len(held + taken);
            taken
        }
    }

    pub(crate) fn as_ptr(&self) -> *mut native::rd_kafka_queue_t {
        self.0.as_ptr()
    }
}

impl Drop for MessageQueue {
    fn drop(&mut self) {
        // SAFETY: created by us, destroyed once; the client is still live by the contract of `new`.
        unsafe { native::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

/// Messages that we own until they are freed.
#[derive(Default)]
pub(crate) struct Messages(Vec<OwnedMessage>);

/// A message that is freed when dropped.
#[repr(transparent)]
pub(crate) struct OwnedMessage(NonNull<native::rd_kafka_message_t>);

// SAFETY: messages are plain owned buffers; the C library lets any thread free them.
unsafe impl Send for OwnedMessage {}

impl OwnedMessage {
    pub fn view(&self) -> MessageView<'_> {
        // SAFETY: the message is live until we are dropped.
        MessageView(unsafe { self.0.as_ref() })
    }

    /// What it says of itself, for [`Messages::records`].
    pub fn parts(&self, source: usize) -> Parts {
        // SAFETY: the message is live until we are dropped.
        unsafe { Parts::of(source, self.0.as_ptr()) }
    }
}

impl Drop for OwnedMessage {
    fn drop(&mut self) {
        // SAFETY: owned by us, freed once.
        unsafe { native::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

impl Messages {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The message at `at`.
    pub fn get(&self, at: usize) -> MessageView<'_> {
        self.0[at].view()
    }

    /// The record at `at`.
    pub fn record(&self, at: usize, source: usize) -> Record<'_> {
        // SAFETY: the message is live, and the borrow of `self` keeps it from being freed.
        unsafe { Record::new(source, self.0[at].0.as_ptr()) }
    }

    /// The records of these messages.
    ///
    /// # Safety
    /// `parts` must be of messages that are here.
    pub unsafe fn records<'m>(&'m self, parts: &'m [Parts]) -> impl ExactSizeIterator<Item = Record<'m>> {
        // SAFETY: they are here, by the caller's promise, and the borrow of `self` keeps them from being freed.
        parts.iter().map(|parts| unsafe { parts.record() })
    }

    pub fn push(&mut self, message: OwnedMessage) {
        self.0.push(message);
    }

    /// Takes all out, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = OwnedMessage> + '_ {
        self.0.drain(..)
    }

    /// Frees all.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// What a message says about itself.
#[derive(Clone, Copy)]
pub(crate) struct MessageView<'a>(&'a native::rd_kafka_message_t);

/// Identity of a topic inside the client, comparable while a partition of it is assigned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TopicHandle(usize);

impl MessageView<'_> {
    pub fn partition(&self) -> i32 {
        self.0.partition
    }

    pub fn offset(&self) -> i64 {
        self.0.offset
    }

    pub fn topic_handle(&self) -> TopicHandle {
        TopicHandle(self.0.rkt as usize)
    }

    pub fn topic(&self) -> String {
        if self.0.rkt.is_null() {
            return String::new();
        }
        // SAFETY: the message holds a reference to its topic; the name is NUL-terminated.
        unsafe { CStr::from_ptr(native::rd_kafka_topic_name(self.0.rkt)) }.to_string_lossy().into_owned()
    }

    /// The error that stands in place of a record.
    pub fn error(&self) -> Option<(RDKafkaErrorCode, String)> {
        if self.0.err == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        let text = if self.0.payload.is_null() {
            String::new()
        } else {
            // SAFETY: an error message carries its text as payload, with this length.
            let bytes = unsafe { std::slice::from_raw_parts(self.0.payload.cast::<u8>(), self.0.len) };
            String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
        };
        Some((self.0.err.into(), text))
    }
}

/// Lowest and highest offset that the last answers of the broker named; `None` before the first.
pub(crate) fn cached_watermarks(client: ClientPointer, topic: &str, partition: i32) -> Option<(i64, i64)> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client is live, the out pointers are ours.
    let code =
        unsafe { native::rd_kafka_get_watermark_offsets(client, topic.as_ptr(), partition, &mut low, &mut high) };
    (code == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some((low, high))
}

/// Waits until all produced messages have their delivery report; something else must serve the reports meanwhile.
pub(crate) fn flush(client: ClientPointer, limit: Duration) -> bool {
    // SAFETY: the client is live and a producer.
    let code = unsafe { native::rd_kafka_flush(client, millis(limit)) };
    code == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// A partition that is read without a group, into a queue, until dropped.
pub(crate) struct SimpleFetch<'a> {
    topic: NonNull<native::rd_kafka_topic_t>,
    partition: i32,
    /// The fetch must end before the queue does.
    _queue: &'a MessageQueue,
}

impl<'a> SimpleFetch<'a> {
    pub fn start(
        client: ClientPointer,
        queue: &'a MessageQueue,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<SimpleFetch<'a>, RDKafkaErrorCode> {
        let name = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidArgument)?;
        // SAFETY: client and queue are live; a null configuration means the client's defaults.
        unsafe {
            let Some(topic) = NonNull::new(native::rd_kafka_topic_new(client, name.as_ptr(), std::ptr::null_mut()))
            else {
                return Err(native::rd_kafka_last_error().into());
            };
            if native::rd_kafka_consume_start_queue(topic.as_ptr(), partition, offset, queue.as_ptr()) != 0 {
                let code = native::rd_kafka_last_error();
                native::rd_kafka_topic_destroy(topic.as_ptr());
                return Err(code.into());
            }
            Ok(SimpleFetch { topic, partition, _queue: queue })
        }
    }
}

impl Drop for SimpleFetch<'_> {
    fn drop(&mut self) {
        // SAFETY: started by us, stopped once, then our reference to the topic is given back.
        unsafe {
            native::rd_kafka_consume_stop(self.topic.as_ptr(), self.partition);
            native::rd_kafka_topic_destroy(self.topic.as_ptr());
        }
    }
}

/// The C interface counts in whole milliseconds; a wait that is not zero never becomes one.
pub(crate) fn millis(wait: Duration) -> i32 {
    let whole = wait.as_millis().min(i32::MAX as u128) as i32;
    if whole == 0 && !wait.is_zero() { 1 } else { whole }
}

/// Where the next record after those handed out would be read; `None` before the first.
pub(crate) fn position(client: ClientPointer, topic: &str, partition: i32) -> Option<i64> {
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition(topic, partition);
    // SAFETY: client and list are live; the call only fills in offsets.
    let code = unsafe { native::rd_kafka_position(client, list.ptr()) };
    match list.elements().first()?.offset() {
        rdkafka::Offset::Offset(offset) if code == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {
            Some(offset)
        }
        _ => None,
    }
}
