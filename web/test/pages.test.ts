import assert from "node:assert/strict";
import { test } from "node:test";
import { oneAtATime } from "../src/api";
import type { BackpropTrace, Column, Dataset, JobColumns, SweepRow } from "../src/api";
import { answers, positiveSide } from "../src/gates";
import { overlay } from "../src/compare";
import { looksLikeIdentifier } from "../src/data";
import { columnsOf, columnsOfCard, listed } from "../src/facts";
import { cellOf, shareOf } from "../src/models";
import { isOfOthers, setupOf } from "../src/opening";
import { numeral, steps, tex } from "../src/steps";
import { TEXTS } from "../src/texts";
import { cells, goodness, leftOut, measures, numbers, shownMeasure, sweepAddress, unsaid } from "../src/sweep";

test("names of the trace are written as formulas", () => {
  assert.equal(tex("z1"), "z_{1}");
  assert.equal(tex("E_o2"), "E_{o_{2}}");
  assert.equal(tex("∂E/∂z3·∂z3/∂h1"), "\\frac{\\partial E}{\\partial z_{3}} \\cdot \\frac{\\partial z_{3}}{\\partial h_{1}}");
});

test("numbers have the slides' digits, and powers where they are tiny", () => {
  assert.equal(numeral(0.51998934), "0.51998934");
  assert.equal(numeral(0.1 + 0.2), "0.3");
  assert.equal(numeral(-1.5e-9), "-1.5000 \\times 10^{-9}");
  assert.equal(numeral(0), "0");
});

test("one weight and its bias: forward, loss, backward, after", () => {
  const named = (name: string, value: number) => ({ name, value });
  const factors = [named("∂E/∂o1", -1), named("∂o1/∂z1", 1), named("∂z1/∂W1", 2)];
  const trace: BackpropTrace = {
    learning_rate: 0.1,
    inputs: [named("x1", 2)],
    forward: [{ z: [named("z1", 0)], outputs: [named("o1", 0)] }],
    loss: { total: 0.5, terms: [named("E_o1", 0.5)] },
    hidden_gradients: [],
    parameters: [
      { name: "W1", layer: 0, value: -0.5, factors, gradient: -2, updated: -0.3 },
      { name: "b1", layer: 0, value: 1, factors: factors.slice(0, 2), gradient: -1, updated: 1.1 },
    ],
    after: { total: 0.125, terms: [named("E_o1", 0.125)] },
    after_layers: [],
  };
  const request = {
    inputs: [2], targets: [1], learning_rate: 0.1,
    layers: [{ weights: [[-0.5]], biases: [1], activation: "identity" as const }],
  };
  const found = steps(request, trace);
  assert.deepEqual(found.map(({ kind }) => kind), ["sums", "outputs", "loss", "gradients", "after"]);
  assert.equal(found[0]!.formulas[0], "z_{1} = W_{1} x_{1} + b_{1} = (-0.5) \\times 2 + 1 = 0");
  assert.match(found[3]!.formulas[1]!, /= -0\.5 - 0\.1 \\times \(-2\) = -0\.3$/);
  assert.match(found[4]!.formulas.at(-1)!, /0\.5 .* 0\.125$/);
});

test("a perceptron answers 1 above its line, and not on it", () => {
  const and = { w1: 0.5, w2: 0.5, b: -0.7 };
  assert.deepEqual([[0, 0], [0, 1], [1, 0], [1, 1]].map((row) => answers(and, row)), [0, 0, 0, 1]);
  assert.equal(answers({ w1: 0.1, w2: 0.2, b: -0.3 }, [1, 1]), 0);
});

test("the side of a line is a polygon of what is above it", () => {
  const inside = positiveSide({ w1: 1, w2: 0, b: -0.5 });
  assert.deepEqual(inside.map(([x]) => Number(x.toFixed(9))).sort(), [0.5, 0.5, 1.6, 1.6]);
  assert.equal(positiveSide({ w1: 0, w2: 0, b: -1 }).length, 0);
  assert.equal(positiveSide({ w1: 0, w2: 0, b: 1 }).length, 4);
});

test("lines of jobs with other epochs share one axis", () => {
  const found = overlay([[{ epoch: 0, train_loss: 3 }, { epoch: 10, train_loss: 1 }], [{ epoch: 5, train_loss: 2 }]], "train_loss");
  assert.deepEqual(found, { epochs: [0, 5, 10], values: [[3, null, 1], [null, 2, null]] });
});

