//! The ids of topics, which the client's safe interface does not offer.

use crate::native::{MessageQueue, millis};
use crate::witness::Witness;
use rdkafka::admin::AdminClient;
use rdkafka::bindings as native;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::time::Duration;

/// The ids of the topics that the cluster tells them of; the others are absent.
pub(crate) fn topic_ids(admin: &AdminClient<Witness>, topics: &[&str], limit: Duration) -> BTreeMap<String, String> {
    let client = admin.inner().native_ptr();
    let names: Vec<CString> = topics.iter().filter_map(|topic| CString::new(*topic).ok()).collect();
    if names.is_empty() {
        return BTreeMap::new();
    }
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    let queue = MessageQueue::new(client);
    // SAFETY: the client is live; the names live until the collection has copied them; collection and options are freed
    // once, after the call, which copies what it needs; the answer comes to our queue.
    let event = unsafe {
        let asked = native::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let operation = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = native::rd_kafka_AdminOptions_new(client, operation);
        native::rd_kafka_AdminOptions_set_request_timeout(options, millis(limit), std::ptr::null_mut(), 0);
        native::rd_kafka_DescribeTopics(client, asked, options, queue.as_ptr());
        native::rd_kafka_AdminOptions_destroy(options);
        native::rd_kafka_TopicCollection_destroy(asked);
        NonNull::new(native::rd_kafka_queue_poll(queue.as_ptr(), millis(limit)))
    };
    let Some(event) = event else { return BTreeMap::new() };
    // SAFETY: the event is ours, read while it lives and destroyed once.
    unsafe {
        let ids = read(event);
        native::rd_kafka_event_destroy(event.as_ptr());
        ids
    }
}

/// # Safety
/// `event` must be a live event.
unsafe fn read(event: NonNull<native::rd_kafka_event_t>) -> BTreeMap<String, String> {
    let mut ids = BTreeMap::new();
    // SAFETY: the result, its descriptions and their texts belong to the event, which is live; null results (another
    // kind of event) and descriptions with an error are left out.
    unsafe {
        let result = native::rd_kafka_event_DescribeTopics_result(event.as_ptr());
        if result.is_null() {
            return ids;
        }
        let mut count = 0;
        let descriptions = native::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        for at in 0..count {
            let description = *descriptions.add(at);
            let error = native::rd_kafka_TopicDescription_error(description);
            let id = native::rd_kafka_TopicDescription_topic_id(description);
            let is_sound =
                native::rd_kafka_error_code(error) == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
            if is_sound && !id.is_null() {
                let name = CStr::from_ptr(native::rd_kafka_TopicDescription_name(description));
                let text = CStr::from_ptr(native::rd_kafka_Uuid_base64str(id));
                ids.insert(name.to_string_lossy().into_owned(), text.to_string_lossy().into_owned());
            }
        }
    }
    ids
}
