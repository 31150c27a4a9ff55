import assert from "node:assert/strict";
import { test } from "node:test";
import { asCurl } from "../src/api";
import { firstLines, freeName, guessEncoding, nameOf, NAME, uploadCall } from "../src/upload";

const TABLE = "도시,답\n서울,1\n";
const CP949 = [0xb5, 0xb5, 0xbd, 0xc3, 0x2c, 0xb4, 0xe4, 0x0a, 0xbc, 0xad, 0xbf, 0xef, 0x2c, 0x31, 0x0a];

function utf16(text: string, little: boolean, mark: boolean): Blob {
  const units = [...(mark ? [0xfeff] : []), ...Array.from(text, (letter) => letter.charCodeAt(0))];
  return new Blob([new Uint8Array(units.flatMap((unit) => (little ? [unit & 255, unit >> 8] : [unit >> 8, unit & 255])))]);
}

test("a file's name becomes a dataset's", async () => {
  assert.equal(await nameOf("My Table (2).CSV"), "my-table-2");
  assert.equal(await nameOf("학생 성적표(최종) 2024.csv"), "haksaeng-seongjeokpyo-choejong-2024");
  assert.equal(await nameOf("서울.csv".normalize("NFD")), "seoul");
  assert.equal(await nameOf("東京.csv"), "table");
  for (const file of ["한글 2024.csv", `${"x".repeat(200)}.csv`, "_-_.csv", ".csv"]) assert.match(await nameOf(file), NAME);
});

test("the next free name is like the one that is taken", () => {
  assert.equal(freeName("table", []), "table");
  assert.equal(freeName("table", ["table", "table-2"]), "table-3");
  const long = "x".repeat(64);
  assert.match(freeName(long, [long]), NAME);
});

test("the encoding of a file is guessed, and its first lines are read in it", async () => {
  const files = [
    ["utf-8", new Blob([TABLE])],
    ["utf-8", new Blob(["\ufeff", TABLE])],
    ["utf-8", new Blob(["a,b\n".repeat(5_000), TABLE])],
    ["cp949", new Blob([new Uint8Array(CP949)])],
    ["cp949", new Blob(["a,b\n".repeat(50_000), new Uint8Array(CP949)])],
    ["utf-16", utf16(TABLE, true, true)],
    ["utf-16", utf16(TABLE, false, true)],
    ["utf-16", utf16(TABLE, true, false)],
  ] as const;
  for (const [encoding, file] of files) {
    assert.equal(await guessEncoding(file), encoding);
    if (file.size < 100) assert.equal(await firstLines(file, encoding), TABLE.trimEnd());
  }
  assert.equal(await guessEncoding(new Blob([])), "utf-8");
});

test("the first lines of a large file are few and short", async () => {
  const found = await firstLines(new Blob([`${"x".repeat(500)}\n`.repeat(100)]), "utf-8");
  assert.deepEqual(found.split("\n").map((line) => line.length), [121, 121, 121, 121]);
});

test("the copied command names the charset and the dataset", () => {
  const file = new File([], "도시.csv");
  const call = uploadCall({ file, encoding: "cp949", kinds: { 도시: "text" }, name: "cities" });
  const command = asCurl(call, "http://h:1");
  assert.match(command, /name=cities&columns=/);
  assert.match(command, /-H 'Content-Type: text\/csv; charset=cp949' --data-binary '@도시.csv'/);
  assert.equal(uploadCall({ file, encoding: "utf-8", kinds: {}, name: "cities" }).file?.type, "text/csv");
});
