// Confluent frames: 0, the schema's id in four bytes, the record.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import avro from 'avsc';

const FIXED_ID = 16; // of Adjustment in schemas/index.toml

/** Reads records of ads.adjustments. `registry` is the base of a Confluent API, or none: then the fixed id holds. */
export class Frames {
  constructor(registry, schemas) {
    this.registry = registry;
    this.reader = avro.Type.forSchema(JSON.parse(readFileSync(join(schemas, 'adjustment.avsc'), 'utf8')));
    this.resolvers = new Map();
  }

  async decode(payload) {
    if (payload[0] !== 0) throw new Error('no Confluent frame');
    return this.reader.fromBuffer(payload.subarray(5), await this.resolverOf(payload.readUInt32BE(1)));
  }

  /** How to read what was written under this id: with the registry's schema, or with ours under its fixed id. */
  async resolverOf(id) {
    if (!this.registry && id !== FIXED_ID) throw new Error(`schema id ${id} is not ours, and no registry is set`);
    if (this.registry && !this.resolvers.has(id)) {
      const answer = await fetch(`${this.registry}/schemas/ids/${id}`, { signal: AbortSignal.timeout(10_000) });
      if (!answer.ok) throw new Error(`the registry says ${answer.status} to schema id ${id}`);
      this.resolvers.set(id, this.reader.createResolver(avro.Type.forSchema(JSON.parse((await answer.json()).schema))));
    }
    return this.resolvers.get(id);
  }
}
