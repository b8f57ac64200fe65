//! Consumers, transactions and rebalance life; the only crate that knows Kafka's client, and the only one with unsafe.