test("lists of numbers are sorted, each once, without what is none", () => {
  assert.deepEqual(numbers("3, 1 x -2 0.5 1 0"), [0.5, 1, 3]);
  assert.deepEqual(numbers("2 1.5", true), [2]);
  assert.deepEqual(leftOut("3, 1 x -2 0.5 1 0"), ["x", "-2", "0"]);
  assert.deepEqual(leftOut("2 1.5", true), ["1.5"]);
});

test("members of a sweep are grouped by rate and units; the best has the lowest loss", () => {
  const row = (learning_rate: number, units: number, seed: number, converged: boolean, train_loss: number | null) =>
    ({ learning_rate, hidden_layers: [units], seed, converged, train_loss }) as SweepRow;
  const found = cells([row(1, 2, 1, true, 0.2), row(1, 2, 2, false, 0.1), row(3, 2, 1, false, null)], "converged", "accuracy");
  assert.deepEqual(found.map(({ rate, units, value, best }) => [rate, units, value, best.seed]), [[1, 2, 0.5, 2], [3, 2, 0, 1]]);
});

test("a cell shows its best member by the sweep's score, or by what its curves end with", () => {
  const row = (seed: number, numbers: Partial<SweepRow>) =>
    ({ learning_rate: 1, hidden_layers: [2], seed, converged: false, train_loss: 1, valid_loss: null, train_accuracy: null, valid_accuracy: null, score: null, ...numbers }) as SweepRow;
  const best = (rows: SweepRow[], ...told: [Parameters<typeof cells>[1], Parameters<typeof cells>[2]]) => {
    const [cell] = cells(rows, ...told);
    return [cell!.best.seed, cell!.value];
  };
  const rows = [row(1, { score: 0.8, train_loss: 0.1, valid_loss: 0.9 }), row(2, { score: 0.9, train_loss: 0.3, valid_loss: 0.4 }), row(3, { score: null })];
  assert.deepEqual(best(rows, "r2", "r2"), [2, 0.9]);
  assert.deepEqual(best(rows, "loss", "loss"), [1, 0.8]);
  assert.deepEqual(best(rows, "loss", "r2"), [2, 0.4]);
  assert.deepEqual(best([row(1, { train_accuracy: 0.5 }), row(2, { train_accuracy: 0.5, train_loss: 0.2 })], "accuracy", "loss"), [2, 0.5]);
  assert.deepEqual(best([row(3, {})], "r2", "r2"), [3, null]);
});

test("the colour of a share is the share; of a loss, its place between the others", () => {
  const cell = (value: number | null) => ({ value }) as ReturnType<typeof cells>[number];
  const share = goodness([], "r2");
  assert.deepEqual([share(cell(0.3)), share(cell(-4)), share(cell(null))], [0.3, 0, 0]);
  const losses = [0.01, 0.1, 1].map(cell);
  assert.deepEqual(losses.map(goodness(losses, "loss")).map((found) => found.toFixed(6)), ["1.000000", "0.500000", "0.000000"]);
  assert.equal(goodness([cell(0.5)], "loss")(cell(0.5)), 1);
});

test("what the cells show suits the table, and what the sweep has", () => {
  const sweep = (task: string, score: string) => ({ columns: { task }, sweep: { search: { score } } }) as Parameters<typeof shownMeasure>[0];
  assert.deepEqual([measures("binary")[0], measures("regression")[0]], ["converged", "r2"]);
  assert.equal(shownMeasure(sweep("binary", "accuracy"), ""), "converged");
  assert.equal(shownMeasure(sweep("binary", "accuracy"), "loss"), "loss");
  assert.equal(shownMeasure(sweep("binary", "loss"), ""), "loss");
  assert.equal(shownMeasure(sweep("regression", "r2"), "converged"), "r2");
  assert.equal(shownMeasure(sweep("regression", "loss"), "r2"), "loss");
  const old = { columns: null, sweep: { search: { score: "r2" } } } as Parameters<typeof shownMeasure>[0];
  assert.equal(shownMeasure(old, "converged"), "r2");
});

