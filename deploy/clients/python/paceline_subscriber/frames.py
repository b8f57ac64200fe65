"""Confluent frames: 0, the schema's id in four bytes, the record."""
import io, json, os, struct, urllib.request
from fastavro import parse_schema, schemaless_reader

FIXED_ID = 16  # of Adjustment in schemas/index.toml

class Frames:
    """Reads records of ads.adjustments. `registry` is the base of a Confluent API, or None: then the fixed id holds."""

    def __init__(self, registry, schemas):
        self.registry, self.writers = registry, {}
        with open(os.path.join(schemas, "adjustment.avsc")) as file:
            self.ours = parse_schema(json.load(file))

    def decode(self, payload):
        magic, schema_id = struct.unpack(">bI", payload[:5])
        if magic != 0:
            raise ValueError("no Confluent frame")
        record = schemaless_reader(io.BytesIO(payload[5:]), self.writer_of(schema_id), self.ours)
        # Instants as epoch milliseconds, as they are written.
        return json.loads(json.dumps(record, default=lambda instant: round(instant.timestamp() * 1000)))

    def writer_of(self, schema_id):
        """The schema a record was written with: from the registry, or ours under its fixed id."""
        if not self.registry and schema_id != FIXED_ID:
            raise ValueError(f"schema id {schema_id} is not ours, and no registry is set")
        if not self.registry:
            return self.ours
        if schema_id not in self.writers:
            with urllib.request.urlopen(f"{self.registry}/schemas/ids/{schema_id}", timeout=10) as answer:
                self.writers[schema_id] = parse_schema(json.loads(json.load(answer)["schema"]))
        return self.writers[schema_id]
