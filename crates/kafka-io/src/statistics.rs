//! A few figures out of the client's statistics, read with tolerance: the JSON may be cut or hold bad numbers.

use serde_json::Value;

/// Figures of one client, as of its last report (every `statistics.interval.ms`; none by default).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientStatistics {
    /// Messages waiting in the client.
    pub queued_messages: u64,
    /// Bytes waiting in the client.
    pub queued_bytes: u64,
    /// Bytes sent to all brokers.
    pub sent_bytes: u64,
    /// Bytes received from all brokers.
    pub received_bytes: u64,
    /// Events waiting to be served by a poll.
    pub waiting_events: u64,
    /// Rebalances since the start.
    pub rebalances: u64,
    /// Largest 99th percentile of a broker's round trip, microseconds.
    pub round_trip_p99_micros: u64,
    /// Sum of the partitions' distances to their ends, where known.
    pub lag_records: u64,
}

impl ClientStatistics {
    /// `None` where the text is no JSON object; a figure that is missing, negative or no number is 0.
    pub fn read(json: &[u8]) -> Option<ClientStatistics> {
        let root: Value = serde_json::from_slice(json).ok()?;
        let root = root.as_object()?;
        let figure = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or(0);
        let each = |value: Option<&Value>| -> Vec<Value> {
            value.and_then(Value::as_object).map(|map| map.values().cloned().collect()).unwrap_or_default()
        };
        let round_trips = each(root.get("brokers"));
        let partitions = each(root.get("topics")).into_iter().flat_map(|topic| each(topic.get("partitions")));
        Some(ClientStatistics {
            queued_messages: figure(root.get("msg_cnt")),
            queued_bytes: figure(root.get("msg_size")),
            sent_bytes: figure(root.get("tx_bytes")),
            received_bytes: figure(root.get("rx_bytes")),
            waiting_events: figure(root.get("replyq")),
            rebalances: figure(root.get("cgrp").and_then(|group| group.get("rebalance_cnt"))),
            round_trip_p99_micros: round_trips
                .iter()
                .map(|broker| figure(broker.get("rtt").and_then(|rtt| rtt.get("p99"))))
                .max()
                .unwrap_or(0),
            lag_records: partitions.map(|partition| figure(partition.get("consumer_lag"))).fold(0, u64::saturating_add),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REPORT: &str = r#"{"msg_cnt":3,"msg_size":400,"tx_bytes":10,"rx_bytes":20,"replyq":1,
        "brokers":{"a":{"rtt":{"p99":7}},"b":{"rtt":{"p99":900}},"c":{}},
        "topics":{"t":{"partitions":{"0":{"consumer_lag":5},"-1":{"consumer_lag":-1},"1":{"consumer_lag":4}}}},
        "cgrp":{"rebalance_cnt":2}}"#;

    #[test]
    fn figures_are_summed_over_brokers_and_partitions() {
        let read = ClientStatistics::read(REPORT.as_bytes()).unwrap();
        assert_eq!(read.lag_records, 9);
        assert_eq!(read.round_trip_p99_micros, 900);
        assert_eq!((read.queued_messages, read.queued_bytes, read.rebalances), (3, 400, 2));
    }

    proptest! {
        #[test]
        fn a_report_cut_anywhere_or_spoilt_is_no_panic(at in 0..REPORT.len(), byte: u8) {
            prop_assert!(ClientStatistics::read(&REPORT.as_bytes()[..at]).is_none());
            let mut spoilt = REPORT.as_bytes().to_vec();
            spoilt[at] = byte;
            let _ = ClientStatistics::read(&spoilt);
        }
    }
}