test("a sweep's address says what it was planned with", () => {
  const space = { hidden_layers: [[2], [4]], learning_rate: [0.1, 1], seed: { first: 1, count: 3 } };
  const job = (search: object) =>
    ({ id: "job_1", dataset: "iris", network: { activation: "tanh" }, training: { optimizer: "sgd", epochs: 50, validation_fraction: 0.2 }, sweep: { search } }) as never;
  const told = (search: object) => Object.fromEntries(new URLSearchParams(sweepAddress(job(search)).split("?")[1]));
  const all = { dataset: "iris", rates: "0.1 1", units: "2 4", seeds: "3", epochs: "50", activation: "tanh", validation: "0.2", job: "job_1" };
  assert.deepEqual(told({ space, score: "accuracy" }), all);
  assert.deepEqual(told({ space: { ...space, seed: null }, score: "loss" }), { ...all, seeds: "1", measure: "loss" });
});

test("what the page cannot say of a sweep is named", () => {
  const space = { hidden_layers: [[2], [4]], learning_rate: [0.1, 1], seed: { first: 1, count: 3 }, activation: null, optimizer: ["sgd"], epochs: null, batch_size: null, weight_decay: null };
  const training = {
    optimizer: "sgd", learning_rate: 1, epochs: 50, seed: 777, batch_size: null, weight_decay: 0, l1_penalty: 0,
    validation_fraction: 0.2, test_fraction: 0, early_stopping: null, schedule: { kind: "constant" }, class_weights: null,
  };
  const columns = { target: "d", task: "regression", features: ["a", "b", "c"], derived: [] as object[] };
  const dataset = { name: "mine", target: "d", task: "regression", columns: ["a", "b", "c", "d"].map((name) => ({ name, kind: "numeric" })) } as Dataset;
  const told = (other: { space?: object; training?: object; columns?: object | null; method?: string; folds?: number; dataset?: string } = {}) => {
    const search = { method: other.method ?? "grid", folds: other.folds ?? null, space: { ...space, ...other.space } };
    const job = {
      dataset: other.dataset ?? "mine", network: { hidden_layers: [], activation: "tanh" }, training: { ...training, ...other.training },
      columns: other.columns === null ? null : { ...columns, ...other.columns }, sweep: { search },
    };
    return unsaid(job as never, dataset, TEXTS.en);
  };
  assert.deepEqual([told(), told({ columns: null }), told({ space: { seed: [1, 2] } })], [[], [], []]);
  assert.deepEqual(told({ columns: { target: "a", features: ["b", "d"], derived: [{ function: "square", of: ["b"] }] } }), ["Target", "Features", "More inputs"]);
  assert.deepEqual(told({ columns: { task: "multiclass" } }), ["Target"]);
  assert.deepEqual(told({ space: { learning_rate: { low: 0.1, high: 1 }, hidden_layers: [[2], [2, 2]], seed: null }, method: "random" }), ["Learning rates", "Hidden units", "Seeds per cell", "Search method"]);
  assert.deepEqual(told({ space: { hidden_layers: null, seed: { first: 0, count: 2 } } }), ["Hidden units", "Seeds per cell"]);
  assert.deepEqual(told({ space: { optimizer: ["sgd", "adam"], activation: ["relu"], epochs: [10], batch_size: [null, 8], weight_decay: { low: 0.1, high: 0.2 } } }), ["Epochs", "Activation", "Optimizer", "Batch size", "L2 (weight decay)"]);
  assert.deepEqual(
    told({ training: { batch_size: 4, weight_decay: 0.1, l1_penalty: 0.1, test_fraction: 0.1, early_stopping: { patience: 5 }, schedule: { kind: "cosine" }, class_weights: "balanced" }, folds: 3, dataset: "inline" }),
    ["Dataset", "Test rows", "Batch size", "L2 (weight decay)", "L1 (towards 0)", "Early stopping", "Schedule of the learning rate", "Class weights", "Cross-validation"],
  );
});

test("a job and a card name what is learned from what", () => {
  const derived = [{ function: "product" as const, of: ["a", "b"] }];
  const facts = [["Target", "y (a number)"], ["Features", "a, b"], ["More inputs", "a · b"]];
  assert.deepEqual(columnsOf({ target: "y", task: "regression", features: ["a", "b"], derived }, TEXTS.en), facts);
  const features = ["a", "b"].map((name) => ({ kind: "boolean" as const, name, fill: null }));
  const card = { preprocessing: { features, derived, target: { name: "y", task: "regression" as const, classes: null } } };
  assert.deepEqual(columnsOf(columnsOfCard(card), TEXTS.en), facts);
  assert.deepEqual(columnsOf(columnsOfCard({ preprocessing: null }), TEXTS.en), []);
  assert.equal(listed(["a", "b", "c"], TEXTS.en, 2), "a, b, + 1 more");
});

