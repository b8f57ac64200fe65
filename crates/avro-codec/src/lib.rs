//! Bytes to model and back, compiled per writer schema and bounded; the only crate that knows Avro.
