/** The forward pass in the browser, from weights that the service gave. */

import type { Activation, Cell, Derived, Feature, Inputs, Label, LayerParameters, Preprocessing, Range, Task } from "./api";

export interface Layer {
  /** Shape (outputs, inputs), row by row. */
  weight: Float32Array;
  bias: Float32Array;
  inputs: number;
  outputs: number;
  activation: Activation;
}

const LEAKY_SLOPE = 0.01;

/** Of the exponent's polynomial in t, highest power first: Numerical Recipes in C, §6.2, `erfcc`. */
const ERFC = [
  0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368,
  -1.26551223,
];

function erfc(x: number): number {
  const t = 1 / (1 + 0.5 * Math.abs(x));
  const tail = t * Math.exp(ERFC.reduce((sum, coefficient) => sum * t + coefficient, 0) - x * x);
  return x < 0 ? 2 - tail : tail;
}

const ACTIVATIONS: Record<Exclude<Activation, "softmax">, (z: number) => number> = {
  sigmoid: (z) => 1 / (1 + Math.exp(-z)),
  tanh: Math.tanh,
  relu: (z) => Math.max(z, 0),
  leaky_relu: (z) => (z > 0 ? z : z * LEAKY_SLOPE),
  gelu: (z) => z * 0.5 * erfc(-z * Math.SQRT1_2),
  identity: (z) => z,
  step: (z) => (z > 0 ? 1 : 0),
};

function softmax(values: Float32Array, width: number): void {
  for (let start = 0; start < values.length; start += width) {
    const row = values.subarray(start, start + width);
    const largest = Math.max(...row);
    let sum = 0;
    for (let at = 0; at < width; at++) sum += row[at] = Math.exp(row[at]! - largest);
    for (let at = 0; at < width; at++) row[at]! /= sum;
  }
}

/** Compute the outputs of one layer. Shapes: (rows, inputs) → (rows, outputs). */
function through(layer: Layer, values: Float32Array): Float32Array {
  const { inputs, outputs, weight, bias, activation } = layer;
  const rows = values.length / inputs;
  const found = new Float32Array(rows * outputs);
  const apply = activation === "softmax" ? null : ACTIVATIONS[activation];
  for (let row = 0; row < rows; row++) {
    for (let unit = 0; unit < outputs; unit++) {
      let z = bias[unit]!;
      for (let input = 0; input < inputs; input++) z += weight[unit * inputs + input]! * values[row * inputs + input]!;
      found[row * outputs + unit] = apply ? apply(z) : z;
    }
  }
  if (!apply) softmax(found, outputs);
  return found;
}

/** Give the outputs of every layer, first to last. Shape of each: (rows, outputs of the layer). */
export function forwardAll(layers: Layer[], rows: Float32Array): Float32Array[] {
  const found: Float32Array[] = [];
  for (const layer of layers) found.push(through(layer, found.at(-1) ?? rows));
  return found;
}

/** Give the outputs of the last layer. Shape (rows, outputs). */
export function forward(layers: Layer[], rows: Float32Array): Float32Array {
  return forwardAll(layers, rows).at(-1) ?? rows;
}

export function fromParameters(layers: LayerParameters[]): Layer[] {
  return layers.map(({ weight, bias, activation }) => ({
    weight: Float32Array.from(weight.flat()),
    bias: Float32Array.from(bias),
    inputs: weight[0]?.length ?? 0,
    outputs: bias.length,
    activation,
  }));
}

/** One number of a network that is another than the trained one: of no input, the unit's bias. */
export interface Edit {
  /** Place of the layer: 0 is the first behind the inputs. */
  layer: number;
  unit: number;
  input: number | null;
  value: number;
}

/** Give the network with some numbers changed; the layers that it was made of stay as they are. */
export function edited(layers: Layer[], edits: Edit[]): Layer[] {
  return layers.map((layer, at) => {
    const own = edits.filter((edit) => edit.layer === at);
    if (!own.length) return layer;
    const [weight, bias] = [layer.weight.slice(), layer.bias.slice()];
    for (const { unit, input, value } of own) {
      if (input === null) bias[unit] = value;
      else weight[unit * layer.inputs + input] = value;
    }
    return { ...layer, weight, bias };
  });
}

const OUTPUT_ACTIVATIONS: Record<Task, Activation> = { binary: "sigmoid", multiclass: "softmax", regression: "identity" };

/** Units of every layer from the input to the output. */
export function widths(inputs: number, hidden: number[], target: Preprocessing["target"]): number[] {
  return [inputs, ...hidden, target.task === "multiclass" ? (target.classes?.length ?? 1) : 1];
}

