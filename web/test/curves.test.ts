import assert from "node:assert/strict";
import { test } from "node:test";
import { logLabel, logSplits } from "../src/curves";

function check(low: number, high: number): number[] {
  const found = logSplits(low, high);
  assert.ok(found.length >= 3 && found.length <= 6, `${low} to ${high}: ${found}`);
  assert.ok(found.every((value) => value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)), `${low} to ${high}: ${found}`);
  assert.equal(new Set(found.map(logLabel)).size, found.length, `${low} to ${high}: ${found.map(logLabel)}`);
  return found;
}

test("a logarithmic axis has three to six labels over any number of decades", () => {
  for (let low = -300; low <= 10; low += 3) {
    for (let high = low + 2; high <= Math.min(low + 320, 300); high++) {
      const powers = check(Number(`1e${low}`), Number(`1e${high}`)).map(Math.log10);
      const steps = new Set(powers.slice(1).map((power, at) => Math.round(power - powers[at]!)));
      assert.equal(steps.size, 1, `1e${low} to 1e${high}`);
    }
  }
});

test("a logarithmic axis of less than two decades has them, too", () => {
  for (let at = 0; at < 3_000; at++) {
    const low = 10 ** (((at * 0.618034) % 1) * 12 - 8);
    check(low, low * 10 ** (0.02 + ((at * 0.414214) % 1) * 3));
  }
});

test("labels are powers of ten as people write them", () => {
  assert.deepEqual(logSplits(1e-30, 1).map(logLabel), ["1e-30", "1e-24", "1e-18", "1e-12", "1e-6", "1"]);
  assert.deepEqual(logSplits(3e4, 2e36).map(logLabel), ["1e6", "1e12", "1e18", "1e24", "1e30", "1e36"]);
  assert.deepEqual(logSplits(1e-4, 1).map(logLabel), ["1e-4", "0.001", "0.01", "0.1", "1"]);
  assert.deepEqual(logSplits(0.1, 1).map(logLabel), ["0.1", "0.3", "1"]);
  assert.deepEqual(logSplits(0.641, 0.699).map(logLabel), ["0.65", "0.66", "0.67", "0.68", "0.69"]);
});
