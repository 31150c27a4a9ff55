import assert from "node:assert/strict";
import { test } from "node:test";
import { best, follow, stopwatch } from "../src/run";
import { DEFAULTS, fromDatasetName, fromParameters, recordEvery, recordsWeights, sampleName, type Setup, toAddress, trainCall, unreadDerived } from "../src/setup";
import { parseAddress } from "../src/shell";

const OTHER: Setup = {
  dataset: "",
  sample: { kind: "spirals", rows: 300, noise: 0.05, classes: 3, seed: 4 },
  target: "the label",
  without: ["a b", "c&d", "e~f"],
  derived: [{ function: "square", of: ["a/b"] }, { function: "product", of: ["x%2F1", "x 2"] }, { function: "product", of: ["*a.", ".b*"] }, { function: "sine", of: ["열\n1"] }],
  layers: [8, 4, 2],
  activation: "relu",
  optimizer: "sgd",
  rate: 0.5,
  epochs: 10_001,
  batch: 16,
  seed: 0,
  validation: 0.2,
  decay: 0.01,
  l1: 0.002,
  patience: 50,
  model: "my-model",
  x: "x2",
  y: "x1",
  hard: true,
  unseen: ["validation"],
  log: false,
  job: "job_1",
};

const read = (address: string) => fromParameters(parseAddress(address).parameters);

test("everything that is set comes back from the address", () => {
  assert.deepEqual(read(toAddress(OTHER)), OTHER);
  assert.deepEqual(read(toAddress(DEFAULTS)), DEFAULTS);
  assert.equal(toAddress(DEFAULTS), "#/playground");
  assert.deepEqual(read(toAddress({ ...DEFAULTS, layers: [] })).layers, []);
});

test("derived inputs are spelled so that people can read them; an older spelling is understood", () => {
  const derived = [{ function: "product" as const, of: ["sepal.length", "petal width"] }, { function: "square" as const, of: ["x1"] }];
  const address = toAddress({ ...DEFAULTS, derived });
  assert.equal(address, "#/playground?derived=product.sepal*.length.petal+width&derived=square.x1");
  assert.deepEqual(read(address).derived, derived);
  assert.deepEqual(read("#/playground?derived=product%2Fsepal.length%2Fpetal%2520width&derived=square/x1").derived, derived);
});

test("what an address says of derived inputs and is none is told", () => {
  const { parameters } = parseAddress("#/playground?derived=cube.x&derived=square&derived=square.x1&derived=product.a.a&derived=square/x1&derived=square.x1&derived=product.b.a&derived=product.a.b");
  assert.deepEqual(unreadDerived(parameters), ["cube.x", "square", "product.a.a"]);
  assert.deepEqual(fromParameters(parameters).derived, [{ function: "square", of: ["x1"] }, { function: "product", of: ["b", "a"] }]);
});

test("an address that nobody wrote is read as the defaults", () => {
  const odd = read("#/playground?layers=0-x-5&rate=-1&epochs=1e9&activation=magic&data=moons~x~-1~9~~&validation=2&batch=0&derived=cube/x&derived=square&derived=product/a/a&derived=square/%25");
  assert.deepEqual(odd.layers, [4, 4, 5]);
  assert.equal(odd.rate, DEFAULTS.rate);
  assert.equal(odd.epochs, DEFAULTS.epochs);
  assert.equal(odd.activation, DEFAULTS.activation);
  assert.equal(odd.validation, 0);
  assert.deepEqual(odd.derived, [{ function: "square", of: ["%"] }]);
  assert.deepEqual(odd.sample, { ...DEFAULTS.sample, kind: "moons" });
});

test("the same draw has the same name, which a dataset may have", () => {
  for (const noise of [0, 0.1, 1e-7, 10]) {
    assert.match(sampleName({ ...OTHER.sample, noise }), /^[a-z0-9][a-z0-9_-]{0,63}$/);
  }
  assert.notEqual(sampleName(OTHER.sample), sampleName({ ...OTHER.sample, noise: 0.06 }));
});

test("a sample is known again by its name, and only by that", () => {
  for (const noise of [0, 0.1, 1e-7, 10]) {
    const sample = { ...OTHER.sample, noise };
    assert.deepEqual(fromDatasetName(sampleName(sample)), { dataset: "", sample });
  }
  for (const name of ["iris", "moons-200", "moons-1-n0_1-c2-s0"]) assert.equal(fromDatasetName(name).dataset, name);
});

test("a job is asked for what is set, and nothing else", () => {
  const { body } = trainCall(OTHER, ["x1"], [{ function: "sine", of: ["x1"] }], true) as { body: Record<string, unknown> };
  assert.deepEqual(body, {
    dataset: "spirals-300-n0_05-c3-s4",
    target: "the label",
    features: ["x1"],
    preprocessing: { derived: [{ function: "sine", of: ["x1"] }] },
    network: { hidden_layers: [8, 4, 2], activation: "relu" },
    training: {
      optimizer: "sgd", learning_rate: 0.5, epochs: 10_001, seed: 0, record_every: 50, record_weights: true,
      batch_size: 16, validation_fraction: 0.2, weight_decay: 0.01, l1_penalty: 0.002, early_stopping: { patience: 50 },
    },
    model: "my-model",
  });
});

test("weights are recorded while they are few", () => {
  assert.equal(recordEvery(10_001), 50);
  assert.equal(recordEvery(10), 1);
  assert.equal(recordsWeights(OTHER, 2, 1), true);
  assert.equal(recordsWeights({ ...OTHER, layers: [500, 500] }, 2, 1), false);
});

test("records of a later attempt stand for earlier ones", () => {
  const at = (epoch: number, train_loss = 1) => ({ epoch, train_loss });
  assert.deepEqual(follow([at(0), at(5), at(10)], [at(5, 2), at(10, 2)]), [at(0), at(5, 2), at(10, 2)]);
  assert.deepEqual(follow([at(0)], []), [at(0)]);
});

test("the best record is that of the lowest validation loss, where there is one", () => {
  const records = [{ epoch: 0, train_loss: 3, valid_loss: 1 }, { epoch: 1, train_loss: 1, valid_loss: 2 }];
  assert.deepEqual(best(records), { epoch: 0, of: "validation" });
  assert.deepEqual(best(records.map(({ epoch, train_loss }) => ({ epoch, train_loss }))), { epoch: 1, of: "training" });
  assert.equal(best([]), null);
});

test("a job's time is that of its attempts, without its pauses, however often its events are told", () => {
  const told = ([
    ["queued", 0], ["started", 2], ["epochs", 5], ["pausing", 6], ["paused", 7], ["resumed", 100], ["started", 101], ["epochs", 103],
    ["requeued", 104], ["started", 110], ["epochs", 111], ["succeeded", 112],
  ] as const).map(([type, at], place) => ({ id: place + 1, type, created_at: new Date(at * 1_000).toISOString() }));
  const time = stopwatch();
  assert.deepEqual(told.map(time), [null, 0, 3, 4, 5, 5, 5, 7, 8, 8, 9, 10]);
  assert.deepEqual(told.map(time), told.map(() => 10));
});
