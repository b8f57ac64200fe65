// What taking a command back would do, in words: a value, a state, or a whole table of factors by hour.

import { isKnown, moneyText, percent } from "./format.js";
import { Words } from "./words.js";

/** One sentence without its full stop. */
export function back({ kind, from_micros: from, to_micros: to, from_table_ppm: now, to_table_ppm: then, currency, ...of }) {
  if (of.dimension) {
    const { dimension, from_ppm, to_ppm } = of;
    const ad = `${dimension.name} ${dimension.value}`;
    return `The factor of ${ad} goes from ${percent(from_ppm, 0)} back to ${percent(to_ppm, 0)}`;
  }
  if (then?.length) return `All factors by hour go back to those before. Now: ${hourly(now)}. Then: ${hourly(then)}`;
  if (!isKnown(to)) return kind === "pause" ? "The campaign is paused again" : "The campaign runs again";
  return `${Words(kind)} goes from ${moneyText(from, currency)} back to ${moneyText(to, currency)}`;
}

/** "00–17 h 80 %, 17–20 h 120 %": hours of equal factors together; a week's hours begin on Monday. */
export function hourly(table) {
  if (table.every(factor => factor === table[0])) return `all hours ${percent(table[0], 0)}`;
  const spans = [];
  table.forEach((factor, hour) => {
    const last = spans.at(-1);
    if (last?.factor === factor && hour % 24) last.end = hour + 1;
    else spans.push({ start: hour, end: hour + 1, factor });
  });
  const two = hour => String(hour).padStart(2, "0");
  const day = hour => (table.length > 24 ? `${["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][Math.floor(hour / 24)]} ` : "");
  return spans
    .map(
      ({ start, end, factor }) =>
        `${day(start)}${two(start % 24)}\u2013${two(((end - 1) % 24) + 1)}\u00a0h\u00a0${percent(factor, 0)}`,
    )
    .join(", ");
}
