/** What a network answers over two features: a canvas of colours, with the rows on it. */

import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Activation, type Cell, type Inputs, type Label, type Part, PARTS, type Range, type Task } from "./api";
import { short } from "./curves";
import { forward, forwardAll, grid, type Layer, spelled } from "./network";
import { useTexts } from "./shell";

type Colour = [number, number, number];

/** Class 0 and class 1, and then more: told apart also by people who see fewer colours. */
const CLASSES: Colour[] = [
  [245, 147, 34], [8, 119, 189], [0, 158, 115], [204, 121, 167], [240, 228, 66], [86, 180, 233], [213, 94, 0], [120, 120, 120],
  [148, 103, 189], [140, 86, 75],
];
const MIDDLE: Colour = [245, 246, 247];

export function classColour(at: number): string {
  return `rgb(${CLASSES[at % CLASSES.length]!.join(" ")})`;
}

function mixed(from: Colour, to: Colour, share: number): Colour {
  return [0, 1, 2].map((at) => from[at]! + (to[at]! - from[at]!) * share) as Colour;
}

/** The colour of a share between class 0 (0) and class 1 (1). */
export function between(share: number): Colour {
  const known = Math.min(1, Math.max(0, share));
  return known < 0.5 ? mixed(CLASSES[0]!, MIDDLE, 2 * known) : mixed(MIDDLE, CLASSES[1]!, 2 * known - 1);
}

export interface Scale {
  task: Task;
  classes: Label[] | null;
  /** Of the numbers that a regression answers with, as the network does. */
  values: Range;
}

const STEPS = 256;

/** Colours between two ends, as a canvas takes them: a table is faster than mixing each pixel's. */
function table(colour: (share: number) => Colour): Uint32Array {
  return Uint32Array.from({ length: STEPS }, (_, at) => {
    const [red, green, blue] = colour(at / (STEPS - 1)).map(Math.round);
    return ((255 << 24) | (blue! << 16) | (green! << 8) | red!) >>> 0;
  });
}

/** Paler than the rows, which are seen on them. */
function pale(share: number): Colour {
  return between(0.1 + 0.8 * share);
}

const SHARES = table(pale);
const SURE = CLASSES.map((colour) => table((share) => mixed(MIDDLE, colour, 0.8 * share)));

function step(share: number): number {
  return Math.min(STEPS - 1, Math.max(0, Math.round(share * (STEPS - 1))));
}

/** Paint one number for each pixel, between the ends of a range. */
function paintNumbers(pixels: Uint32Array, outputs: Float32Array, range: Range): void {
  const scale = 1 / (range.high - range.low || 1);
  for (let at = 0; at < pixels.length; at++) pixels[at] = SHARES[step((outputs[at]! - range.low) * scale)]!;
}

/** Paint the likeliest class of each pixel, the paler the less sure. */
function paintClasses(pixels: Uint32Array, outputs: Float32Array, hard: boolean): void {
  const width = outputs.length / pixels.length;
  for (let at = 0; at < pixels.length; at++) {
    let best = 0;
    for (let other = 1; other < width; other++) if (outputs[at * width + other]! > outputs[at * width + best]!) best = other;
    const sure = hard ? 0.75 : Math.max(0.1, (outputs[at * width + best]! - 1 / width) / (1 - 1 / width));
    pixels[at] = SURE[best % SURE.length]![step(sure)]!;
  }
}

/** Paint answers; the canvas has a pixel for each. */
export function paint(
  canvas: HTMLCanvasElement, outputs: Float32Array, size: number, scale: Scale, hard: boolean, threshold: number,
): void {
  const context = canvas.getContext("2d")!;
  if (canvas.width !== size) canvas.width = canvas.height = size;
  const image = context.createImageData(size, size);
  const pixels = new Uint32Array(image.data.buffer);
  if (scale.task === "multiclass") paintClasses(pixels, outputs, hard);
  else if (scale.task === "regression") paintNumbers(pixels, outputs, scale.values);
  else if (hard) paintNumbers(pixels, outputs.map((p) => (p > threshold ? 0.9 : 0.1)), { low: 0, high: 1 });
  else paintNumbers(pixels, outputs, { low: 0, high: 1 });
  context.putImageData(image, 0, 0);
}

/** The colours of a unit's outputs: 0 is in the middle, but for those that are shares. */
export function paintUnit(canvas: HTMLCanvasElement, outputs: Float32Array, size: number, activation?: Activation): void {
  const isShare = activation === "sigmoid" || activation === "softmax";
  const most = outputs.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1e-6);
  const values = isShare ? { low: 0, high: 1 } : { low: -most, high: most };
  paint(canvas, outputs, size, { task: "regression", classes: null, values }, false, 0.5);
}

