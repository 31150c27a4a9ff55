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

/** Write a number for people: few digits, powers of ten where it is tiny. */
export function short(value: number | null | undefined, digits = 4): string {
  if (value == null || !Number.isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e6)) return value.toExponential(Math.max(1, digits - 2));
  return String(Number(value.toPrecision(digits)));
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
          y: { distr: log ? 3 : 1, ...(props.range ? { range: props.range } : {}) },
        },
        axes: [
          { ...axis, size: 28 },
          { ...axis, size: 58, values: (_u, splits) => splits.map((value) => (value === null ? "" : short(value, 2))) },
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
  const shown = (value: number | null) => (log && value !== null && value <= 0 ? null : value);
  return [epochs, ...lines.map((line) => line.values.map(shown))];
}
