//! Lists of partitions between the client's type and ours.

use crate::record::TopicPartition;
use rdkafka::{Offset, TopicPartitionList};

/// Ours from the client's.
pub(crate) fn named(list: &TopicPartitionList) -> Vec<TopicPartition> {
    let mut named: Vec<TopicPartition> =
        list.elements().iter().map(|element| TopicPartition::new(element.topic(), element.partition())).collect();
    named.sort();
    named
}

/// The client's from ours, without offsets.
pub(crate) fn listed<'a>(places: impl IntoIterator<Item = &'a TopicPartition>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for place in places {
        list.add_partition(&place.topic, place.partition);
    }
    list
}

/// The client's from ours, with offsets.
pub(crate) fn positioned<'a>(places: impl IntoIterator<Item = (&'a TopicPartition, i64)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (place, offset) in places {
        list.add_partition_offset(&place.topic, place.partition, Offset::Offset(offset))
            .expect("topic names have no NUL inside and any offset from zero is representable");
    }
    list
}
