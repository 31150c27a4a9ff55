/** What the playground is set to: all of it lives in the address, and makes the job. */

import { type Activation, type Call, type Derived, type Optimizer, type Part, PARTS } from "./api";
import { sameDerived } from "./network";
import { unescaped } from "./shell";

export const ACTIVATIONS: Activation[] = ["sigmoid", "tanh", "relu", "leaky_relu", "gelu", "identity"];
export const OPTIMIZERS: Optimizer[] = ["sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop"];
export const DEFAULT_RATES: Record<Optimizer, number> = {
  sgd: 1, momentum: 0.1, nesterov: 0.1, adam: 0.01, adamw: 0.01, rmsprop: 0.01,
};
/** Points in shapes, whose number is to be told, and surfaces, whose height is. */
export const SHAPES = ["moons", "circles", "spirals", "gaussians", "quadrants"] as const;
export const SURFACES = ["plane", "hills"] as const;
export const SAMPLES = [...SHAPES, ...SURFACES] as const;
export type SampleKind = (typeof SAMPLES)[number];

export const SNAPSHOT_RECORDS = 200;
/** As many numbers as the service records of one job. */
const MOST_NUMBERS = 2_000_000;

export interface Sample {
  kind: SampleKind;
  rows: number;
  noise: number;
  classes: number;
  seed: number;
}

export interface Setup {
  /** A dataset's name; empty: the sample. */
  dataset: string;
  sample: Sample;
  target: string;
  /** Features left out. */
  without: string[];
  /** Inputs beside the features; those of features that are left out count for nothing. */
  derived: Derived[];
  layers: number[];
  activation: Activation;
  optimizer: Optimizer;
  rate: number;
  epochs: number;
  batch: number | null;
  seed: number;
  validation: number;
  decay: number;
  l1: number;
  patience: number | null;
  model: string;
  x: string;
  y: string;
  hard: boolean;
  /** Parts of the rows that the plane does not show. */
  unseen: Part[];
  log: boolean;
  job: string;
}

/** Changes what is set now, which may be another setting than when somebody began to wait for an answer. */
export type Update = (change: Partial<Setup> | ((now: Setup) => Partial<Setup>)) => void;

export const DEFAULTS: Setup = {
  dataset: "xor",
  sample: { kind: "moons", rows: 200, noise: 0.1, classes: 2, seed: 0 },
  target: "",
  without: [],
  derived: [],
  layers: [4, 3],
  activation: "tanh",
  optimizer: "adam",
  rate: 0.03,
  epochs: 400,
  batch: null,
  seed: 777,
  validation: 0,
  decay: 0,
  l1: 0,
  patience: null,
  model: "",
  x: "",
  y: "",
  hard: false,
  unseen: [],
  log: true,
  job: "",
};

type Parameters = Record<string, string>;

function written(setup: Setup): Parameters {
  const { sample } = setup;
  return {
    data: setup.dataset || [sample.kind, sample.rows, sample.noise, sample.classes, sample.seed].join("~"),
    target: setup.target,
    layers: setup.layers.join("-"),
    activation: setup.activation,
    optimizer: setup.optimizer,
    rate: String(setup.rate),
    epochs: String(setup.epochs),
    batch: setup.batch === null ? "" : String(setup.batch),
    seed: String(setup.seed),
    validation: String(setup.validation),
    decay: String(setup.decay),
    l1: String(setup.l1),
    patience: setup.patience === null ? "" : String(setup.patience),
    model: setup.model,
    x: setup.x,
    y: setup.y,
    hard: setup.hard ? "1" : "",
    unseen: setup.unseen.join("-"),
    log: setup.log ? "1" : "",
    job: setup.job,
  };
}

/** Write what differs from the defaults as parameters of the address. */
export function toParameters(setup: Setup): URLSearchParams {
  const usual = written(DEFAULTS);
  const parameters = new URLSearchParams(Object.entries(written(setup)).filter(([name, value]) => value !== usual[name]));
  // Names of columns may hold any sign: each has a parameter of its own.
  for (const name of setup.without) parameters.append("without", name);
  for (const input of setup.derived) parameters.append("derived", writtenDerived(input));
  return parameters;
}