test("a job is opened with what it was trained with", () => {
  const training = { optimizer: "adam", learning_rate: 0.2, weight_decay: 0, l1_penalty: 0.5, epochs: 7, batch_size: 4, seed: 9, validation_fraction: 0.3, record_every: null, early_stopping: { patience: 3 } };
  const job = { id: "job_1", dataset: "iris", network: { hidden_layers: [5], activation: "relu" }, training } as never;
  const setup = setupOf(job, null);
  assert.equal(isOfOthers(setup, job), false);
  assert.equal(isOfOthers({ ...setup, rate: 2 * setup.rate }, job), true);
  assert.equal(isOfOthers({ ...setup, layers: [5, 5] }, job), true);
  assert.equal(isOfOthers({ ...setup, dataset: "wine" }, job), true);
  assert.equal(setup.l1, 0.5);
  assert.deepEqual([setup.dataset, setup.layers, setup.activation, setup.rate, setup.batch, setup.patience, setup.job], ["iris", [5], "relu", 0.2, 4, 3, "job_1"]);
});

test("a job is opened with its target, without what it left out, and with what was derived", () => {
  const job = (columns: JobColumns) =>
    ({ id: "job_1", dataset: "mine", network: { hidden_layers: [], activation: "tanh" }, training: {}, columns }) as never;
  const columns = ["a", "b", "c", "d"].map((name) => ({ name, kind: "numeric" }));
  const dataset = { target: "d", columns: [...columns, { name: "free", kind: "text" }] } as Dataset;
  const derived = [{ function: "square" as const, of: ["a"] }];
  const task = "regression" as const;
  const other = setupOf(job({ target: "b", task, features: ["a", "d"], derived }), dataset);
  assert.deepEqual([other.target, other.without, other.derived], ["b", ["c"], derived]);
  const usual = setupOf(job({ target: "d", task, features: ["a", "b", "c"], derived: [] }), dataset);
  assert.deepEqual([usual.target, usual.without, usual.derived], ["", [], []]);
});

test("a column that names the rows is noticed", () => {
  const column = { name: "id", kind: "categorical", distinct: 20, missing: 0, minimum: null, maximum: null } as Column;
  assert.equal(looksLikeIdentifier(column, 20), true);
  assert.equal(looksLikeIdentifier({ ...column, distinct: 19 }, 20), false);
  assert.equal(looksLikeIdentifier({ ...column, distinct: 4 }, 4), false);
  const numbers = { ...column, kind: "numeric", minimum: 1, maximum: 20 } as Column;
  assert.equal(looksLikeIdentifier(numbers, 20), true);
  assert.equal(looksLikeIdentifier({ ...numbers, maximum: 27.5 }, 20), false);
  assert.equal(looksLikeIdentifier({ ...numbers, minimum: 0.5, maximum: 19.5 }, 20), false);
});

test("a version's share of an alias is its weight over all of them", () => {
  assert.equal(shareOf({ version: 2, split: null }, 2), 1);
  assert.equal(shareOf({ version: 2, split: [{ version: 2, weight: 3 }, { version: 1, weight: 1 }] }, 1), 0.25);
  assert.equal(shareOf({ version: 2, split: null }, 1), 0);
});

test("fields of a form become values as the service takes them", () => {
  const numeric = { kind: "numeric", name: "x", mean: 0, scale: 1, fill: null } as const;
  assert.equal(cellOf(numeric, "1.5"), 1.5);
  assert.equal(cellOf(numeric, "wide"), "wide");
  assert.equal(cellOf(numeric, ""), null);
  assert.equal(cellOf({ kind: "boolean", name: "b", fill: null }, "true"), true);
});

test("what is asked for while it is done is done once more, and never beside it", async () => {
  const told: string[] = [];
  const ends: (() => void)[] = [];
  const ask = oneAtATime(async () => {
    told.push("begun");
    await new Promise<void>((end) => ends.push(end));
    told.push("ended");
  });
  const turn = () => new Promise((done) => setImmediate(done));
  ask();
  ask();
  ask();
  assert.deepEqual(told, ["begun"]);
  ends.shift()!();
  await turn();
  assert.deepEqual(told, ["begun", "ended", "begun"]);
  ends.shift()!();
  await turn();
  assert.deepEqual(told, ["begun", "ended", "begun", "ended"]);
  ask();
  await turn();
  assert.deepEqual(told, ["begun", "ended", "begun", "ended", "begun"]);
});
