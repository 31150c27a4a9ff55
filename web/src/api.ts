/** The service's HTTP API, as docs/reference/http.md describes it. */

export type Task = "binary" | "multiclass" | "regression";
export type Label = boolean | number | string;
export type Cell = Label | null;
export type Activation = "sigmoid" | "tanh" | "relu" | "leaky_relu" | "gelu" | "identity" | "step" | "softmax";
export type Optimizer = "sgd" | "momentum" | "nesterov" | "adam" | "adamw" | "rmsprop";

export interface Page<Item> {
  data: Item[];
  last_id: string | number | null;
  has_more: boolean;
}

export interface Column {
  name: string;
  kind: "numeric" | "categorical" | "boolean" | "text";
  missing: number;
  distinct: number;
  minimum: number | null;
  maximum: number | null;
  mean: number | null;
  standard_deviation: number | null;
  note: string | null;
}

export interface DatasetSummary {
  name: string;
  description: string;
  built_in: boolean;
  rows: number;
  feature_names: string[];
  target: string;
  task: Task | null;
  /** Null for truth tables. */
  created_at: string | null;
}

export interface Dataset extends DatasetSummary {
  columns: Column[];
  records: Record<string, Cell>[];
}

export interface EpochRecord {
  epoch: number;
  train_loss: number;
  train_accuracy?: number | null;
  valid_loss?: number | null;
  valid_accuracy?: number | null;
}

export interface Snapshot {
  epoch: number;
  parameters: string;
}

export interface BinaryMatrix {
  true_positive: number;
  false_negative: number;
  false_positive: number;
  true_negative: number;
}

export interface Evaluation {
  task: Task;
  loss: number;
  accuracy?: number;
  precision?: number | null;
  recall?: number | null;
  f1?: number | null;
  mae?: number;
  rmse?: number;
  r2?: number | null;
  classes?: Label[];
  /** Of several classes: the means over them. */
  macro?: Averages;
  confusion_matrix?: BinaryMatrix | number[][];
}

export interface Averages {
  precision: number;
  recall: number;
  f1: number;
}

export interface Metrics {
  train: Evaluation;
  validation: Evaluation | null;
  test: Evaluation | null;
}

export type Status = "queued" | "running" | "paused" | "succeeded" | "failed" | "cancelled";

export interface Training {
  optimizer: Optimizer;
  learning_rate: number;
  weight_decay: number;
  l1_penalty: number;
  epochs: number;
  batch_size: number | null;
  seed: number;
  validation_fraction: number;
  test_fraction: number;
  early_stopping: { patience: number } | null;
  schedule: { kind: "constant" | "step" | "cosine" };
  class_weights: "balanced" | Record<string, number> | null;
  record_every: number | null;
}

export interface SweepRow {
  number: number;
  hidden_layers: number[];
  activation: Activation;
  optimizer: Optimizer;
  learning_rate: number;
  batch_size: number | null;
  epochs: number;
  weight_decay: number;
  seed: number;
  rung: number;
  status: "trained" | "diverged";
  /** Null in a regression. */
  converged: boolean | null;
  score: number | null;
  train_loss: number | null;
  train_accuracy: number | null;
  valid_loss: number | null;
  valid_accuracy: number | null;
}

/** What the service ranks a sweep's members by. */
export type Score = "accuracy" | "loss" | "r2";

export interface Range {
  low: number;
  high: number;
}

/** What a sweep varies; null: as in its network and training. */
export interface Space {
  hidden_layers: number[][] | null;
  activation: Activation[] | null;
  optimizer: Optimizer[] | null;
  batch_size: (number | null)[] | null;
  epochs: number[] | null;
  weight_decay: number[] | Range | null;
  learning_rate: number[] | Range | null;
  seed: number[] | { first: number; count: number } | null;
}

export interface SweepReport {
  search: {
    method: "grid" | "random" | "halving";
    score: Score | null;
    /** Parts of a cross-validation. */
    folds: number | null;
    space: Space;
  };
  members: number;
  trainings: number;
  done: number;
  diverged: number;
  best: SweepRow | null;
}

export interface Job {
  id: string;
  kind: "train" | "sweep" | "predict";
  status: Status;
  cancel_requested: boolean;
  pause_requested: boolean;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  progress: { epoch: number; epochs: number } | { rows_done: number; rows: number };
  engine: string | null;
  device: string | null;
  dataset: string;
  network: { hidden_layers: number[]; activation: Activation } | null;
  training: Training | null;
  metrics: Metrics | null;
  diagnosis: { code: string; message: string } | null;
  model: { name: string; version: number } | null;
  error: { code: string; message: string } | null;
  waiting_for?: { code: "no_worker"; queue: string; message: string } | null;
  history?: EpochRecord[];
  sweep?: SweepReport | null;
  /** What it predicts, and from what; a page of jobs lacks it, and so do predictions. */
  columns?: JobColumns | null;
  links: { self: string; events: string; model: string | null };
}

export interface JobColumns {
  target: string;
  task: Task;
  features: string[];
  derived: Derived[];
}