/** One unit of the network, by its layer (0: the inputs) and its place there. */
export interface Unit {
  layer: number;
  unit: number;
  name: string;
}

/** What a unit gives for rows of inputs. Shape (rows,). */
export function outputsOf({ layer, unit }: Unit, layers: Layer[], rows: Float32Array): Float32Array {
  const width = layer === 0 ? layers[0]!.inputs : layers[layer - 1]!.outputs;
  const values = layer === 0 ? rows : forwardAll(layers.slice(0, layer), rows).at(-1)!;
  return Float32Array.from({ length: values.length / width }, (_, row) => values[row * width + unit]!);
}

export interface Point {
  x: number;
  y: number;
  /** Number of the class; of a regression, the value's share of its range. */
  colour: string;
  part: Part;
  label: string;
}

export interface Axis {
  name: string;
  /** Place among the features. */
  at: number;
  range: Range;
}

/** Two features, or one: then the rows lie one above the other, in an order that means nothing. */
export interface Axes {
  x: Axis;
  y: Axis | null;
}

const WHOLE: Range = { low: 0, high: 1 };

/** Make the rows of a square grid over the axes. Shape (size · size, inputs). */
export function overAxes(inputs: Inputs, { x, y }: Axes, size: number): Float32Array {
  return grid(inputs, x.at, y && y.at, x.range, y?.range ?? WHOLE, size);
}

export interface RegionProps {
  layers: Layer[] | null;
  inputs: Inputs;
  axes: Axes;
  points: Point[];
  scale: Scale;
  hard: boolean;
  threshold: number;
  /** Turns a network's number into the target's. */
  told: (output: number) => number;
  /** A unit that is shown in place of the output. */
  unit?: Unit | null;
}

const BUDGET = 1_000_000;

/** As many cells as a frame leaves time for. */
function cells(layers: Layer[]): number {
  const work = layers.reduce((sum, layer) => sum + layer.weight.length + 8 * layer.outputs, 0);
  return Math.round(Math.min(80, Math.max(20, Math.sqrt(BUDGET / work))));
}

export function Region(props: RegionProps) {
  const { layers, inputs, axes, points, scale, hard, threshold, unit } = props;
  const { x, y } = axes;
  const heights = y?.range ?? WHOLE;
  const texts = useTexts();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [readout, setReadout] = useState("");
  useLayoutEffect(() => {
    if (!canvas.current) return;
    if (!layers) {
      canvas.current.width = canvas.current.height = 1;
      return;
    }
    const size = cells(layers);
    const rows = overAxes(inputs, axes, size);
    if (unit) paintUnit(canvas.current, outputsOf(unit, layers, rows), size, layers[unit.layer - 1]?.activation);
    else paint(canvas.current, forward(layers, rows), size, scale, hard, threshold);
  }, [layers, inputs, unit, axes, scale, hard, scale.task === "binary" && hard ? threshold : 0]);
  const point = (event: PointerEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const at = {
      x: x.range.low + ((event.clientX - box.left) / box.width) * (x.range.high - x.range.low),
      y: heights.high - ((event.clientY - box.top) / box.height) * (heights.high - heights.low),
    };
    const place = `${x.name} ${short(at.x, 3)}${y ? `, ${y.name} ${short(at.y, 3)}` : ""}`;
    setReadout(layers ? `${place} → ${answer(props, at)}` : place);
  };
  return (
    <div class="region">
      <div class="plane" onPointerMove={point} onPointerLeave={() => setReadout("")}>
        <canvas ref={canvas} width="1" height="1" role="img" aria-label={y ? texts.regionOf(x.name, y.name) : texts.regionAlong(x.name)} class={layers ? "" : "empty"} />
        <Points points={points} x={x.range} y={heights} />
        {y && <span class="tick top left">{short(y.range.high, 3)}</span>}
        {y && <span class="tick bottom left">{short(y.range.low, 3)}</span>}
      </div>
      <div class="ticks small soft">
        <span>{short(x.range.low, 3)}</span>
        <span>{x.name} → / {y ? y.name : texts.rows} ↑</span>
        <span>{short(x.range.high, 3)}</span>
      </div>
      <p class="readout small number" aria-hidden="true">{readout || (unit && layers ? texts.unitShown(unit.name) : " ")}</p>
    </div>
  );
}

