// Numbers, money and instants as text. Money always names its currency, an instant its time zone, and a number that is
// not known is "n/a" with the reason, never zero and never NaN.

import { h } from "./dom.js";
import { words } from "./words.js";

const LOCALE = "en";
const DASH = "\u2013";
const formats = new Map();

/** Whole numbers with grouping. */
export const count = number => (isKnown(number) ? format("count", { maximumFractionDigits: 1 }).format(number) : "n/a");

/** A number with its noun, in the singular where it is one. */
export const counted = (number, noun, nouns = `${noun}s`) => `${count(number)} ${number === 1 ? noun : nouns}`;

/** Micros of a currency as a decimal, without the currency's name. */
export function amount(micros, currency) {
  const places = placesOf(currency);
  const small = micros !== 0 && Math.abs(micros) < 1e5;
  const options = { minimumFractionDigits: places, maximumFractionDigits: small ? 6 : places };
  return format(`amount ${places} ${small}`, options).format(micros / 1e6);
}

/** Micros with their currency, as text. */
export function moneyText(micros, currency) {
  if (!isKnown(micros)) return "n/a";
  return `${amount(micros, currency)}${currency ? `\u00a0${currency}` : ""}`;
}

/** Micros with their currency, aligned for a column. */
export function money(micros, currency, reason) {
  if (!isKnown(micros)) return missing(reason);
  return [
    h("span", { class: "figure" }, amount(micros, currency)),
    h("span", { class: "unit" }, `\u00a0${currency ?? ""}`),
  ];
}

/** "n/a" and why. */
export function missing(reason) {
  return h("span", { class: "missing" }, reason ? `n/a: ${words(reason)}` : "n/a");
}

/** Parts per million as percent. */
export function percent(ppm, places = 1) {
  if (!isKnown(ppm)) return "n/a";
  const options = { minimumFractionDigits: places, maximumFractionDigits: places };
  return `${format(`percent ${places}`, options).format(ppm / 1e4)}\u00a0%`;
}

/** A part of one as percent. */
export const share = (part, places = 0) => percent(isKnown(part) ? part * 1e6 : part, places);

/** Three digits that count, for numbers whose size is not known beforehand. */
export const significant = number =>
  isKnown(number) ? format("significant", { maximumSignificantDigits: 3 }).format(number) : "n/a";

/** A measure in its own unit: micros, ppm or count; ROAS and ROI as a factor of money. */
export function measure(value, unit, currency, metric) {
  if (!isKnown(value)) return "n/a";
  if (unit === "micros") return moneyText(value, currency);
  if (unit !== "ppm") return count(value);
  return metric === "roas"
    ? format("factor", { minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(value / 1e6)
    : percent(value, 2);
}

/** From low to high. */
export const range = (low, high) => `${low} ${DASH} ${high}`;

/** A span of time in the words a person would use. */
export function duration(milliseconds) {
  if (!isKnown(milliseconds)) return "n/a";
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 1) return "under 1 s";
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 && hours < 10 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.round(hours / 24)} d`;
}

/** Time of day in a zone; the zone's short name goes with it unless `bare`. */
export function clock(at, zone = "UTC", bare = false, seconds = false) {
  if (!isKnown(at)) return "n/a";
  const options = { hour: "2-digit", minute: "2-digit", second: seconds ? "2-digit" : undefined, hourCycle: "h23" };
  return zoned(at, zone, bare ? options : { ...options, timeZoneName: "short" });
}

/** Day and time of day in a zone. */
export function instant(at, zone = "UTC") {
  if (!isKnown(at)) return "n/a";
  const options = {
    year: "numeric",
    month: "short",
    day: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  };
  return zoned(at, zone, { ...options, timeZoneName: "short" });
}

/** A day, in UTC unless another zone is named. */
export const date = (at, zone = "UTC") =>
  isKnown(at) ? zoned(at, zone, { year: "numeric", month: "short", day: "numeric" }) : "n/a";

/** A day without its year, for the foot of a chart. */
export const dayMonth = (at, zone = "UTC") =>
  isKnown(at) ? zoned(at, zone, { month: "short", day: "numeric" }) : "n/a";

/** An instant for people and machines. */
export const time = (at, zone, show = instant) =>
  isKnown(at)
    ? h("time", { datetime: new Date(at).toISOString(), title: instant(at, zone) }, show(at, zone))
    : missing("not_recorded");

/** The next local midnight of a zone; where clocks change in between it is an hour off. */
export function dayEnd(at, zone) {
  const text = zoned(at, zone, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const [hours, minutes, seconds] = text.split(":").map(Number);
  return at - (at % 1000) + 86_400_000 - ((hours * 60 + minutes) * 60 + seconds) * 1000;
}

/** Whether there is a number at all. */
export const isKnown = value => typeof value === "number" && Number.isFinite(value);

function zoned(at, zone, options) {
  const key = `${zone} ${JSON.stringify(options)}`;
  if (!formats.has(key)) formats.set(key, zoneFormat(zone, options));
  return formats.get(key).format(at);
}

/** A zone that the browser does not know is shown in UTC, and the short name says so. */
function zoneFormat(zone, options) {
  try {
    return new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone || "UTC" });
  } catch {
    return new Intl.DateTimeFormat("en-GB", { ...options, timeZone: "UTC" });
  }
}

function format(key, options) {
  if (!formats.has(key)) formats.set(key, new Intl.NumberFormat(LOCALE, options));
  return formats.get(key);
}

/** Decimal places of a currency: none for the yen, three for the dinar. */
function placesOf(currency) {
  const key = `places ${currency}`;
  if (!formats.has(key)) {
    let places = 2;
    try {
      places = new Intl.NumberFormat(LOCALE, { style: "currency", currency }).resolvedOptions().maximumFractionDigits;
    } catch {
      /* not a currency code that the browser knows: two places */
    }
    formats.set(key, places);
  }
  return formats.get(key);
}
