"""Applies commands of ads.adjustments to a platform and answers on ads.feedback. Settings: see ../../README.md."""
import json, os, time
from confluent_kafka import Consumer, Producer
from paceline_subscriber import FilePlatform, Frames, Subscriber

BROKERS, STATE = os.environ.get("BROKERS", "127.0.0.1:9092"), os.environ.get("STATE", ".")
frames = Frames(os.environ.get("REGISTRY"), os.environ.get("SCHEMAS", "schemas"))
platform = FilePlatform(os.path.join(STATE, "platform.json"))  # yours: read(target, what), write(target, what, value)
# Keeps the rule: state, sequence, expiry, requires, expected previous value; its memory survives a crash.
subscriber = Subscriber(platform, os.path.join(STATE, "memory.json"))
consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": os.environ.get("GROUP", "ad-buyer"), "isolation.level": "read_committed",
                     "enable.auto.commit": False, "auto.offset.reset": "earliest"})
producer = Producer({"bootstrap.servers": BROKERS, "enable.idempotence": True, "partitioner": "murmur2_random"})

def taken(error, _message):
    if error:
        raise SystemExit(f"an answer was not taken, it will be given again: {error}")

consumer.subscribe([os.environ.get("ADJUSTMENTS", "ads.adjustments")])
while True:
    message, now = consumer.poll(1.0), int(time.time() * 1000)
    if message is not None and message.error():
        raise SystemExit(message.error())
    for ack in subscriber.tick(now) if message is None else subscriber.handle(frames.decode(message.value()), now):
        producer.produce(os.environ.get("FEEDBACK", "ads.feedback"), json.dumps(ack), key=ack["campaign_id"], on_delivery=taken)
        print(ack["campaign_id"], ack["sequence"], ack["result"], flush=True)
    if producer.flush(30):
        raise SystemExit("the answers were not taken in time, they will be given again")
    if message is not None:  # only now: after a crash the command comes again, and is known
        consumer.commit(message, asynchronous=False)
