import assert from "node:assert/strict";
import { test } from "node:test";
import { asCurl } from "../src/api";
import { parseAddress } from "../src/shell";
import { TEXTS } from "../src/texts";

test("an address names a page, what is below it, and parameters", () => {
  const { page, rest, parameters } = parseAddress("#/models/my%20model/2?tab=card");
  assert.deepEqual([page, rest, parameters.get("tab")], ["models", ["my model", "2"], "card"]);
  assert.equal(parseAddress("").page, "playground");
});

test("an address that is cut in the middle of a letter is taken as it stands", () => {
  assert.deepEqual(parseAddress("#/models/%ED%95/50%").rest, ["%ED%95", "50%"]);
});

test("a request becomes a command whose quotes a shell undoes", () => {
  const command = asCurl({ path: "/predict", body: { model: "it's" } }, "http://h:1");
  assert.equal(
    command,
    `curl -sS \\\n  'http://h:1/predict' \\\n  -H 'Content-Type: application/json' -d '{"model":"it'\\''s"}'`,
  );
  assert.match(asCurl({ method: "POST", path: "/jobs/1/cancel" }, ""), /-X POST/);
  assert.match(asCurl({ method: "DELETE", path: "/x", headers: { "If-Match": '"a"' } }, ""), /-X DELETE .*\n.*\n.*If-Match: "a"/);
});

test("every sentence is there in both languages, and none is left untranslated", () => {
  const same = new Set(["f1", "sum"]);
  for (const [name, english] of Object.entries(TEXTS.en)) {
    const korean = TEXTS.ko[name as keyof typeof TEXTS.ko];
    assert.equal(typeof korean, typeof english, name);
    if (typeof english === "string" && !same.has(name)) assert.notEqual(korean, english, name);
  }
});