function answer({ layers, inputs, axes: { x, y }, scale, told }: RegionProps, at: { x: number; y: number }): string {
  const here = (value: number): Range => ({ low: value, high: value });
  const outputs = forward(layers!, grid(inputs, x.at, y && y.at, here(at.x), here(at.y), 1));
  if (scale.task === "regression") return short(told(outputs[0]!));
  if (scale.task === "binary") return `p(${spelled(scale.classes?.[1] ?? 1)}) = ${outputs[0]!.toFixed(4)}`;
  const best = outputs.indexOf(Math.max(...outputs));
  return `${spelled(scale.classes?.[best] ?? best)} (${outputs[best]!.toFixed(3)})`;
}

/** The outline of a row's sign around where the pen is, by its size. */
const OUTLINES: Record<Part, (size: number) => string> = {
  train: (size) => `m${-4 * size},0a${4 * size},${4 * size} 0 1,0 ${8 * size},0a${4 * size},${4 * size} 0 1,0 ${-8 * size},0z`,
  validation: (size) => `m0,${-5.5 * size}l${5.5 * size},${5.5 * size}l${-5.5 * size},${5.5 * size}l${-5.5 * size},${-5.5 * size}z`,
  test: (size) => `m${-4.5 * size},${-4.5 * size}h${9 * size}v${9 * size}h${-9 * size}z`,
};

/** The rows: one path for all of a part that have a colour, because elements are dear. */
function Points({ points, x, y }: { points: Point[]; x: Range; y: Range }) {
  const size = points.length <= 20 ? 1.8 : 1;
  return useMemo(() => {
    const paths = new Map<string, { part: Part; colour: string; outline: string }>();
    for (const { part, colour, ...at } of points) {
      const path = paths.get(part + colour) ?? { part, colour, outline: "" };
      const place = [(400 * (at.x - x.low)) / (x.high - x.low), (400 * (y.high - at.y)) / (y.high - y.low)];
      path.outline += `M${place.map((one) => one.toFixed(1)).join()}${OUTLINES[part](size)}`;
      paths.set(part + colour, path);
    }
    return (
      <svg class="points" viewBox="0 0 400 400" aria-hidden="true" data-rows={points.length}>
        {[...paths.values()].map(({ part, colour, outline }) => (
          <path d={outline} fill={colour} stroke={part === "train" ? "#fff" : "#10161c"} stroke-width={size * (part === "train" ? 1.2 : 1.6)} />
        ))}
      </svg>
    );
  }, [points, x, y]);
}

/** Which colour of the plane is which number; while the plane shows a unit, they are others. */
export function ScaleKey({ title, values, isOfUnit }: { title: string; values: Range; isOfUnit: boolean }) {
  const texts = useTexts();
  const [low, high] = [short(values.low, 3), short(values.high, 3)];
  return (
    <span class={`key scale-key ${isOfUnit ? "of-others" : ""}`}>
      {title} <span class="number">{low}</span>
      <svg width="90" height="12" role="img" aria-label={texts.coloursFrom(title, low, high)}>
        <linearGradient id="plane-colours">
          {[0, 0.5, 1].map((share) => <stop offset={share} stop-color={`rgb(${pale(share).map(Math.round).join(" ")})`} />)}
        </linearGradient>
        <rect width="90" height="12" rx="2" fill="url(#plane-colours)" />
      </svg>
      <span class="number">{high}</span>
    </span>
  );
}

/** Which sign is a row of which part; a press takes those rows off the plane, or puts them there again. */
export function PartKeys({ parts, unseen, onToggle }: { parts: Set<Part>; unseen: Part[]; onToggle: (part: Part) => void }) {
  const texts = useTexts();
  const names: Record<Part, string> = { train: texts.trainPoints, validation: texts.validPoints, test: texts.testPoints };
  const key = (part: Part) => (
    <>
      <svg width="16" height="16" viewBox="-8 -8 16 16" aria-hidden="true">
        <path d={`M0,0${OUTLINES[part](1)}`} fill="var(--soft)" stroke="var(--ink)" stroke-width={part === "train" ? 0 : 1.5} />
      </svg>
      {names[part]}
    </>
  );
  const shown = PARTS.filter((part) => parts.has(part));
  if (shown.length < 2) return <>{shown.map((part) => <span class="key">{key(part)}</span>)}</>;
  return (
    <span class="row" role="group" aria-label={texts.shownRows}>
      {shown.map((part) => (
        <button type="button" class="key" aria-pressed={!unseen.includes(part)} onClick={() => onToggle(part)}>{key(part)}</button>
      ))}
    </span>
  );
}

/** Read a number off a cell; NaN where it is none. */
export function asNumber(cell: Cell | undefined): number {
  return cell === null || cell === undefined || cell === "" ? NaN : Number(cell);
}
