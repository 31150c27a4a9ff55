import assert from "node:assert/strict";
import { test } from "node:test";
import type { Feature, Inputs } from "../src/api";
import {
  confusion, confusions, edited, encode, errors, explained, forward, fromParameters, fromSnapshot, grid, inputNames, inputWidth, padded, ratios, widths,
} from "../src/network";

const XOR = fromParameters([
  { weight: [[-0.5, -0.5], [0.6, 0.6]], bias: [0.7, -0.5], activation: "step" },
  { weight: [[0.5, 0.5]], bias: [-0.7], activation: "step" },
]);

test("the slides' gates compose to XOR", () => {
  assert.deepEqual([...forward(XOR, Float32Array.from([0, 0, 0, 1, 1, 0, 1, 1]))], [0, 1, 1, 0]);
});

test("softmax gives shares that sum to 1, also for large sums", () => {
  const layers = fromParameters([{ weight: [[1000], [1001], [999]], bias: [0, 0, 0], activation: "softmax" }]);
  const shares = [...forward(layers, Float32Array.from([1]))];
  assert.ok(Math.abs(shares.reduce((sum, share) => sum + share, 0) - 1) < 1e-6);
  assert.ok(Math.abs(shares[1]! - 1 / (1 + Math.exp(-1) + Math.exp(-2))) < 1e-6);
});

test("a snapshot is weights by row, then biases, layer by layer", () => {
  const numbers = Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const text = Buffer.from(numbers.buffer).toString("base64");
  const target = { name: "y", task: "binary" as const, classes: [0, 1] };
  const [first, last] = fromSnapshot(text, widths(2, [2], target), "tanh", "binary");
  assert.deepEqual([[...first!.weight], [...first!.bias], first!.activation], [[1, 2, 3, 4], [5, 6], "tanh"]);
  assert.deepEqual([[...last!.weight], [...last!.bias], last!.activation], [[7, 8], [9], "sigmoid"]);
  assert.deepEqual(widths(4, [3], { name: "y", task: "multiclass", classes: ["a", "b", "c"] }), [4, 3, 3]);
});

test("what if: numbers are changed in a copy, weights by input and the bias by none", () => {
  const changed = edited(XOR, [
    { layer: 0, unit: 1, input: 0, value: 9 },
    { layer: 0, unit: 0, input: null, value: -1 },
  ]);
  const rounded = (values: Float32Array) => [...values].map((value) => Number(value.toFixed(3)));
  assert.deepEqual(rounded(changed[0]!.weight), [-0.5, -0.5, 9, 0.6]);
  assert.deepEqual(rounded(changed[0]!.bias), [-1, -0.5]);
  assert.equal(changed[1], XOR[1]);
  assert.deepEqual(rounded(XOR[0]!.weight), [-0.5, -0.5, 0.6, 0.6]);
  assert.deepEqual([...forward(changed, Float32Array.from([0, 0, 1, 0]))], [0, 0]);
});

const FEATURES: Feature[] = [
  { kind: "numeric", name: "size", mean: 2, scale: 4, fill: 2 },
  { kind: "categorical", name: "colour", categories: ["blue", "red"], missing: "place", fill: null },
  { kind: "boolean", name: "new", fill: 0.5 },
  { kind: "categorical", name: "kind", categories: ["a", "b"], missing: "fill", fill: "b" },
];

test("rows are encoded as the service encodes them", () => {
  const rows = encode({ features: FEATURES }, [[6, "red", true, "a"], [null, null, null, null], [2, "green", false, "b"]]);
  assert.deepEqual([...rows], [1, 0, 1, 0, 1, 1, 0, 0, 0, 0, 1, 0.5, 0, 1, 0, 0, 0, 0, 0, 0, 1]);
  assert.equal(inputWidth({ features: FEATURES }), 7);
  assert.deepEqual(inputNames({ features: FEATURES }), ["size", "colour=blue", "colour=red", "colour=?", "new", "kind=a", "kind=b"]);
});

