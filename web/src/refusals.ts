/** The service's sentences about what it refused, or what failed, in Korean; it says them in English. */

/**
 * The English sentence, and the Korean one. `{name}` stands for what differs, `'{name}'` for what the
 * service quotes; `{why}` is a sentence of its own.
 */
const KOREAN: readonly (readonly [string, string])[] = [
  // files
  ["the table is empty", "표가 비어 있습니다"],
  ["the table has no rows", "표에 행이 없습니다"],
  ["the table is not {charset}", "표가 {charset}이(가) 아닙니다"],
  ["the table cannot be read as CSV: a line of names, then a line of values for each row", "표를 CSV로 읽을 수 없습니다. 첫 줄에 열 이름, 그다음 줄마다 한 행의 값이 있어야 합니다"],
  ["line {line} is not {charset}: {reason} at byte {byte}", "{line}번째 줄({byte}번째 바이트)이 {charset} 인코딩이 아닙니다. 파일의 인코딩을 고르세요"],
  ["the charset '{name}' is unknown: utf-8, cp949 and utf-16 are some of those", "“{name}”은(는) 모르는 인코딩입니다"],
  ["line {line} has {found} values, the first line {width}", "{line}번째 줄의 값은 {found}개인데 첫 줄은 {width}개입니다"],
  ["lines end in a carriage return: a line feed is needed", "줄이 CR로 끝납니다. 줄바꿈(LF)이 필요합니다"],
  ["column {number} has no name", "{number}번째 열에 이름이 없습니다"],
  ["two columns are called '{name}'", "이름이 “{name}”인 열이 둘입니다"],
  ["the name of column {number} has more than {most} characters", "{number}번째 열의 이름이 {most}자보다 깁니다"],
  ["the column '{name}' cannot be numeric: it holds more than numbers", "열 “{name}”: 수가 아닌 값이 있어 수로 읽을 수 없습니다"],
  ["the column '{name}' cannot be boolean: it holds more than true and false", "열 “{name}”: 참과 거짓이 아닌 값이 있어 예/아니요로 읽을 수 없습니다"],
  ["the column '{name}' has a NUL character", "열 “{name}”: NUL 문자가 있습니다"],
  ["row {row} of the column '{name}' is infinite", "열 “{name}”의 {row}번째 행이 무한대입니다"],
  ["more than {most} columns", "열이 {most}개보다 많습니다"],
  ["more than {most} rows", "행이 {most}개보다 많습니다"],
  ["more than {most} bytes of values", "값이 {most}바이트보다 큽니다"],
  ["the body is larger than {most} bytes", "보낸 것이 {most}바이트보다 큽니다"],
  ["reading the table takes {why}: send a smaller one", "표를 읽는 데 시간이나 메모리가 너무 많이 듭니다. 더 작은 표를 보내세요"],
  ["'{name}' stands for rows in a job: choose another name", "“{name}”은(는) 쓸 수 없는 이름입니다. 다른 이름을 고르세요"],
  ["'{name}' is a built-in dataset: choose another name", "“{name}”은(는) 기본 제공 데이터셋입니다. 다른 이름을 고르세요"],
  ["There is a dataset by that name: delete it, or choose another name.", "그 이름의 데이터셋이 이미 있습니다. 지우거나 다른 이름을 고르세요"],
  ["Built-in datasets cannot be changed.", "기본 제공 데이터셋은 바꿀 수 없습니다"],
  // what a training is asked for
  ["there is no dataset '{name}': see GET /datasets", "데이터셋 “{name}”이(가) 없습니다"],
  ["there is no column '{name}'", "열 “{name}”이(가) 없습니다"],
  ["there is no column to predict '{name}' from", "“{name}”을(를) 예측할 다른 열이 없습니다"],
  ["rows with a value of '{name}': {known}, and at least 2 are needed", "“{name}”의 값이 있는 행이 {known}개입니다. 적어도 둘이 필요합니다"],
  ["'{name}' holds free text: it cannot be learned", "“{name}”은(는) 글이어서 타깃이 될 수 없습니다"],
  ["'{name}' holds free text: it can be no feature", "“{name}”은(는) 글이어서 특성이 될 수 없습니다"],
  ["every row of '{name}' is the same: nothing to learn", "“{name}”은(는) 모든 행이 같아 배울 것이 없습니다"],
  ["every row of '{name}' is {only}: nothing to learn", "“{name}”은(는) 모든 행이 {only}이어서 배울 것이 없습니다"],
  ["'{name}' has {classes} classes in {rows} rows: at most half as many as rows, and {most}, can be learned", "“{name}”: {rows}행에 클래스가 {classes}개입니다. 클래스는 행 수의 절반과 {most}개를 넘을 수 없습니다"],
  ["'{name}' has {classes} classes in {rows} rows: at most half as many as rows, and {most}, can be learned; a regression may suit it", "“{name}”: {rows}행에 클래스가 {classes}개입니다. 클래스는 행 수의 절반과 {most}개를 넘을 수 없습니다. 회귀가 어울릴 수 있습니다"],
  ["no row has a value of '{name}': leave it out of `features`", "“{name}”은(는) 값이 하나도 없습니다. 특성에서 빼세요"],
  ["no training row has a value of '{name}': leave it out", "“{name}”은(는) 학습 행에 값이 하나도 없습니다. 특성에서 빼세요"],
  ["'{name}' is the target", "“{name}”은(는) 타깃입니다"],
  ["'{name}' is no feature", "“{name}”은(는) 특성이 아닙니다"],
  ["'{name}' is categorical: no number", "“{name}”은(는) 범주여서 수로 셈할 수 없습니다"],
  ["row {row}: '{name}' is beyond the range of 32-bit floats (±3.4e38)", "{row}번째 행: “{name}”의 수가 32비트 부동소수점 범위(±3.4e38)를 벗어납니다"],
  ["row {row}: the target is beyond the range of 32-bit floats (±3.4e38)", "{row}번째 행: 타깃이 32비트 부동소수점 범위(±3.4e38)를 벗어납니다"],
  ["{fraction} of {rows} rows leaves no row for {part}", "{rows}행의 {fraction} 몫으로는 남는 행이 없는 쪽이 생깁니다"],
  ["needs a validation_fraction over 0", "조기 종료에는 검증 행이 있어야 합니다"],
  ["{count} weights and biases; at most {most} are allowed", "가중치와 편향이 {count}개입니다. {most}개까지 됩니다"],
  ["{count} weights and biases in all records; at most {most}", "모든 기록의 가중치와 편향이 {count}개입니다. {most}개까지 됩니다"],
  ["a step of {rows} rows through {units} units is too large: at most {most} outputs; set a smaller batch size", "{rows}행이 뉴런 {units}개를 한 번에 지나기에는 너무 큽니다(출력 {most}개까지). 배치 크기를 줄이세요"],
  ["{epochs} epochs recorded every {interval} make more than {most} records", "{epochs} 에포크를 {interval}마다 기록하면 기록이 {most}개를 넘습니다"],
  ["{count} trainings; at most {most} are allowed", "학습이 {count}번입니다. {most}번까지 됩니다"],
  ["'{name}' is a built-in model: choose another name", "“{name}”은(는) 기본 제공 모델입니다. 다른 이름을 고르세요"],
  ["has fewer rows than classes", "행이 클래스보다 적습니다"],
  // predictions
  ["the feature '{name}' {why}", "특성 “{name}”: {why}"],
  ["row {row}: '{name}' {why}", "{row}번째 행의 “{name}”: {why}"],
  ["is missing", "값이 없습니다"],
  ["is the text '{text}': a number is needed", "“{text}”은(는) 수가 아닙니다"],
  ["is {value}: a number is needed", "{value}은(는) 수가 아닙니다"],
  ["is {value}: true or false is needed", "{value}은(는) 참이나 거짓이 아닙니다"],
  ["is '{text}', which training has not seen", "“{text}”은(는) 학습할 때 없던 범주입니다"],
  // what is not there, or stands against it
  ["there is no job '{name}'", "작업 “{name}”이(가) 없습니다"],
  ["there is no model '{name}'", "모델 “{name}”이(가) 없습니다"],
  ["there is no version '{name}'", "버전 “{name}”이(가) 없습니다"],
  ["there is no alias '{name}'", "별칭 “{name}”이(가) 없습니다"],
  ["there is no dataset '{name}'", "데이터셋 “{name}”이(가) 없습니다"],
  ["there is no dataset '{name}' any more", "데이터셋 “{name}”이(가) 지워졌습니다"],
  ["the dataset '{name}' is another one by now", "데이터셋 “{name}”이(가) 그사이 다른 것으로 바뀌었습니다"],
  ["the dataset '{name}' is too large to be told row by row", "데이터셋 “{name}”이(가) 너무 커서 행을 하나씩 보여 줄 수 없습니다"],
  ["Built-in models cannot be changed.", "기본 제공 모델은 바꿀 수 없습니다"],
  ["`latest` always points at the newest version", "latest는 언제나 가장 새 버전을 가리킵니다. 다른 이름을 고르세요"],
  ["the job has {status} already", "작업이 이미 끝났습니다"],
  ["the job is being cancelled", "작업을 취소하는 중입니다"],
  ["The alias exists: send its ETag in If-Match to move or delete it.", "그 별칭은 이미 있습니다. 다시 확인하세요"],
  ["The alias has moved since, or there is none: read it again.", "그동안 별칭이 옮겨졌거나 지워졌습니다. 다시 확인하세요"],
  ["the database does not answer: try again", "데이터베이스가 응답하지 않습니다. 다시 시도하세요"],
  ["other tables are being read: try again", "다른 표를 읽는 중입니다. 다시 시도하세요"],
  ["too much is under way at the same time: try again", "한꺼번에 너무 많은 일을 하고 있습니다. 다시 시도하세요"],
  ["The service has no room for the request's files; nothing was stored: try again later.", "서비스의 디스크에 자리가 없어 저장하지 못했습니다. 나중에 다시 시도하세요"],
  // how jobs fail
  ["the loss is not finite at epoch {epoch}: lower the learning rate", "에포크 {epoch}에서 손실이 수가 아니게 되었습니다. 학습률을 낮추세요"],
  ["no network of the sweep has a finite loss: lower the learning rates", "탐색한 신경망의 손실이 모두 수가 아니게 되었습니다. 학습률을 낮추세요"],
  ["the job ran for more than {seconds} seconds", "작업이 {seconds}초보다 오래 걸려 멈췄습니다"],
  ["its worker was lost {times} times", "작업을 하던 워커가 {times}번 사라졌습니다"],
  ["this worker has no CUDA device: ask for `cpu` or `auto`", "이 워커에는 CUDA 장치가 없습니다. cpu나 auto를 고르세요"],
  // numbers, texts and lists that do not fit
  ["Input should be a valid number", "수가 필요합니다"],
  ["Input should be a valid integer", "정수가 필요합니다"],
  ["Input should be a finite number", "유한한 수가 필요합니다"],
  ["Input should be greater than or equal to {least}", "{least} 이상이어야 합니다"],
  ["Input should be greater than {least}", "{least}보다 커야 합니다"],
  ["Input should be less than or equal to {most}", "{most} 이하여야 합니다"],
  ["Input should be less than {most}", "{most}보다 작아야 합니다"],
  ["String should match pattern '^[a-z][a-z0-9_-]{0,31}$'", "영어 소문자로 시작하고 소문자, 숫자, -, _만 32자까지 쓸 수 있습니다"],
  ["String should match pattern '^[a-z0-9][a-z0-9_-]{0,63}$'", "영어 소문자나 숫자로 시작하고 소문자, 숫자, -, _만 64자까지 쓸 수 있습니다"],
  ["String should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'", "영어 글자나 숫자로 시작하고 글자, 숫자, ., -, _만 64자까지 쓸 수 있습니다"],
  ["String should match pattern '{pattern}'", "쓸 수 없는 글자가 있거나 너무 깁니다. 규칙: {pattern}"],
  ["String should have at least {least} character", "비워 둘 수 없습니다"],
  ["String should have at most {most} characters", "{most}자까지 됩니다"],
  ["Array should have at least {least} item after validation, not {found}", "적어도 {least}개가 필요합니다"],
  ["Array should have at most {most} items after validation, not {found}", "{most}개까지 됩니다"],
  ["Field required", "꼭 있어야 합니다"],
  ["repeats", "되풀이됩니다"],
];

export const TRANSLATED = KOREAN.map(([english]) => english);

const PLACE = /'\{(\w+)\}'|\{(\w+)\}/g;

/** A sentence's pattern: what is quoted stands in quotation marks of either kind. */
function patternOf(english: string): RegExp {
  let source = "";
  let end = 0;
  for (const found of english.matchAll(PLACE)) {
    source += escaped(english.slice(end, found.index)) + (found[1] ? `['"](?<${found[1]}>.*?)['"]` : `(?<${found[2]}>.+?)`);
    end = found.index + found[0].length;
  }
  return new RegExp(`^${source}${escaped(english.slice(end))}$`, "su");
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
}

let patterns: [RegExp, string][] | null = null;

/** Say a sentence of the service in Korean; one that is not known stays as it is. */
export function inKorean(sentence: string): string {
  patterns ??= KOREAN.map(([english, korean]) => [patternOf(english), korean]);
  for (const [pattern, korean] of patterns) {
    const found = pattern.exec(sentence);
    if (!found) continue;
    return korean.replace(/\{(\w+)\}/g, (_, name: string) => {
      const value = found.groups?.[name] ?? "";
      return name === "why" ? inKorean(value) : value;
    });
  }
  return sentence;
}
