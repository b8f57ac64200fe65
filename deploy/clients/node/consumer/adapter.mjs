// The same subscriber under `paceline conformance`: JSON lines instead of Kafka and of an ad platform.
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Subscriber } from 'paceline-subscriber';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const hear = async () => { const { value, done } = await lines.next(); return done ? null : JSON.parse(value); };
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

const kit = { // the platform is played by the kit
  async read(target, what) { say({ type: 'read', target, what }); return (await hear()).value; },
  async write(target, what, value) { say({ type: 'write', target, what, value }); await hear(); },
};

const subscriber = new Subscriber(kit, join(process.env.PACELINE_CONFORMANCE_STATE, 'memory.json'));
for (let message; (message = await hear());) {
  const { command, now } = message;
  for (const ack of command ? await subscriber.handle(command, now) : await subscriber.tick(now)) say({ ...ack, type: 'ack' });
  say({ type: 'done' });
}
