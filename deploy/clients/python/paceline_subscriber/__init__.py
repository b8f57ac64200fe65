"""What a subscriber of ads.adjustments needs beside a Kafka client: the rule, the frames, a stand-in for a platform."""
from .frames import Frames
from .platform_file import FilePlatform
from .rule import Subscriber

__all__ = ["FilePlatform", "Frames", "Subscriber"]