export function toAddress(setup: Setup): string {
  const parameters = toParameters(setup).toString();
  return `#/playground${parameters ? `?${parameters}` : ""}`;
}

function among<Value extends string>(value: string, known: readonly Value[], usual: Value): Value {
  return known.find((one) => one === value) ?? usual;
}

/** Read a number; what is none, or out of bounds, is the usual one. */
function number(text: string, usual: number, low: number, high: number, whole = false): number {
  const value = text.trim() === "" ? NaN : Number(text);
  const fits = Number.isFinite(value) && value >= low && value <= high && (!whole || Number.isInteger(value));
  return fits ? value : usual;
}

/** Whether a sample may have more classes than two. */
export function hasClasses(kind: SampleKind): boolean {
  return kind === "spirals" || kind === "gaussians";
}

const OPERANDS: Record<Derived["function"], number> = { square: 1, product: 2, sine: 1 };

/** Write a derived input for the address: `product.x1.x2`; a star stands before a name's own dots and stars. */
function writtenDerived({ function: kind, of }: Derived): string {
  return [kind, ...of.map((name) => name.replace(/[.*]/g, "*$&"))].join(".");
}

/** Read a derived input; null: it is none. Older addresses have it as `product/x1/x2`, each name escaped. */
function readDerived(text: string): Derived | null {
  const [kind, ...names] = /^[a-z]+\//.test(text)
    ? text.split("/").map(unescaped)
    : (text.match(/(?:\*.|[^.*])+/gsu) ?? []).map((part) => part.replace(/\*(.)/gsu, "$1"));
  const known = (["square", "product", "sine"] as const).find((one) => one === kind);
  const of = names.filter(Boolean);
  return known && of.length === OPERANDS[known] && new Set(of).size === of.length ? { function: known, of } : null;
}

/** The derived inputs of an address, each once. */
function allDerived(parameters: URLSearchParams): Derived[] {
  const found = parameters.getAll("derived").flatMap((text) => readDerived(text) ?? []);
  return found.filter((input, at) => found.findIndex((other) => sameDerived(other, input)) === at);
}

/** What the address says of derived inputs and cannot be read. */
export function unreadDerived(parameters: URLSearchParams): string[] {
  return parameters.getAll("derived").filter((text) => !readDerived(text));
}

function readSample(text: string): Sample | null {
  const [kind = "", rows = "", noise = "", classes = "", seed = ""] = text.split("~");
  const known = SAMPLES.find((one) => one === kind);
  const usual = DEFAULTS.sample;
  if (!known || !text.includes("~")) return null;
  const fixed = !hasClasses(known);
  return {
    kind: known,
    rows: number(rows, usual.rows, 4, 2_000, true),
    noise: number(noise, usual.noise, 0, 10),
    classes: fixed ? 2 : number(classes, usual.classes, 2, 20, true),
    seed: number(seed, usual.seed, 0, 2 ** 32 - 1, true),
  };
}

/** Read the address; what cannot be used is the default. */
export function fromParameters(parameters: URLSearchParams): Setup {
  const usual = written(DEFAULTS);
  const text = (name: string) => parameters.get(name) ?? usual[name] ?? "";
  const sample = readSample(text("data"));
  const layers = text("layers").split("-").filter(Boolean).map((units) => number(units, 4, 1, 65_536, true));
  return {
    dataset: sample ? "" : text("data"),
    sample: sample ?? DEFAULTS.sample,
    target: text("target"),
    without: parameters.getAll("without").filter(Boolean),
    derived: allDerived(parameters),
    layers: layers.slice(0, 32),
    activation: among(text("activation"), ACTIVATIONS, DEFAULTS.activation),
    optimizer: among(text("optimizer"), OPTIMIZERS, DEFAULTS.optimizer),
    rate: number(text("rate"), DEFAULTS.rate, Number.MIN_VALUE, 1_000),
    epochs: number(text("epochs"), DEFAULTS.epochs, 1, 1_000_000, true),
    batch: text("batch") ? number(text("batch"), 32, 1, 1_000_000, true) : null,
    seed: number(text("seed"), DEFAULTS.seed, 0, 2 ** 32 - 1, true),
    validation: number(text("validation"), DEFAULTS.validation, 0, 0.9),
    decay: number(text("decay"), DEFAULTS.decay, 0, 1),
    l1: number(text("l1"), DEFAULTS.l1, 0, 1),
    patience: text("patience") ? number(text("patience"), 50, 1, 1_000_000, true) : null,
    model: text("model"),
    x: text("x"),
    y: text("y"),
    hard: text("hard") === "1",
    unseen: PARTS.filter((part) => text("unseen").split("-").includes(part)),
    log: text("log") === "1",
    job: text("job"),
  };
}