export type Feature =
  | { kind: "numeric"; name: string; mean: number; scale: number; fill: number | null }
  | { kind: "boolean"; name: string; fill: number | null }
  | {
      kind: "categorical";
      name: string;
      categories: string[];
      missing: "place" | "zeros" | "fill" | "error";
      fill: string | null;
    };

/** An input of the network that is computed from features. */
export interface Derived {
  function: "square" | "product" | "sine";
  of: string[];
}

/** What becomes the network's inputs. */
export interface Inputs {
  features: Feature[];
  /** Behind those of the features; versions from before there were any lack it. */
  derived?: Derived[];
}

export interface Preprocessing extends Inputs {
  target: { name: string; task: Task; classes: Label[] | null };
}

export const PARTS = ["train", "validation", "test"] as const;
export type Part = (typeof PARTS)[number];

export interface JobRows {
  preprocessing: Preprocessing;
  target_mean: number;
  target_scale: number;
  rows: number;
  data: { part: Part; inputs: Cell[]; target: Label }[];
}

export interface ModelSummary {
  name: string;
  built_in: boolean;
  latest_version: number;
  versions: number[];
  aliases: Record<string, number>;
  /** The version that `champion` stands for, or else the latest. */
  current: { version: number; dataset: string; task: Task; score: { metric: "accuracy" | "r2"; part: Part; value: number | null } | null };
}

export interface Alias {
  alias: string;
  version: number;
  /** Versions that share the traffic; null: `version` has all of it. */
  split: { version: number; weight: number }[] | null;
  shadows: number[];
}

export interface Card {
  hyperparameters: { network: { hidden_layers: number[]; activation: Activation }; training: Training } | null;
  parameters: { weights: number; biases: number; total: number };
  feature_names: string[];
  preprocessing: Preprocessing | null;
  dataset: string;
  job_id: string | null;
  history: EpochRecord[];
  best_epoch: number | null;
  importance: { feature: string; mean: number; standard_deviation: number }[];
  metrics: Metrics | null;
  diagnosis: { code: string; message: string } | null;
}

export interface ModelVersion {
  name: string;
  version: number;
  aliases: string[];
  created_at: string;
  size_bytes: number;
  sha256: string;
  card: Card;
}

export interface LayerParameters {
  weight: number[][];
  bias: number[];
  activation: Activation;
}

export interface Prediction {
  model: string;
  version: number;
  predictions: Label[];
  probabilities: (number | number[])[] | null;
  classes: Label[] | null;
}

export interface Gate {
  name: string;
  inputs: number;
  description: string;
  truth_table: { inputs: number[]; output: number }[];
  separability: {
    linearly_separable: boolean;
    line: { weights: number[]; bias: number; equation: string } | null;
    proof: {
      point: number[];
      zeros: { inputs: number[]; weight: number }[];
      ones: { inputs: number[]; weight: number }[];
    } | null;
  };
  perceptron: LayerParameters[] | null;
}

export interface Named {
  name: string;
  value: number;
}

export interface BackpropRequest {
  inputs: number[];
  targets: number[];
  layers: { weights: number[][]; biases: number[] | null; activation: Activation }[];
  learning_rate: number;
}

export interface BackpropTrace {
  learning_rate: number;
  inputs: Named[];
  forward: { z: Named[]; outputs: Named[] }[];
  loss: { total: number; terms: Named[] };
  hidden_gradients: { name: string; value: number; terms: Named[] }[];
  parameters: { name: string; layer: number; value: number; factors: Named[]; gradient: number; updated: number }[];
  after: { total: number; terms: Named[] };
  after_layers: BackpropRequest["layers"];
}

export interface FieldProblem {
  detail: string;
  pointer?: string;
  parameter?: string;
}

/** An answer of application/problem+json, or that there was none (status 0). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly places: FieldProblem[] = [],
    readonly requestId = "",
  ) {
    super(detail || title);
  }
}

export interface Call {
  method?: "GET" | "POST" | "PUT" | "DELETE";
  path: string;
  body?: unknown;
  headers?: Record<string, string>;
  /** A file to send as it is, with its media type. */
  file?: { blob: Blob; type: string; name: string };
}

export interface Answer<Body> {
  body: Body;
  headers: Headers;
}

let language = "en";

/** Choose the language of the service's sentences. */
export function speak(chosen: string): void {
  language = chosen;
}

function options(call: Call): RequestInit {
  const headers: Record<string, string> = { "Accept-Language": language, ...call.headers };
  if (call.file) {
    return { method: call.method ?? "POST", headers: { ...headers, "Content-Type": call.file.type }, body: call.file.blob };
  }
  if (call.body === undefined) return { method: call.method ?? "GET", headers };
  headers["Content-Type"] = "application/json";
  return { method: call.method ?? "POST", headers, body: JSON.stringify(call.body) };
}

async function problemOf(response: Response): Promise<Problem> {
  const told = (await response.json().catch(() => ({}))) as {
    title?: string;
    detail?: string;
    errors?: FieldProblem[];
    request_id?: string;
  };
  const title = told.title ?? `HTTP ${response.status}`;
  return new Problem(response.status, title, told.detail ?? "", told.errors ?? [], told.request_id ?? "");
}

