import assert from "node:assert/strict";
import { test } from "node:test";
import { inKorean, TRANSLATED } from "../src/refusals";

test("a sentence of the service is said in Korean, with what it names", () => {
  assert.equal(inKorean("the table is empty"), "표가 비어 있습니다");
  assert.equal(inKorean("line 3 has 2 values, the first line 4"), "3번째 줄의 값은 2개인데 첫 줄은 4개입니다");
  assert.equal(inKorean("there is no column 'a+b (cm)'"), "열 “a+b (cm)”이(가) 없습니다");
  assert.equal(inKorean(`two columns are called "it's"`), "이름이 “it's”인 열이 둘입니다");
  assert.equal(inKorean("Input should be less than or equal to 1000"), "1000 이하여야 합니다");
});

test("a reason within a sentence is said in Korean too", () => {
  assert.equal(inKorean("the feature 'age' is the text 'old': a number is needed"), "특성 “age”: “old”은(는) 수가 아닙니다");
  assert.equal(inKorean("row 2: 'city' is missing"), "2번째 행의 “city”: 값이 없습니다");
});

test("what is not known stays as it is", () => {
  assert.equal(inKorean("the table is empty, or nearly"), "the table is empty, or nearly");
});

test("each sentence has a pattern of its own", () => {
  assert.equal(new Set(TRANSLATED).size, TRANSLATED.length);
  for (const english of TRANSLATED) {
    const said = english.replace(/'\{\w+\}'/g, "'x'").replaceAll("{why}", "is missing").replace(/\{\w+\}/g, "7");
    const korean = inKorean(said);
    assert.match(korean, /\p{Script=Hangul}/u, english);
    assert.doesNotMatch(korean, /[{}]/, english);
  }
});
