"""The same subscriber under `paceline conformance`: JSON lines instead of Kafka and of an ad platform."""
import json, os, sys
from paceline_subscriber import Subscriber

def say(message):
    print(json.dumps(message), flush=True)

class Kit:  # the platform is played by the kit
    def read(self, target, what):
        say({"type": "read", "target": target, "what": what})
        return json.loads(sys.stdin.readline())["value"]

    def write(self, target, what, value):
        say({"type": "write", "target": target, "what": what, "value": value})
        sys.stdin.readline()

subscriber = Subscriber(Kit(), os.path.join(os.environ["PACELINE_CONFORMANCE_STATE"], "memory.json"))
while line := sys.stdin.readline():
    message = json.loads(line)
    command = message.get("command")
    answers = subscriber.handle(command, message["now"]) if command else subscriber.tick(message["now"])
    for ack in answers:
        say({**ack, "type": "ack"})
    say({"type": "done"})