test("a grid begins at the top left and leaves the other features alone", () => {
  const numeric = (name: string): Feature => ({ kind: "numeric", name, mean: 10, scale: 2, fill: null });
  const rows = grid({ features: [numeric("a"), numeric("b"), numeric("c")] }, 0, 2, { low: 0, high: 4 }, { low: 10, high: 14 }, 2);
  assert.deepEqual([...rows], [-4.5, 0, 1.5, -3.5, 0, 1.5, -4.5, 0, 0.5, -3.5, 0, 0.5]);
});

test("derived inputs are of what the features become, also over a grid", () => {
  const inputs: Inputs = {
    features: [FEATURES[1]!, FEATURES[0]!, FEATURES[2]!],
    derived: [{ function: "square", of: ["size"] }, { function: "product", of: ["new", "size"] }, { function: "sine", of: ["size"] }],
  };
  const rows = encode(inputs, [["red", 4, true], ["red", 8, false]]);
  assert.deepEqual([...rows], [0, 1, 0, 0.5, 1, 0.25, 0.5, 1, 0, 1, 0, 1.5, 0, 2.25, 0, -1]);
  assert.deepEqual(inputNames(inputs).slice(-3), ["size²", "new · size", "sin(π size)"]);
  assert.equal(inputWidth(inputs), 8);
  const range = { low: 0, high: 0 };
  const [cell] = [grid(inputs, 1, 2, { low: 4, high: 4 }, { ...range, low: 1, high: 1 }, 1)];
  assert.deepEqual([...cell!], [1, 0, 0, 0.5, 1, 0.25, 0.5, 1]);
});

test("a range has room beside its values, also where they are all the same or none", () => {
  assert.deepEqual(padded([0, 1], 0.5), { low: -0.5, high: 1.5 });
  assert.deepEqual(padded([3, 3], 0.1), { low: 2.9, high: 3.1 });
  assert.deepEqual(padded([NaN]), { low: -1, high: 1 });
});

test("a feature tells as much as its classes' means are apart, or as it is correlated", () => {
  assert.equal(explained([1, 1, 3, 3], ["a", "a", "b", "b"]), 1);
  assert.equal(explained([1, 3, 1, 3], ["a", "a", "b", "b"]), 0);
  assert.equal(explained([0, 1, 1, 2], ["a", "a", "b", "b"]), 0.5);
  assert.equal(explained([5, 5, NaN], ["a", "b", "b"]), 0);
  const numbers = Array.from({ length: 30 }, (_, at) => at);
  assert.ok(Math.abs(explained(numbers, numbers.map((value) => 3 - 2 * value)) - 1) < 1e-9);
});

test("a threshold divides rows as the confusion matrix says", () => {
  const counts = confusion([0.9, 0.4, 0.6, 0.1], [true, true, false, false], 0.5);
  assert.deepEqual(counts, { true_positive: 1, false_negative: 1, false_positive: 1, true_negative: 1 });
  assert.deepEqual(ratios(counts), { accuracy: 0.5, precision: 0.5, recall: 0.5, f1: 0.5 });
  const none = ratios(confusion([0.1], [false], 0.5));
  assert.deepEqual([none.precision, none.recall, none.f1], [null, null, null]);
  assert.deepEqual(confusion([0.5], [true], 0.5).false_negative, 1);
});

test("errors of a regression, and the share of the variance that it explains", () => {
  assert.deepEqual(errors([1, 4, 1], [1, 1, 4]), { mae: 2, rmse: Math.sqrt(6), r2: -2 });
  assert.deepEqual(errors([1, 2], [1, 2]), { mae: 0, rmse: 0, r2: 1 });
  assert.equal(errors([1, 2], [3, 3]).r2, null);
});

test("several classes are counted by actual and largest answer", () => {
  const outputs = Float32Array.from([0.2, 0.5, 0.3, 0.9, 0.05, 0.05]);
  assert.deepEqual(confusions(outputs, [1, 2], 3), [[0, 0, 0], [0, 1, 0], [1, 0, 0]]);
});
