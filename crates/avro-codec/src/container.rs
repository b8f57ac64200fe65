//! Avro object container files, for imports: rows as JSON. A file is read by a person's command, not on the hot path,
//! so apache-avro does it.

use apache_avro::types::Value;
use std::io::Read;

/// Shows every record of a container file as a JSON object with its own field names, unions unwrapped.
///
/// # Errors
/// The library's words, where the file is no container or is damaged.
pub fn read_object_container<R: Read>(input: R, show: &mut dyn FnMut(serde_json::Value)) -> Result<(), String> {
    let reader = apache_avro::Reader::new(input).map_err(|error| error.to_string())?;
    for value in reader {
        let value: Value = value.map_err(|error| error.to_string())?;
        show(serde_json::Value::try_from(value).map_err(|error| error.to_string())?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecordName;
    use model::event::Impression;

    #[test]
    fn rows_of_a_container_are_json_objects() {
        let row =
            Impression { event_id: "e".into(), user_key: Some("u".into()), cost_micros: 7, ..Impression::default() };
        let mut writer = apache_avro::Writer::new(RecordName::Impression.schema(), Vec::new()).unwrap();
        writer.append_ser(&row).unwrap();
        let bytes = writer.into_inner().unwrap();
        let mut rows = Vec::new();
        read_object_container(bytes.as_slice(), &mut |row| rows.push(row)).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (&rows[0]["event_id"], &rows[0]["user_key"], &rows[0]["cost_micros"]),
            (&"e".into(), &"u".into(), &7.into())
        );
        assert!(rows[0]["geo"] == "" && rows[0]["placement"].is_null());
        assert!(read_object_container(&b"nonsense"[..], &mut |_| ()).is_err());
    }
}
