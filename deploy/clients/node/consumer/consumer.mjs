// Applies commands of ads.adjustments to a platform and answers on ads.feedback. Settings: see ../../README.md.
import { join } from 'node:path';
import kafkajs from 'kafkajs';
import lz4 from 'lz4js';
import { FilePlatform, Frames, Subscriber } from 'paceline-subscriber';

const { CompressionCodecs, CompressionTypes, Kafka, Partitioners, logLevel } = kafkajs;
CompressionCodecs[CompressionTypes.LZ4] = () => ({ compress: async () => { throw new Error('not wanted'); }, decompress: async (b) => Buffer.from(lz4.decompress(b)) });
const { BROKERS = '127.0.0.1:9092', REGISTRY, SCHEMAS = 'schemas', STATE = '.' } = process.env;
const { ADJUSTMENTS = 'ads.adjustments', FEEDBACK = 'ads.feedback', GROUP = 'ad-buyer' } = process.env;
const frames = new Frames(REGISTRY, SCHEMAS);
const platform = new FilePlatform(join(STATE, 'platform.json')); // yours: read(target, what), write(target, what, value)
// Keeps the rule: state, sequence, expiry, requires, expected previous value; its memory survives a crash.
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
  await next(async () => subscriber.handle(await frames.decode(message.value), Date.now()));
  await consumer.commitOffsets([{ topic, partition, offset: String(BigInt(message.offset) + 1n) }]); // after a crash it comes again
} });