/** Name the table that a sample is stored as: the same for the same draw. */
export function sampleName(sample: Sample): string {
  const noise = String(sample.noise).replace(".", "_").replace("e-", "em");
  return `${sample.kind}-${sample.rows}-n${noise}-c${sample.classes}-s${sample.seed}`;
}

/** Read a dataset's name: a sample's says how it was drawn. */
export function fromDatasetName(name: string): Pick<Setup, "dataset" | "sample"> {
  const [, kind = "", rows = "", noise = "", classes = "", seed = ""] = /^([a-z]+)-(\d+)-n([\d_em]+)-c(\d+)-s(\d+)$/.exec(name) ?? [];
  const sample = readSample([kind, rows, noise.replace("em", "e-").replace("_", "."), classes, seed].join("~"));
  return sample && sampleName(sample) === name ? { dataset: "", sample } : { dataset: name, sample: DEFAULTS.sample };
}

export function datasetName(setup: Setup): string {
  return setup.dataset || sampleName(setup.sample);
}

/** The request that stores the sample; copied, it names another dataset than the page has stored. */
export function sampleCall(sample: Sample, name = sampleName(sample)): Call {
  return { path: "/datasets", body: { name, sample } };
}

/** Weights and biases of a network. */
export function parameterCount(units: number[]): number {
  return units.slice(1).reduce((sum, outputs, at) => sum + outputs * (units[at]! + 1), 0);
}

/** Epochs between two records: about `SNAPSHOT_RECORDS` of them. */
export function recordEvery(epochs: number): number {
  return Math.max(1, Math.floor(epochs / SNAPSHOT_RECORDS));
}

/** Whether the weights of every record are few enough to be recorded. */
export function recordsWeights(setup: Setup, inputs: number, outputs: number): boolean {
  const records = Math.floor((setup.epochs - 1) / recordEvery(setup.epochs)) + 2;
  return records * parameterCount([inputs, ...setup.layers, outputs]) <= MOST_NUMBERS;
}

/** The request that trains; `features` where some are left out, and what is derived from those that are in. */
export function trainCall(setup: Setup, features: string[] | null, derived: Derived[], weights: boolean): Call {
  const training: Record<string, unknown> = {
    optimizer: setup.optimizer,
    learning_rate: setup.rate,
    epochs: setup.epochs,
    seed: setup.seed,
    record_every: recordEvery(setup.epochs),
    record_weights: weights,
  };
  if (setup.batch !== null) training.batch_size = setup.batch;
  if (setup.validation) training.validation_fraction = setup.validation;
  if (setup.decay) training.weight_decay = setup.decay;
  if (setup.l1) training.l1_penalty = setup.l1;
  if (setup.patience !== null) training.early_stopping = { patience: setup.patience };
  return {
    path: "/jobs",
    body: {
      dataset: datasetName(setup),
      ...(setup.target ? { target: setup.target } : {}),
      ...(features ? { features } : {}),
      ...(derived.length ? { preprocessing: { derived } } : {}),
      network: { hidden_layers: setup.layers, activation: setup.activation },
      training,
      ...(setup.model ? { model: setup.model } : {}),
    },
  };
}