/** Send a request. Throws Problem where the answer is one, or there is none. */
export async function send<Body>(call: Call): Promise<Answer<Body>> {
  let response: Response;
  try {
    response = await fetch(call.path, options(call));
  } catch {
    throw new Problem(0, "unreachable", "");
  }
  if (!response.ok) throw await problemOf(response);
  const type = response.headers.get("Content-Type") ?? "";
  const body = (type.includes("json") ? await response.json() : await response.text()) as Body;
  return { body, headers: response.headers };
}

/** Whether what was asked for is not there (any more). */
export function isGone(problem: unknown): boolean {
  return problem instanceof Problem && problem.status === 404;
}

/** Whether the same may be answered in a moment: nobody answered, or somebody who cannot just now. */
export function isPassing(problem: unknown): boolean {
  return problem instanceof Problem && (problem.status === 0 || problem.status >= 500);
}

/**
 * Do what is asked for again and again: never twice at a time, so that no earlier answer comes after a later one.
 *
 * What is asked for meanwhile is done once more after it. The work itself throws nothing.
 */
export function oneAtATime(work: () => Promise<void>): () => void {
  let isBusy = false;
  let isAsked = false;
  const go = async () => {
    isBusy = true;
    while (isAsked) {
      isAsked = false;
      await work();
    }
    isBusy = false;
  };
  return () => {
    isAsked = true;
    if (!isBusy) void go();
  };
}

export async function get<Body>(path: string): Promise<Body> {
  return (await send<Body>({ path })).body;
}

/** Read every page of a list. */
export async function all<Item>(path: string, most = 2_000): Promise<Item[]> {
  const found: Item[] = [];
  let after = "";
  for (;;) {
    const page = await get<Page<Item>>(`${path}?limit=100${after}`);
    found.push(...page.data);
    if (!page.has_more || found.length >= most) return found;
    after = `&after=${encodeURIComponent(String(page.last_id))}`;
  }
}

export interface JobEvent {
  id: number;
  type: (typeof EVENT_TYPES)[number];
  created_at: string;
  data: { records?: EpochRecord[]; snapshots?: Snapshot[]; attempt?: number; code?: string; message?: string };
}

export const EVENT_TYPES = [
  "queued", "started", "planned", "progress", "epochs", "requeued", "pausing", "paused", "resumed", "cancelling", "succeeded",
  "failed", "cancelled",
] as const;

/** After a refused stream, or a question that nobody answered; as long as browsers wait after a broken stream. */
export const RETRY_MILLISECONDS = 3_000;

export interface Watcher {
  event: (event: JobEvent) => void;
  /** After the last event, or where the job is gone. */
  done: (deleted: boolean) => void;
  /** Whether the stream is open; while it is not, the browser tries again. */
  connected?: (is: boolean) => void;
}

/**
 * Follow a job's events from the first; returns what ends it.
 *
 * The browser resumes a broken stream itself, with Last-Event-ID.
 */
export function watch(jobId: string, watcher: Watcher): () => void {
  const path = `/jobs/${encodeURIComponent(jobId)}`;
  let source: EventSource;
  let ended = false;
  let later = 0;
  const open = () => {
    source = new EventSource(`${path}/events`);
    for (const type of EVENT_TYPES) {
      source.addEventListener(type, (message) => watcher.event(JSON.parse((message as MessageEvent<string>).data)));
    }
    for (const end of ["done", "deleted"]) {
      source.addEventListener(end, () => {
        source.close();
        watcher.done(end === "deleted");
      });
    }
    source.addEventListener("open", () => watcher.connected?.(true));
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) void refused();
      else watcher.connected?.(false);
    });
  };
  /** Browsers take any refusal for the last word: tell a job that is gone from a service that is away. */
  const refused = async () => {
    const gone = await get(path).then(() => false, isGone);
    if (ended) return;
    if (gone) {
      watcher.done(true);
      return;
    }
    watcher.connected?.(false);
    later = window.setTimeout(open, RETRY_MILLISECONDS);
  };
  open();
  return () => {
    ended = true;
    clearTimeout(later);
    source.close();
  };
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Write a request as a command for a POSIX shell. */
export function asCurl(call: Call, origin: string): string {
  const method = call.method ?? (call.body !== undefined || call.file ? "POST" : "GET");
  const parts = ["curl -sS"];
  if (method !== "GET" && !(method === "POST" && (call.body !== undefined || call.file))) parts.push(`-X ${method}`);
  parts.push(quoted(origin + call.path));
  for (const [name, value] of Object.entries(call.headers ?? {})) parts.push(`-H ${quoted(`${name}: ${value}`)}`);
  if (call.file) parts.push(`-H ${quoted(`Content-Type: ${call.file.type}`)} --data-binary ${quoted(`@${call.file.name}`)}`);
  if (call.body !== undefined) {
    parts.push(`-H 'Content-Type: application/json' -d ${quoted(JSON.stringify(call.body))}`);
  }
  return parts.join(" \\\n  ");
}

export function isFinal(status: Status): boolean {
  return status === "succeeded" || status === "failed" || status === "cancelled";
}
