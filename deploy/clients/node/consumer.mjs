// Applies commands of ads.adjustments to a platform and answers on ads.feedback. Settings: see ../README.md.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import avro from 'avsc';
import kafkajs from 'kafkajs';
import lz4 from 'lz4js';
import { Subscriber } from './subscriber.mjs';

const { CompressionCodecs, CompressionTypes, Kafka, Partitioners, logLevel } = kafkajs;
CompressionCodecs[CompressionTypes.LZ4] = () => ({ compress: async () => { throw new Error('not wanted'); }, decompress: async (b) => Buffer.from(lz4.decompress(b)) });
const { BROKERS = '127.0.0.1:9092', REGISTRY, STATE = '.', GROUP = 'ad-buyer' } = process.env;
const { ADJUSTMENTS = 'ads.adjustments', FEEDBACK = 'ads.feedback', SCHEMAS = join(import.meta.dirname, '../../../schemas') } = process.env;
const reader = avro.Type.forSchema(JSON.parse(readFileSync(join(SCHEMAS, 'adjustment.avsc'), 'utf8')));
const FIXED_ID = 16, resolvers = new Map();

/** How to read what was written under this id: with the registry's schema, or with ours under its fixed id. */
async function resolverOf(id) {
  if (!REGISTRY && id !== FIXED_ID) throw new Error(`schema id ${id} is not ours, and no REGISTRY is set`);
  if (REGISTRY && !resolvers.has(id)) {
    const answer = await fetch(`${REGISTRY}/schemas/ids/${id}`, { signal: AbortSignal.timeout(10_000) });
    if (!answer.ok) throw new Error(`the registry says ${answer.status} to schema id ${id}`);
    resolvers.set(id, reader.createResolver(avro.Type.forSchema(JSON.parse((await answer.json()).schema))));
  }
  return resolvers.get(id);
}

async function decode(payload) {
  if (payload[0] !== 0) throw new Error('no Confluent frame');
  return reader.fromBuffer(payload.subarray(5), await resolverOf(payload.readUInt32BE(1)));
}

const file = join(STATE, 'platform.json'); // stands for your ad platform's API: values in a JSON file
const values = () => JSON.parse(readFileSync(file, 'utf8'));
const platform = {
  async read(target, what) { return values()[`${target.id}/${what}`] ?? null; },
  async write(target, what, value) {
    writeFileSync(`${file}.new`, JSON.stringify({ ...values(), [`${target.id}/${what}`]: value }));
    renameSync(`${file}.new`, file);
  },
};

const subscriber = new Subscriber(platform, join(STATE, 'memory.json'));
const kafka = new Kafka({ clientId: GROUP, brokers: BROKERS.split(','), logLevel: logLevel.ERROR });
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
const consumer = kafka.consumer({ groupId: GROUP, readUncommitted: false });
let turn = Promise.resolve(); // commands and ticks, one after the other
const next = (work) => (turn = turn.then(async () => {
  const messages = (await work()).map((ack) => ({ key: ack.campaign_id, value: JSON.stringify(ack) }));
  if (messages.length) await producer.send({ topic: FEEDBACK, messages, acks: -1 });
  for (const { value } of messages) { const a = JSON.parse(value); console.log(a.campaign_id, a.sequence, a.result); }
}));
await producer.connect();
await consumer.subscribe({ topic: ADJUSTMENTS, fromBeginning: true });
setInterval(() => next(() => subscriber.tick(Date.now())), 1000);
await consumer.run({ autoCommit: false, eachMessage: async ({ topic, partition, message }) => {
  await next(async () => subscriber.handle(await decode(message.value), Date.now()));
  await consumer.commitOffsets([{ topic, partition, offset: String(BigInt(message.offset) + 1n) }]); // after a crash it comes again
} });
