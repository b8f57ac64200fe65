// What a subscriber of ads.adjustments needs beside a Kafka client: the rule, the frames, a stand-in for a platform.
export { Frames } from './frames.mjs';
export { FilePlatform } from './platform.mjs';
export { Subscriber } from './rule.mjs';
