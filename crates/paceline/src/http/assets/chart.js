// Charts over time with uPlot, which is fetched when the first one is shown. Colours come from the style sheet; each
// chart says in words what it shows, and its figures stand in a table below for who cannot see it.

import { h } from "./dom.js";
import { clock, dayMonth, instant, isKnown } from "./format.js";

/** From this span on a time of day alone would not say which day. */
const DAYS_MS = 30 * 3_600_000;
/** A person reads a value for about this long. */
const HOVER_MS = 15_000;

let library;

/**
 * Draws into `host`. `times` are milliseconds; series are `{label, values, ink, dash?, fill?, width?, bars?, points?,
 * anchor?}`, `anchor` being the index where a line only starts from another;
 * marks `{at, ink, shape, quiet?, from?, to?}` stand on the time line, a quiet one without its line, one with `from` and
 * `to` as a bar between two values; `show(value)` makes text of a value. Returns a function that ends it.
 */
export async function chart(
  host,
  { label, times, series, marks = [], until, ceiling, show, zone, height = 260, evidence, legend },
) {
  library ??= import("./uPlot.esm.js");
  const uPlot = (await library).default;
  const ink = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const readout = h("p", { class: "readout" });
  const frame = h("div", { class: "chart", role: "img", "aria-label": label });
  host.replaceChildren(...[readout, frame, legend].filter(Boolean));
  let plot;

  const lines = series.map(one => ({
    label: one.label,
    scale: one.bars ? "evidence" : "y",
    stroke: one.bars ? "transparent" : ink(one.ink),
    width: one.width ?? 1.75,
    dash: one.dash,
    fill: one.bars ? ink("bars") : one.fill ? ink(one.fill) : undefined,
    spanGaps: false,
    paths: one.bars
      ? uPlot.paths.bars({ size: [0.6, 24] })
      : one.stepped
        ? uPlot.paths.stepped({ align: 1 })
        : undefined,
    points: { show: one.points ?? false, size: 5, fill: ink("page") },
  }));
  const all = [
    times.map(at => at / 1000),
    ...series.map(one => one.values.map(value => (isKnown(value) ? value : null))),
  ];
  const highest = Math.max(
    ceiling ?? 0,
    ...series.filter(one => !one.bars).flatMap(one => one.values.filter(isKnown)),
    1e-9,
  );
  const most = Math.max(1, ...series.filter(one => one.bars).flatMap(one => one.values.filter(isKnown)));
  const first = series.find(one => !one.bars);
  const isLong = Math.max(until ?? 0, times.at(-1)) - times[0] > DAYS_MS;
  const foot = at => (isLong && clock(at, zone, true) === "00:00" ? dayMonth(at, zone) : clock(at, zone, true));
  const tell = index => {
    const at = isKnown(index) ? index : first.values.findLastIndex(isKnown);
    if (at < 0) return readout.replaceChildren("No figures yet.");
    const there = series.filter(one => one.anchor === undefined || (isKnown(one.values[at]) && at !== one.anchor));
    const figure = one =>
      !isKnown(one.values[at]) ? "n/a" : one.bars ? evidence(one.values[at]) : show(one.values[at]);
    readout.replaceChildren(
      h("b", {}, (isLong ? instant : clock)(times[at], zone)),
      ...there.map(one =>
        h("span", { class: one.bars ? "readout-bars" : `of-${one.ink}` }, `${one.label} `, h("b", {}, figure(one))),
      ),
    );
  };

  const draw = () => {
    plot?.destroy();
    const grid = { stroke: ink("grid"), width: 1 };
    const axis = { stroke: ink("soft"), grid, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    plot = new uPlot(
      {
        width: frame.clientWidth || 600,
        height,
        tzDate: seconds => uPlot.tzDate(new Date(seconds * 1000), zone || "UTC"),
        legend: { show: false },
        cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
        scales: {
          x: { range: () => [times[0] / 1000, Math.max(until ?? 0, times.at(-1), times[0] + 60_000) / 1000] },
          y: { range: () => [0, highest * 1.08] },
          evidence: { range: () => [0, most * 4] },
        },
        axes: [
          { ...axis, size: 26, space: 56, values: (_, splits) => splits.map(at => foot(at * 1000)) },
          { ...axis, size: 62, space: 36, values: (_, splits) => splits.map(value => show(value, true)) },
        ],
        series: [{}, ...lines],
        hooks: { setCursor: [one => tell(one.cursor.idx)], draw: [one => drawMarks(one, marks, ink)] },
      },
      all,
      frame,
    );
  };
  draw();
  tell(null);
  const observer = new ResizeObserver(() => plot.setSize({ width: frame.clientWidth || 600, height }));
  observer.observe(frame);
  return () => {
    observer.disconnect();
    plot.destroy();
  };
}

/**
 * One chart in a place that is drawn anew as news come: the one before is ended, of two in a hurry the later stays, and
 * nothing is redrawn under a pointer that reads it, for a while.
 */
export function changing(host, signal) {
  let end = null;
  let turn = 0;
  let sign = "";
  let drawnAt = 0;
  const clear = () => {
    turn += 1;
    end?.();
    end = null;
  };
  signal.addEventListener("abort", clear);
  return {
    /** `what` tells one state from another; `make` answers the options of `chart`, or null and has drawn itself. */
    async draw(what, make) {
      const now = `${what} ${look()}`;
      if (now === sign || (end && host.matches(":hover") && Date.now() - drawnAt < HOVER_MS)) return;
      sign = now;
      drawnAt = Date.now();
      clear();
      const mine = turn;
      const options = make();
      const ended = options && (await chart(host, options));
      if (mine !== turn || signal.aborted) ended?.();
      else end = ended;
    },
  };
}

/** The inks in force: another theme is another drawing. */
const look = () => `${document.documentElement.dataset.theme} ${matchMedia("(prefers-color-scheme: dark)").matches}`;

/** Commands and alerts: a thin line through the day, and a shape at its foot. */
function drawMarks(plot, marks, ink) {
  const { ctx, bbox } = plot;
  const pixel = devicePixelRatio || 1;
  ctx.save();
  ctx.setLineDash([]);
  for (const mark of marks) {
    const x = Math.round(plot.valToPos(mark.at / 1000, "x", true));
    if (x < bbox.left - 1 || x > bbox.left + bbox.width + 1) continue;
    const foot = bbox.top + bbox.height;
    ctx.strokeStyle = ctx.fillStyle = ink(mark.ink);
    ctx.globalAlpha = 0.28;
    ctx.lineWidth = pixel;
    const top = mark.from === undefined ? bbox.top : plot.valToPos(mark.from, "y", true);
    const bottom = mark.to === undefined ? foot : plot.valToPos(mark.to, "y", true);
    if (!mark.quiet) line(ctx, x, top, bottom, mark, pixel);
    ctx.globalAlpha = 1;
    if (mark.shape) shape(ctx, mark.shape, x, foot - 5 * pixel, 4 * pixel);
  }
  ctx.restore();
}

function line(ctx, x, top, foot, mark, pixel) {
  if (mark.from !== undefined) {
    ctx.globalAlpha = 1;
    ctx.lineWidth = 5 * pixel;
    x -= 3 * pixel;
  }
  ctx.beginPath();
  ctx.moveTo(x, top);
  ctx.lineTo(x, foot);
  ctx.stroke();
}

function shape(ctx, kind, x, y, size) {
  ctx.beginPath();
  if (kind === "up")
    [
      [0, -1],
      [1, 1],
      [-1, 1],
    ].forEach(([dx, dy]) => ctx.lineTo(x + dx * size, y + dy * size));
  else if (kind === "down")
    [
      [0, 1],
      [1, -1],
      [-1, -1],
    ].forEach(([dx, dy]) => ctx.lineTo(x + dx * size, y + dy * size));
  else if (kind === "alert")
    [
      [0, -1.2],
      [1.2, 0],
      [0, 1.2],
      [-1.2, 0],
    ].forEach(([dx, dy]) => ctx.lineTo(x + dx * size, y + dy * size));
  else ctx.rect(x - size * 0.8, y - size * 0.8, size * 1.6, size * 1.6);
  ctx.closePath();
  ctx.fill();
}
