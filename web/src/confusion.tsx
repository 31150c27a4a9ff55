/** What was taken for what: with two classes along a threshold, with several as a matrix, or errors. */

import { useMemo, useState } from "preact/hooks";
import type { JobRows, Part } from "./api";
import { short } from "./curves";
import { Choice } from "./fields";
import { clipped, confusion, confusions, encode, errors, forward, type Layer, ratios, spelled } from "./network";
import { useTexts } from "./shell";

interface Props {
  rows: JobRows;
  layers: Layer[] | null;
  /** Turns a regression's output into the target's unit. */
  told: (output: number) => number;
  /** Whether the layers were changed after the training. */
  isWhatIf: boolean;
  threshold: number;
  onThreshold: (threshold: number) => void;
}

export function Confusion({ rows, layers, told, isWhatIf, threshold, onThreshold }: Props) {
  const texts = useTexts();
  const [chosen, setPart] = useState<Part>("train");
  const parts = (["train", "validation", "test"] as Part[]).filter((part) => rows.data.some((row) => row.part === part));
  const part = parts.includes(chosen) ? chosen : "train";
  const { target } = rows.preprocessing;
  const own = useMemo(() => rows.data.filter((row) => row.part === part), [rows, part]);
  const encoded = useMemo(() => encode(rows.preprocessing, own.map((row) => row.inputs)), [rows, own]);
  const outputs = useMemo(() => (layers ? forward(layers, encoded) : null), [layers, encoded]);
  if (!outputs) return null;
  const names: Record<Part, string> = { train: texts.trainPoints, validation: texts.validPoints, test: texts.testPoints };
  const head = (
    <div class="row between">
      <h2 id="confusion-title">{target.task === "regression" ? texts.metrics : texts.confusion}{isWhatIf && <> <span class="badge">{texts.whatIf}</span></>}</h2>
      {parts.length > 1 && <Choice label={texts.part} value={part} among={parts.map((one) => [one, names[one]] as const)} onChoose={setPart} />}
    </div>
  );
  const label = (value: unknown) => (target.classes ?? []).findIndex((one) => one === value);
  const shown = rows.data.length < rows.rows && <p class="small soft">{texts.firstRows(rows.data.length, rows.rows)}</p>;
  return (
    <section class="card" aria-labelledby="confusion-title">
      {head}
      {target.task === "binary" && (
        <Binary probabilities={outputs} positive={own.map((row) => label(row.target) === 1)} classes={(target.classes ?? [0, 1]).map(spelled)} threshold={threshold} onThreshold={onThreshold} />
      )}
      {target.task === "multiclass" && <Several matrix={confusions(outputs, own.map((row) => label(row.target)), target.classes!.length)} classes={target.classes!.map(spelled)} />}
      {target.task === "regression" && <Errors answers={Array.from(outputs, told)} targets={own.map((row) => Number(row.target))} />}
      {shown}
    </section>
  );
}

function Binary(props: { probabilities: Float32Array; positive: boolean[]; classes: string[]; threshold: number; onThreshold: (threshold: number) => void }) {
  const texts = useTexts();
  const { probabilities, positive, classes, threshold, onThreshold } = props;
  const counts = confusion(probabilities, positive, threshold);
  const told = ratios(counts);
  const cells = [
    [counts.true_positive, "TP", true], [counts.false_negative, "FN", false],
    [counts.false_positive, "FP", false], [counts.true_negative, "TN", true],
  ] as const;
  const cell = (at: number) => {
    const [count, name, right] = cells[at]!;
    return <td class={`cell ${right ? "hit" : "miss"} ${count ? "some" : ""}`}><span class="number">{count}</span> <small>{name}</small></td>;
  };
  return (
    <>
      <table class="matrix" aria-labelledby="confusion-title">
        <thead>
          <tr><td /><th scope="col">{texts.predicted} {classes[1]}</th><th scope="col">{texts.predicted} {classes[0]}</th></tr>
        </thead>
        <tbody>
          <tr><th scope="row">{texts.actual} {classes[1]}</th>{cell(0)}{cell(1)}</tr>
          <tr><th scope="row">{texts.actual} {classes[0]}</th>{cell(2)}{cell(3)}</tr>
        </tbody>
      </table>
      <label class="field">
        <span>{texts.threshold} <strong class="number">{threshold.toFixed(2)}</strong></span>
        <input type="range" min="0" max="1" step="0.01" value={threshold} onInput={(event) => onThreshold(Number(event.currentTarget.value))} />
      </label>
      <p class="small soft">{texts.thresholdHint}</p>
      <dl class="figures">
        {(["accuracy", "precision", "recall", "f1"] as const).map((name) => (
          <div><dt>{texts[name]}</dt><dd class="number">{short(told[name], 3)}</dd></div>
        ))}
      </dl>
    </>
  );
}

/** Of a class's name beside the matrix. */
const LETTERS = 12;

export function Several({ matrix, classes }: { matrix: number[][]; classes: string[] }) {
  const texts = useTexts();
  const most = Math.max(1, ...matrix.flat());
  const size = Math.max(30, Math.min(54, 300 / classes.length));
  const edge = 84;
  const side = edge + size * classes.length;
  const right = matrix.reduce((sum, line, at) => sum + line[at]!, 0);
  const all = matrix.flat().reduce((sum, count) => sum + count, 0);
  return (
    <>
      <div class="scroll-x" tabIndex={0} role="group" aria-label={texts.confusion}>
        <svg class="matrix" viewBox={`0 0 ${side + 30} ${side}`} style={{ maxWidth: `${side + 30}px` }} role="img" aria-label={`${texts.confusion}: ${matrix.map((line, at) => `${classes[at]}: ${line.join(" ")}`).join("; ")}`}>
          {matrix.map((line, row) =>
            line.map((count, column) => (
              <g transform={`translate(${edge + column * size} ${edge + row * size})`}>
                <rect width={size - 2} height={size - 2} rx="3" fill={row === column ? "var(--positive)" : "var(--negative)"} fill-opacity={count ? 0.15 + (0.5 * count) / most : 0.04} />
                <text x={size / 2 - 1} y={size / 2 + 4} text-anchor="middle" class="unit">{count}</text>
              </g>
            )),
          )}
          {classes.map((name, at) => (
            <>
              <text x={edge - 6} y={edge + at * size + size / 2 + 4} text-anchor="end" class="unit">{clipped(name, LETTERS)}<title>{name}</title></text>
              <text x={edge + at * size + size / 2} y={edge - 6} text-anchor="start" class="unit" transform={`rotate(-40 ${edge + at * size + size / 2} ${edge - 6})`}>{clipped(name, LETTERS)}<title>{name}</title></text>
            </>
          ))}
        </svg>
      </div>
      <p class="small">↓ {texts.actual} · → {texts.predicted} · {texts.accuracy} <span class="number">{short(right / Math.max(1, all), 3)}</span></p>
    </>
  );
}

function Errors({ answers, targets }: { answers: number[]; targets: number[] }) {
  const found = errors(answers, targets);
  return (
    <dl class="figures">
      {(["mae", "rmse", "r2"] as const).map((name) => (
        <div><dt>{name === "r2" ? "R²" : name.toUpperCase()}</dt><dd class="number">{short(found[name])}</dd></div>
      ))}
    </dl>
  );
}
