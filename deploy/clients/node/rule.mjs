// The subscriber's rule, without Kafka. `platform` has read(target, what) and write(target, what, value), both async.
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';

const WHAT = { set_bid: 'bid', set_daily_budget: 'daily_budget', pause: 'status', resume: 'status' };
const STATUS = { pause: 'paused', resume: 'active' };
const KEPT_MS = 7 * 86_400_000; // answers are remembered so long after their command expired

export class Subscriber {
  constructor(platform, file) {
    Object.assign(this, { platform, file });
    this.m = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8'))
      : { last: {}, highest: {}, answers: {}, doing: null, waiting: [], leases: {} };
  }

  /** Deals with one command; returns the answers for ads.feedback, also to commands that waited for it. */
  async handle(command, now) {
    return [await this.decide(command, now), ...await this.tick(now)];
  }

  /** Lets time pass: ends leases, tries what waits. */
  async tick(now) {
    for (const [key, lease] of Object.entries(this.m.leases).filter(([, lease]) => lease.when <= now)) {
      if (await this.platform.read(lease.target, lease.what) === lease.ours) { // else a person changed it
        await this.platform.write(lease.target, lease.what, lease.fallback);
      }
      delete this.m.leases[key];
      this.save(now);
    }
    const answers = [];
    for (const command of [...this.m.waiting]) answers.push(await this.decide(command, now));
    return answers.filter((answer) => answer.result !== 'deferred');
  }

  async decide(c, now) {
    const { m } = this, { target } = c, what = Object.hasOwn(WHAT, c.kind) ? WHAT[c.kind] : null;
    if (m.answers[c.command_id]) return m.answers[c.command_id].ack; // a copy gets the same answer
    if (c.state !== 'issued') return this.answer(c, now, 'rejected', 'not_issued');
    if (!what || c.dimension || target.level !== 'campaign') return this.answer(c, now, 'rejected', 'unknown_kind');
    const key = [c.account_id, c.campaign_id, target.id, what].join('/');
    if (c.sequence <= (m.last[key] ?? 0)) return this.answer(c, now, 'superseded');
    const wanted = STATUS[c.kind] ?? c.value_micros, found = await this.platform.read(target, what);
    if (m.doing !== c.command_id || found !== wanted) { // else we crashed after the write: it is applied
      if (now >= c.expires_at) return this.answer(c, now, 'expired');
      if (now < c.effective_from || !c.requires.every((id) => m.answers[id]?.ack.result === 'applied')) {
        if (!m.waiting.some((other) => other.command_id === c.command_id)) m.waiting.push(c);
        this.save(now);
        return this.answer(c, now, 'deferred', 'requires');
      }
      const expected = c.expected_previous;
      if (![null, undefined, found].includes(expected.value_micros) || expected.sequence > (m.highest[c.campaign_id] ?? 0)) {
        return this.answer(c, now, 'conflict', null, found);
      }
      m.doing = c.command_id;
      this.save(now); // before the write, so that a crash between the two is understood
      await this.platform.write(target, what, wanted);
    }
    m.last[key] = c.sequence;
    m.highest[c.campaign_id] = Math.max(c.sequence, m.highest[c.campaign_id] ?? 0);
    delete m.leases[key];
    if (c.fallback?.value_micros != null) {
      m.leases[key] = { target, what, ours: wanted, fallback: c.fallback.value_micros, when: c.fallback.when };
    }
    return this.answer(c, now, 'applied');
  }

  answer(c, now, result, reason = null, found = null) {
    const ack = {
      type: 'Ack', command_id: c.command_id, account_id: c.account_id, campaign_id: c.campaign_id, sequence: c.sequence,
      result, reason, found_value_micros: typeof found === 'number' ? found : null, found_at: now,
      applied_at: result === 'applied' ? now : null, actor: result === 'conflict' ? 'person' : 'paceline', retry_after: null,
    };
    if (result === 'deferred') return ack;
    this.m.answers[c.command_id] = { ack, until: c.expires_at + KEPT_MS };
    this.m.waiting = this.m.waiting.filter((other) => other.command_id !== c.command_id);
    this.save(now);
    return ack;
  }

  save(now) {
    this.m.answers = Object.fromEntries(Object.entries(this.m.answers).filter(([, { until }]) => until > now));
    const file = openSync(`${this.file}.new`, 'w');
    writeSync(file, JSON.stringify(this.m));
    fsyncSync(file);
    closeSync(file);
    renameSync(`${this.file}.new`, this.file);
  }
}
