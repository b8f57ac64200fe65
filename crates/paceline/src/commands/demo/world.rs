//! The demo's world around the service: the market, its clock's governor, the ad buyer and the wires between.

use super::told::{Told, table};
use crate::commands::connect;
use crate::commands::wire::encode_event;
use crate::failure::{Failure, Outcome};
use crate::service;
use crate::service::context::Context;
use avro_codec::Codec;
use kafka_io::{Life, Membership, Sender, SourceConsumer};
use market::{Emitted, Market, Record, Scenario};
use model::fact::{Fact, PolicyVersion};
use model::time::Millis;
use std::time::{Duration, Instant};

/// A turn of the market; at speed 300 that is 6 s of market time.
const TURN: Duration = Duration::from_millis(20);
/// The terminal shows the campaigns this often.
const TABLE_EVERY: Duration = Duration::from_secs(10);
const FLUSH_LIMIT: Duration = Duration::from_secs(10);

/// Slows the clock down while the service is late: at 300 times the machine's clock a hitch of half a second would be
/// minutes of a market that nobody watches, which says nothing of the product.
struct Governor {
    speed: u32,
    cuts: u64,
    /// Up to here the events were in cuts, as of the last one.
    watermark_ms: Option<Millis>,
}

impl Governor {
    fn new(speed: u32) -> Self {
        Self { speed, cuts: 0, watermark_ms: None }
    }

    fn steer(&mut self, context: &Context) {
        let (metrics, now_ms) = (&context.metrics, context.clock.now_ms());
        let cuts = metrics.epochs.get();
        if std::mem::replace(&mut self.cuts, cuts) != cuts {
            self.watermark_ms = Some(now_ms - (metrics.watermark_delay.get() * 1e3) as Millis);
        }
        let late_after_ms = Millis::from(self.speed) * LATE_AFTER.as_millis() as Millis;
        let is_late = self.watermark_ms.is_some_and(|watermark_ms| now_ms - watermark_ms > late_after_ms);
        context.clock.set_speed(if is_late { (self.speed / SLOWER).max(1) } else { self.speed });
    }
}

/// A healthy cut is younger, on the machine's clock: the wait for silent siblings, a cut and its commit.
const LATE_AFTER: Duration = Duration::from_millis(500);
/// By how much the clock is slowed down: it may not stand still, since what is silent is known by the time that passes.
const SLOWER: u32 = 20;

/// The market, its buyer's subscription and the wires between.
pub struct World {
    pub market: Market,
    pub scenario: Scenario,
    pub seed: u64,
    codec: Codec,
    sender: Sender,
    buyer: SourceConsumer,
    payload: Vec<u8>,
    pub start_ms: Millis,
    pub flight_ms: Millis,
    /// Up to here the market has been played.
    pub until_ms: Millis,
    pub told: Told,
}

impl World {
    pub fn open(context: &Context, seed: u64, policy: String, start_ms: Millis, flight_ms: Millis) -> Outcome<Self> {
        let scenario = Scenario::demo(seed, start_ms, flight_ms);
        let topics = &context.settings.topics;
        let connection = connect(&context.settings, "demo");
        let membership = Membership { group: "demo-ad-buyer".into(), instance: None };
        let buyer = SourceConsumer::join(&connection, &membership, &[&topics.adjustments, &topics.desired_state])?;
        let mut world = Self {
            market: Market::new(scenario.clone(), seed),
            scenario,
            seed,
            codec: Codec::fixed(),
            sender: Sender::start(&connection)?,
            buyer,
            payload: Vec::new(),
            start_ms,
            flight_ms,
            until_ms: start_ms,
            told: Told::default(),
        };
        let now_ms = context.clock.now_ms();
        let policy = PolicyVersion {
            name: service::POLICY_NAME.into(),
            version: 1,
            body: policy,
            author: "demo".into(),
            applied_at: now_ms,
            ..PolicyVersion::default()
        };
        world.fact(&topics.policy, &Fact::PolicyVersion(Box::new(policy)), now_ms)?;
        for spec in world.scenario.specs() {
            world.fact(&topics.campaigns, &Fact::CampaignSpec(Box::new(spec)), now_ms)?;
        }
        world.sender.flush(FLUSH_LIMIT)?;
        Ok(world)
    }

    pub fn play(&mut self, context: &Context, end_ms: Millis, speed: u32) -> Outcome {
        let mut table_at = Instant::now();
        let mut governor = Governor::new(speed);
        while !context.stop.is_asked() {
            let turn = Instant::now();
            governor.steer(context);
            let now_ms = context.clock.now_ms().min(end_ms);
            self.obey(context, now_ms)?;
            self.emit(context, now_ms)?;
            self.report_back(context, now_ms)?;
            self.told.tell(context);
            if table_at.elapsed() >= TABLE_EVERY {
                table_at = Instant::now();
                table(context, now_ms);
            }
            self.until_ms = now_ms;
            if now_ms >= end_ms {
                break;
            }
            std::thread::sleep(TURN.saturating_sub(turn.elapsed()));
        }
        Ok(())
    }

    /// Reads commands and leases from the topics, as any subscriber would.
    fn obey(&mut self, context: &Context, now_ms: Millis) -> Outcome {
        while let Some(life) = self.buyer.poll_life() {
            match life {
                Life::Assigned(places) => self.buyer.begin(places.into_iter().map(|place| (place, 0)).collect())?,
                Life::Revoked(_) | Life::Lost(_) => self.buyer.release()?,
                Life::Failed(failure) => return Err(failure.error.into()),
            }
        }
        let batch = self.buyer.next_batch(1_000, Duration::ZERO);
        for record in batch.iter() {
            let payload = record.payload.unwrap_or_default();
            if record.source == 0 {
                if let Ok(command) = context.codec.adjustment(payload) {
                    self.market.buyer_mut().receive(&command, now_ms);
                }
            } else if let Ok(desired) = context.codec.desired_state(payload) {
                self.market.buyer_mut().receive_desired(&desired, now_ms);
            }
        }
        Ok(())
    }

    fn emit(&mut self, context: &Context, now_ms: Millis) -> Outcome {
        let Self { market, codec, sender, payload, .. } = self;
        let topics = &context.settings.topics;
        let mut failed = Ok(());
        market.advance(now_ms, &mut |emitted: Emitted<'_>| {
            if failed.is_ok() {
                failed = send(codec, sender, topics.event(emitted.record.kind()), payload, &emitted.record, now_ms);
            }
        });
        failed
    }

    fn report_back(&mut self, context: &Context, now_ms: Millis) -> Outcome {
        for fact in self.market.take_feedback(now_ms) {
            self.fact(&context.settings.topics.feedback, &fact, now_ms)?;
        }
        Ok(())
    }

    fn fact(&mut self, topic: &str, fact: &Fact, at_ms: Millis) -> Outcome {
        let payload =
            self.codec.encode_fact(fact).map_err(|error| Failure::failed(format!("encoding a fact: {error}"), ""))?;
        let key = fact.account_id().unwrap_or("global").to_owned();
        Ok(self.sender.send(topic, Some(0), Some(key.as_bytes()), Some(&payload), Some(at_ms))?)
    }
}

fn send(
    codec: &Codec,
    sender: &mut Sender,
    topic: &str,
    payload: &mut Vec<u8>,
    record: &Record<'_>,
    at_ms: Millis,
) -> Outcome {
    encode_event(codec, record, payload)?;
    Ok(sender.send(topic, None, Some(record.key().as_bytes()), Some(payload), Some(at_ms))?)
}
