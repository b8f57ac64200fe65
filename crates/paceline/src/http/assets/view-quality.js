// Whether the figures can be trusted: how far each source is read, what came late, twice or broken.

import * as api from "./api.js";
import { h, replace } from "./dom.js";
import { clock, count, duration, isKnown, missing, percent, time } from "./format.js";
import { known, listen } from "./live.js";
import { empty, reading } from "./states.js";
import { liveTable } from "./table.js";
import { Words, words } from "./words.js";

const REREAD_MS = 3000;
const SAMPLES = 20;

export const title = () => "Data quality";

export function mount(root, route, signal) {
  const health = h("div", { class: "totals" });
  const sources = liveTable({
    caption: "Sources",
    columns: sourceColumns(),
    keyOf: row => `${row.topic}/${row.partition}`,
    rowClass: row => (row.isSlowest ? "is-slowest" : ""),
  });
  const events = liveTable({ caption: "Events", columns: eventColumns(), keyOf: row => row.event_type });
  const letters = liveTable({
    caption: "Dead letters",
    columns: letterColumns(),
    keyOf: row => `${row.topic} ${row.reason}`,
  });
  const samples = liveTable({
    caption: "Newest dead letters",
    columns: sampleColumns(),
    keyOf: row => `${row.topic}/${row.partition}/${row.offset}`,
  });
  const commits = liveTable({
    caption: "Transactions",
    columns: commitColumns(),
    keyOf: row => row.stage,
  });
  const newest = section("The newest dead letters", samples);
  const matching = liveTable({ caption: "Matching", columns: matchingColumns(), keyOf: row => row.what });
  root.append(
    h("h1", { tabindex: "-1" }, "Data quality"),
    h(
      "p",
      { class: "lead" },
      "How far each source is read, and what came late, twice or broken. Counts are since this process started; times are UTC.",
    ),
  );
  const reread = reading(
    root,
    signal,
    async () => {
      const [data, refused] = await Promise.all([
        api.get("/data-quality", signal),
        api.get(`/dead-letters${api.query({ limit: SAMPLES })}`, signal),
      ]);
      return { ...data, refused: refused.dead_letters };
    },
    (data, place) => {
      if (!health.isConnected)
        place.append(
          health,
          section("Sources", sources),
          section("Events", events),
          section("Dead letters", letters, "records that were refused; nothing of them is counted"),
          newest,
          section("Matching of conversions and what was forgotten", matching),
          section("Transactions", commits),
        );
      const marks = data.sources.filter(one => !one.idle && isKnown(one.watermark)).map(one => one.watermark);
      const slowest = marks.length > 1 ? Math.min(...marks) : null;
      replace(health, tiles(data));
      sources.set(
        data.sources.map(one => ({
          ...one,
          isSlowest: slowest !== null && one.watermark === slowest && slowest < Math.max(...marks),
        })),
        empty("No partition is read by this process yet."),
      );
      events.set(data.events, empty("No event has been read yet."));
      letters.set(
        data.dead_letters.filter(one => one.count > 0),
        empty("No record had to be set aside."),
      );
      newest.hidden = !data.refused.length;
      samples.set(data.refused, empty("No record had to be set aside."));
      matching.set(
        (data.stage1 ?? []).filter(one => one.count > 0),
        empty("Nothing has been matched or forgotten yet."),
      );
      commits.set(byStage(data.transactions), empty("No transaction yet."));
    },
  );
  const timer = setInterval(reread, REREAD_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  listen("resync", reread, signal);
}

const section = (name, table, more) =>
  h("section", { class: "few" }, h("h2", {}, name, more ? h("small", {}, more) : null), table.element);

function tiles(data) {
  const read = data.events.reduce((sum, one) => sum + one.consumed, 0);
  const dead = data.dead_letters.reduce((sum, one) => sum + one.count, 0);
  const health = known.overview?.health;
  return [
    tile(
      "Service",
      health ? (health.ok ? "ready" : "not ready") : "n/a",
      health?.ok === false ? health.reasons.join("; ") : "owns its partitions and can commit",
    ),
    tile(
      "Behind the newest event",
      isKnown(data.watermark_delay_seconds) ? duration(data.watermark_delay_seconds * 1000) : "n/a",
      isKnown(data.watermark_delay_seconds)
        ? "all that is older is counted"
        : words(data.watermark_delay_reason ?? "no watermark yet"),
    ),
    tile(
      "Waiting to be read",
      isKnown(data.lag_records) ? count(data.lag_records) : "n/a",
      isKnown(data.lag_records) ? "records" : words(data.lag_reason ?? "not known"),
    ),
    tile(
      "Set aside",
      count(dead),
      read > 0 ? `${share(dead, read + dead)} of what was read` : "nothing was read yet",
    ),
  ];
}

/** A share that is there is never shown as none. */
function share(part, whole) {
  const ppm = (1e6 * part) / whole;
  return part > 0 && ppm < 10 ? "less than 0.001\u00a0%" : percent(ppm, 3);
}

const tile = (name, figure, more) =>
  h(
    "section",
    { class: "total", "aria-label": name },
    h("p", { class: "sub" }, name),
    h("p", { class: "total-figure" }, figure),
    h("p", { class: "sub" }, more),
  );

function sourceColumns() {
  return [
    {
      label: "Source",
      class: "name",
      cell: row => [row.topic, h("span", { class: "sub" }, `partition ${row.partition}`)],
    },
    {
      label: "Read until",
      class: "n",
      cell: row => (isKnown(row.watermark) ? clock(row.watermark, "UTC", false, true) : missing(row.watermark_reason)),
    },
    {
      label: "Waiting",
      class: "n",
      cell: row =>
        isKnown(row.lag_records)
          ? [count(row.lag_records), h("span", { class: "unit" }, " records")]
          : missing(row.lag_reason),
    },
    {
      label: "State",
      cell: row =>
        row.idle ? "Idle: read to its end and quiet" : row.isSlowest ? h("b", {}, "Holds the others back") : "Reading",
    },
  ];
}

function eventColumns() {
  const of = (part, row) =>
    row.consumed > 0 && part > 0 ? h("span", { class: "unit" }, ` ${share(part, row.consumed)}`) : null;
  return [
    { label: "Event", class: "name", cell: row => Words(row.event_type) },
    { label: "Read", class: "n", cell: row => count(row.consumed) },
    { label: "Late", note: "counted all the same", class: "n", cell: row => [count(row.late), of(row.late, row)] },
    { label: "Copies", note: "dropped", class: "n", cell: row => [count(row.duplicate), of(row.duplicate, row)] },
    { label: "Ids forgotten early", note: "a copy of these would count", class: "n", cell: row => count(row.dedupe_evicted) },
  ];
}

const letterColumns = () => [
  { label: "Topic", class: "name", cell: row => row.topic },
  { label: "Reason", cell: row => Words(row.reason) },
  { label: "Records", class: "n", cell: row => count(row.count) },
];

const sampleColumns = () => [
  { label: "When", class: "when", cell: row => time(row.refused_at, "UTC") },
  {
    label: "Record",
    class: "name",
    cell: row => [row.topic, h("span", { class: "sub" }, `partition ${row.partition}, offset ${row.offset}, ${count(row.bytes)} bytes`)],
  },
  { label: "Reason", class: "text", cell: row => [Words(row.reason), h("span", { class: "sub" }, row.detail)] },
  {
    label: "What it says, people hidden",
    class: "text",
    cell: row =>
      h(
        "details",
        {},
        h("summary", { "data-focus": `sample ${row.topic} ${row.partition} ${row.offset}` }, "Show"),
        h("pre", { class: "sample" }, JSON.stringify(row.sample, null, 2)),
      ),
  },
];

/** What each count of stage 1 means. */
const MATCHING = {
  touches_late: "Impressions and clicks behind the clock of the data; counted all the same",
  touches_spilled_out: "Older touches given up to stay within memory",
  values_merged: "Rare values of a dimension counted under \u201call others\u201d",
  clicks_without_values: "Clicks whose device, place or creative is not remembered",
  touches_unnamed: "Touches that no conversion can find: too many campaigns at once",
  users_evicted: "People whose impressions were forgotten to stay within memory",
  clicks_evicted: "Clicks forgotten to stay within memory",
  clicks_of_user_evicted: "Oldest clicks of people with more than 16",
  conversions_credited: "Conversions matched with an ad that the person saw or clicked",
  conversions_unmatched: "Conversions without an ad before them; they keep the campaign they name",
  conversions_waited: "Conversions that waited for their click and were credited with what was known",
  conversions_crowded: "Conversions credited at once, because too many waited",
  misplaced: "Records in a wrong partition: the sender's partitioner differs",
  dedupe_unknown: "Events too old to tell whether they are copies; counted",
};

const matchingColumns = () => [
  { label: "What", class: "text", cell: row => MATCHING[row.what] ?? Words(row.what) },
  { label: "Records", class: "n", cell: row => count(row.count) },
];

const STAGES = { aggregator: "events to journal", controller: "journal to decisions" };

const commitColumns = () => [
  {
    label: "Stage",
    class: "name",
    cell: row => [Words(row.stage), h("span", { class: "sub" }, STAGES[row.stage] ?? "")],
  },
  { label: "Committed", class: "n", cell: row => count(row.committed ?? 0) },
  { label: "Aborted", note: "taken back whole", class: "n", cell: row => count(row.aborted ?? 0) },
  { label: "Fatal", note: "ends the process", class: "n", cell: row => count(row.fatal ?? 0) },
];

/** A row for each stage, with its results side by side. */
function byStage(transactions) {
  const stages = new Map();
  for (const { stage, result, count } of transactions)
    stages.set(stage, { ...stages.get(stage), stage, [result]: count });
  return [...stages.values()];
}
