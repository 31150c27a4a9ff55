/** Curves over the epochs, drawn by uPlot. */

import { useLayoutEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { useDark } from "./shell";

export interface Line {
  label: string;
  colour: string;
  dashed?: boolean;
  /** By the place in `epochs`; null: nothing there. */
  values: (number | null)[];
}

export interface CurveProps {
  title: string;
  epochs: number[];
  lines: Line[];
  log?: boolean;
  /** Epoch of the best record. */
  best?: number | null;
  /** Epoch that is shown elsewhere on the page. */
  shown?: number | null;
  range?: [number, number];
  onPick?: (epoch: number) => void;
}

const HEIGHT = 190;

/**
 * A logarithmic axis: its values are logarithms. uPlot's own has no labels where numbers have more
 * digits than it can add up.
 */
const LOG_AXIS: uPlot.Axis = {
  splits: (_u, _axis, low, high) => logSplits(10 ** low, 10 ** high).map(Math.log10),
  values: (_u, splits) => splits.map((power) => logLabel(10 ** power)),
};
const LOG_SCALE: uPlot.Scale = {
  range: (_u, low, high) => {
    const room = Math.max(0.05 * (high - low), 0.02);
    return low === null ? [-1, 0] : [low - room, high + room];
  },
};

/** Write a number for people: few digits, powers of ten where it is tiny. */
export function short(value: number | null | undefined, digits = 4): string {
  if (value == null || !Number.isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e6)) return value.toExponential(Math.max(1, digits - 2));
  return String(Number(value.toPrecision(digits)));
}

const MOST_LABELS = 6;
const FEWEST_LABELS = 3;
/** Digits of labels between powers of ten: as few of them as will do. */
const DIGITS = [[1, 3], [1, 2, 5], [1, 2, 3, 5, 7], [1, 2, 3, 4, 5, 6, 7, 8, 9]];

/** Where a logarithmic axis has labels, three to six of them: at powers of ten, or between them where it is short. */
export function logSplits(low: number, high: number): number[] {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  const step = Math.max(1, Math.ceil((last - first + 1) / MOST_LABELS));
  const powers: number[] = [];
  for (let power = Math.ceil(first / step) * step; power <= last; power += step) powers.push(Number(`1e${power}`));
  if (powers.length >= FEWEST_LABELS) return powers;
  for (const digits of DIGITS) {
    const found: number[] = [];
    for (let power = first - 1; power <= last; power++) found.push(...digits.map((digit) => Number(`${digit}e${power}`)));
    const inside = found.filter((value) => value >= low && value <= high);
    if (inside.length >= FEWEST_LABELS) return inside;
  }
  return evenSplits(low, high);
}

/** Round numbers at equal distances. */
function evenSplits(low: number, high: number): number[] {
  const power = Math.floor(Math.log10((high - low) / FEWEST_LABELS));
  for (const step of [5, 2.5, 2, 1, 0.5].map((digit) => digit * 10 ** power)) {
    const first = Math.ceil(low / step);
    const count = Math.floor(high / step) - first + 1;
    if (count >= FEWEST_LABELS) return Array.from({ length: count }, (_, at) => Number(((first + at) * step).toPrecision(12)));
  }
  return [low, high];
}

/** Write a label of a logarithmic axis. */
export function logLabel(value: number): string {
  const rounded = Number(value.toPrecision(6));
  return rounded < 1e-3 || rounded >= 1e5 ? rounded.toExponential().replace("+", "") : String(rounded);
}

export function Curves(props: CurveProps) {
  const { title, epochs, lines, log = false, best, shown } = props;
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const dark = useDark();
  const shape = lines.map((line) => line.label + line.colour).join("|");

  useLayoutEffect(() => {
    const box = place.current!;
    const ink = dark ? "#a8b5c2" : "#51606f";
    const gridColour = dark ? "#2c3742" : "#e4e8ec";
    const axis = { stroke: ink, grid: { stroke: gridColour, width: 1 }, ticks: { stroke: gridColour }, font: "11px system-ui" };
    const mark = (u: uPlot, epoch: number | null | undefined, colour: string, dash: number[]) => {
      if (epoch == null) return;
      const x = u.valToPos(epoch, "x", true);
      u.ctx.save();
      u.ctx.strokeStyle = colour;
      u.ctx.lineWidth = devicePixelRatio;
      u.ctx.setLineDash(dash);
      u.ctx.beginPath();
      u.ctx.moveTo(x, u.bbox.top);
      u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
      u.ctx.stroke();
      u.ctx.restore();
    };
    const made = new uPlot(
      {
        width: Math.max(box.clientWidth, 120),
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
        scales: {
          x: { time: false },
          y: log ? LOG_SCALE : props.range ? { range: props.range } : {},
        },
        axes: [
          { ...axis, size: 28 },
          { ...axis, size: 58, ...(log ? LOG_AXIS : { values: (_u, splits) => splits.map((value) => short(value, 2)) }) },
        ],
        series: [
          {},
          ...lines.map((line) => ({
            label: line.label,
            stroke: line.colour,
            width: 2,
            points: { show: false },
            spanGaps: true, // other lines may have records at other epochs
            ...(line.dashed ? { dash: [6, 4] } : {}),
          })),
        ],
        hooks: {
          draw: [
            (u) => {
              mark(u, latest.current.best, dark ? "#7ed8a0" : "#17693a", [5 * devicePixelRatio, 4 * devicePixelRatio]);
              mark(u, latest.current.shown, ink, []);
            },
          ],
          ready: [
            (u) => {
              u.over.addEventListener("click", () => {
                const at = u.cursor.idx;
                const epoch = at == null ? undefined : latest.current.epochs[at];
                if (epoch !== undefined) latest.current.onPick?.(epoch);
              });
            },
          ],
        },
      },
      data(latest.current, log),
      box,
    );
    plot.current = made;
    const resized = new ResizeObserver(() => made.setSize({ width: Math.max(box.clientWidth, 120), height: HEIGHT }));
    resized.observe(box);
    return () => {
      resized.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [dark, log, shape]);

  useLayoutEffect(() => plot.current?.setData(data(props, log)), [epochs, lines, log]);
  useLayoutEffect(() => plot.current?.redraw(false), [best, shown]);

  const told = lines.map((line) => `${line.label} ${short(line.values.findLast((value) => value !== null))}`).join(", ");
  return (
    <figure class="curves">
      <figcaption>
        <strong>{title}</strong>
        {lines.map((line) => (
          <span class="key">
            <svg width="22" height="8" aria-hidden="true">
              <line x1="0" y1="4" x2="22" y2="4" stroke={line.colour} stroke-width="3" stroke-dasharray={line.dashed ? "6 4" : undefined} />
            </svg>
            {line.label}
          </span>
        ))}
      </figcaption>
      <div ref={place} role="img" aria-label={`${title}: ${told}`} class="plot" />
    </figure>
  );
}

function data({ epochs, lines }: CurveProps, log: boolean): uPlot.AlignedData {
  const logarithm = (value: number | null) => (value !== null && value > 0 ? Math.log10(value) : null);
  return [epochs, ...lines.map((line) => (log ? line.values.map(logarithm) : line.values))];
}