/** Read a snapshot: base64 of little-endian float32, of each layer the weights, then the biases. */
export function fromSnapshot(parameters: string, units: number[], hidden: Activation, task: Task): Layer[] {
  const bytes = Uint8Array.from(atob(parameters), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const values = Float32Array.from({ length: bytes.length / 4 }, (_, at) => view.getFloat32(4 * at, true));
  let start = 0;
  const take = (count: number) => values.subarray(start, (start += count));
  return units.slice(1).map((outputs, at) => {
    const inputs = units[at]!;
    const last = at === units.length - 2;
    return {
      weight: take(inputs * outputs),
      bias: take(outputs),
      inputs,
      outputs,
      activation: last ? OUTPUT_ACTIVATIONS[task] : hidden,
    };
  });
}

/** Count the numbers that a feature's value becomes. */
export function featureWidth(feature: Feature): number {
  return feature.kind === "categorical" ? feature.categories.length + Number(feature.missing === "place") : 1;
}

export function inputWidth({ features, derived = [] }: Inputs): number {
  return features.reduce((sum, feature) => sum + featureWidth(feature), derived.length);
}

/** Write a derived input as formulas do. */
export function derivedName({ function: kind, of: [first = "", second] }: Derived): string {
  return kind === "product" ? `${first} · ${second}` : kind === "square" ? `${first}²` : `sin(π ${first})`;
}

/** Whether two derived inputs are one: a product is the same in either order. */
export function sameDerived(one: Derived, other: Derived): boolean {
  return one.function === other.function && one.of.length === other.of.length && one.of.every((name) => other.of.includes(name));
}

/** Names of the network's inputs: a category has one of its own. */
export function inputNames({ features, derived = [] }: Inputs): string[] {
  const own = features.flatMap((feature) => {
    if (feature.kind !== "categorical") return [feature.name];
    const names = feature.categories.map((category) => `${feature.name}=${category}`);
    return feature.missing === "place" ? [...names, `${feature.name}=?`] : names;
  });
  return [...own, ...derived.map(derivedName)];
}

function encodeCell(feature: Feature, cell: Cell): number[] {
  if (feature.kind === "numeric") {
    const value = cell === null || cell === "" ? feature.fill : Number(cell);
    return [((value ?? NaN) - feature.mean) / feature.scale];
  }
  if (feature.kind === "boolean") {
    return [cell === null ? (feature.fill ?? NaN) : Number(cell === true || cell === 1)];
  }
  const places = feature.categories.map((category) => Number(category === (cell ?? feature.fill)));
  return feature.missing === "place" ? [...places, Number(cell === null)] : places;
}

/** The place of each feature's first number among the inputs. */
function starts(features: Feature[]): number[] {
  const found: number[] = [];
  features.reduce((start, feature) => (found.push(start), start + featureWidth(feature)), 0);
  return found;
}

/** Compute the derived inputs of each row, behind those that it has. Shape (rows, inputs), in place. */
function derive({ features, derived = [] }: Inputs, rows: Float32Array): Float32Array {
  if (!derived.length) return rows;
  const width = inputWidth({ features, derived });
  const first = width - derived.length;
  const at = starts(features);
  const places = derived.map(({ of }) => of.map((name) => at[features.findIndex((feature) => feature.name === name)]!));
  for (let start = 0; start < rows.length; start += width) {
    derived.forEach((input, number) => {
      const [one, other = one] = places[number]!;
      const x = rows[start + one!]!;
      rows[start + first + number] = input.function === "sine" ? Math.sin(Math.PI * x) : x * rows[start + other!]!;
    });
  }
  return rows;
}

/** Turn rows of a table into the network's input. Shape (rows, inputs). */
export function encode(inputs: Inputs, rows: Cell[][]): Float32Array {
  const { features, derived = [] } = inputs;
  const room = derived.map(() => 0);
  const own = rows.flatMap((row) => [...features.flatMap((feature, at) => encodeCell(feature, row[at] ?? null)), ...room]);
  return derive(inputs, Float32Array.from(own));
}

/** A range that has some room beside what it shows. */
export function padded(values: number[], share = 0.12): Range {
  const known = values.filter(Number.isFinite);
  const low = Math.min(...known);
  const high = Math.max(...known);
  if (!known.length) return { low: -1, high: 1 };
  const room = (high - low || 1) * share;
  return { low: low - room, high: high + room };
}

/**
 * Make the rows of a square grid over two numeric features; the others stand at their means.
 *
 * The first row is at the top left. Without `y`, all lines are the same. Shape (size · size, inputs).
 */
export function grid(inputs: Inputs, x: number, y: number | null, xs: Range, ys: Range, size: number): Float32Array {
  const { features } = inputs;
  const width = inputWidth(inputs);
  const base = encode(inputs, [
    features.map((feature) =>
      feature.kind === "numeric" ? feature.mean : feature.kind === "categorical" ? (feature.categories[0] ?? null) : false,
    ),
  ]);
  const places = starts(features);
  const scaled = (at: number, value: number) => {
    const feature = features[at]!;
    return feature.kind === "numeric" ? (value - feature.mean) / feature.scale : value;
  };
  const rows = new Float32Array(size * size * width);
  for (let line = 0; line < size; line++) {
    const vertical = y === null ? 0 : scaled(y, ys.high - ((line + 0.5) / size) * (ys.high - ys.low));
    for (let column = 0; column < size; column++) {
      const start = (line * size + column) * width;
      rows.set(base, start);
      rows[start + places[x]!] = scaled(x, xs.low + ((column + 0.5) / size) * (xs.high - xs.low));
      if (y !== null) rows[start + places[y]!] = vertical;
    }
  }
  return derive(inputs, rows);
}

const FEW_VALUES = 20;

/**
 * Say how much of a target's variance a feature tells: the share between the classes (η²), or for
 * numbers with many values the squared correlation. 0 where nothing varies.
 */
export function explained(values: number[], targets: Label[]): number {
  const rows = values.map((value, at) => [value, targets[at]!] as const).filter(([value]) => Number.isFinite(value));
  const mean = (numbers: number[]) => numbers.reduce((sum, number) => sum + number, 0) / Math.max(1, numbers.length);
  const middle = mean(rows.map(([value]) => value));
  const total = rows.reduce((sum, [value]) => sum + (value - middle) ** 2, 0);
  if (!total) return 0;
  const groups = new Map<Label, number[]>();
  for (const [value, target] of rows) groups.set(target, [...(groups.get(target) ?? []), value]);
  if (groups.size > FEW_VALUES) {
    const goal = mean(rows.map(([, target]) => Number(target)));
    const spread = rows.reduce((sum, [, target]) => sum + (Number(target) - goal) ** 2, 0);
    const joint = rows.reduce((sum, [value, target]) => sum + (value - middle) * (Number(target) - goal), 0);
    return spread ? joint ** 2 / (total * spread) : 0;
  }
  const between = [...groups.values()].reduce((sum, group) => sum + group.length * (mean(group) - middle) ** 2, 0);
  return between / total;
}

export interface Counts {
  true_positive: number;
  false_negative: number;
  false_positive: number;
  true_negative: number;
}

/** Count what a threshold makes of probabilities of class 1. */
export function confusion(probabilities: ArrayLike<number>, positive: boolean[], threshold: number): Counts {
  const counts: Counts = { true_positive: 0, false_negative: 0, false_positive: 0, true_negative: 0 };
  positive.forEach((is, row) => {
    const said = probabilities[row]! > threshold;
    counts[is ? (said ? "true_positive" : "false_negative") : said ? "false_positive" : "true_negative"] += 1;
  });
  return counts;
}

/** Ratios of a confusion matrix; null where one divides by zero. */
export function ratios(counts: Counts) {
  const { true_positive: tp, false_negative: fn, false_positive: fp, true_negative: tn } = counts;
  const over = (part: number, whole: number) => (whole ? part / whole : null);
  return {
    accuracy: over(tp + tn, tp + tn + fp + fn),
    precision: over(tp, tp + fp),
    recall: over(tp, tp + fn),
    f1: over(2 * tp, 2 * tp + fp + fn),
  };
}

/** Count the rows by actual and answered class. Shape (classes, classes). */
export function confusions(outputs: Float32Array, actual: number[], classes: number): number[][] {
  const matrix = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  actual.forEach((label, row) => {
    const answers = outputs.subarray(row * classes, (row + 1) * classes);
    const line = matrix[label];
    if (line) line[answers.indexOf(Math.max(...answers))]! += 1;
  });
  return matrix;
}

/** Mean absolute error, root of the mean squared one, and R²: null where all targets are the same. */
export function errors(answers: number[], targets: number[]) {
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const missed = answers.map((answer, row) => answer - targets[row]!);
  const squared = mean(missed.map((by) => by * by));
  const middle = mean(targets);
  const variance = mean(targets.map((target) => (target - middle) ** 2));
  return { mae: mean(missed.map(Math.abs)), rmse: Math.sqrt(squared), r2: variance ? 1 - squared / variance : null };
}

/** Cut a name where there is no room for more than so many letters. */
export function clipped(name: string, most = 9): string {
  return name.length > most ? `${name.slice(0, most - 1)}…` : name;
}

/** Write a class as the table spells it. */
export function spelled(label: Label | null): string {
  return label === null ? "?" : String(label);
}
