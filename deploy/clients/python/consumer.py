"""Applies commands of ads.adjustments to a platform and answers on ads.feedback. Settings: see ../README.md."""
import io, json, os, struct, time, urllib.request
from confluent_kafka import Consumer, Producer
from fastavro import parse_schema, schemaless_reader
from platform_file import FilePlatform
from subscriber import Subscriber

BROKERS, REGISTRY = os.environ.get("BROKERS", "127.0.0.1:9092"), os.environ.get("REGISTRY")
STATE = os.environ.get("STATE", ".")
SCHEMAS = os.environ.get("SCHEMAS", os.path.join(os.path.dirname(__file__), "../../../schemas"))
READER = parse_schema(json.load(open(os.path.join(SCHEMAS, "adjustment.avsc"))))
FIXED_ID, writers = 16, {}

def writer_of(schema_id):
    """The schema a record was written with: from the registry, or ours under its fixed id."""
    if schema_id not in writers:
        if REGISTRY:
            answer = json.load(urllib.request.urlopen(f"{REGISTRY}/schemas/ids/{schema_id}", timeout=10))
            writers[schema_id] = parse_schema(json.loads(answer["schema"]))
        elif schema_id == FIXED_ID:
            writers[schema_id] = READER
        else:
            raise ValueError(f"schema id {schema_id} is not ours, and no REGISTRY is set")
    return writers[schema_id]

def decode(payload):
    magic, schema_id = struct.unpack(">bI", payload[:5])
    assert magic == 0, "no Confluent frame"
    record = schemaless_reader(io.BytesIO(payload[5:]), writer_of(schema_id), READER)
    # Instants as epoch milliseconds, as they are written.
    return json.loads(json.dumps(record, default=lambda instant: round(instant.timestamp() * 1000)))

def taken(error, _message):
    if error:
        raise SystemExit(f"an answer was not taken, it will be given again: {error}")

subscriber = Subscriber(FilePlatform(os.path.join(STATE, "platform.json")), os.path.join(STATE, "memory.json"))
consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": os.environ.get("GROUP", "ad-buyer"), "isolation.level": "read_committed",
                     "enable.auto.commit": False, "auto.offset.reset": "earliest"})
producer = Producer({"bootstrap.servers": BROKERS, "enable.idempotence": True, "partitioner": "murmur2_random"})
consumer.subscribe([os.environ.get("ADJUSTMENTS", "ads.adjustments")])
while True:
    message, now = consumer.poll(1.0), int(time.time() * 1000)
    if message is not None and message.error():
        raise SystemExit(message.error())
    for ack in subscriber.tick(now) if message is None else subscriber.handle(decode(message.value()), now):
        producer.produce(os.environ.get("FEEDBACK", "ads.feedback"), json.dumps(ack), key=ack["campaign_id"], on_delivery=taken)
        print(ack["campaign_id"], ack["sequence"], ack["result"], flush=True)
    if producer.flush(30):
        raise SystemExit("the answers were not taken in time, they will be given again")
    if message is not None:  # only now: after a crash the command comes again, and is known
        consumer.commit(message, asynchronous=False)
