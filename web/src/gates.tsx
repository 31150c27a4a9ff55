/** Gates: a line that is moved over four points, XOR that no line solves, and two ways round that. */

import { useMemo, useRef, useState } from "preact/hooks";
import { get, type Gate, type Job, send } from "./api";
import { short } from "./curves";
import { Diagram } from "./diagram";
import { fromSnapshot, type Layer, widths } from "./network";
import { between, classColour, Region } from "./region";
import { useRun } from "./run";
import { DEFAULTS, type Setup, toAddress, trainCall } from "./setup";
import { CopyCurl, Trouble, useChoices, useLoaded, useTexts, Waiting } from "./shell";

const LOW = -0.6;
const HIGH = 1.6;
const SIDE = 320;
const NAMES = ["and", "nand", "or"] as const;
const RANGE = { low: LOW, high: HIGH };

export interface Line {
  w1: number;
  w2: number;
  b: number;
}

const toX = (x: number) => ((x - LOW) / (HIGH - LOW)) * SIDE;
const toY = (y: number) => SIDE - toX(y);
const fromX = (x: number) => LOW + (x / SIDE) * (HIGH - LOW);
const fromY = (y: number) => fromX(SIDE - y);

/** What a perceptron answers: 1 where w·x + b > 0. */
export function answers(line: Line, [x1 = 0, x2 = 0]: number[]): number {
  return sum(line, [x1, x2]) > 0 ? 1 : 0;
}

/** w·x + b without the noise of sums such as 0.5 + 0.2 − 0.7. */
function sum(line: Line, [x1 = 0, x2 = 0]: number[]): number {
  return Number((line.w1 * x1 + line.w2 * x2 + line.b).toFixed(10));
}

/** The part of the square where w·x + b > 0, as corners of a polygon (Sutherland–Hodgman). */
export function positiveSide(line: Line): [number, number][] {
  const corners: [number, number][] = [[LOW, LOW], [HIGH, LOW], [HIGH, HIGH], [LOW, HIGH]];
  const height = ([x, y]: [number, number]) => line.w1 * x + line.w2 * y + line.b;
  return corners.flatMap((from, at) => {
    const to = corners[(at + 1) % 4]!;
    const [here, there] = [height(from), height(to)];
    const kept: [number, number][] = here > 0 ? [from] : [];
    if (here > 0 !== there > 0) {
      const share = here / (here - there);
      kept.push([from[0] + share * (to[0] - from[0]), from[1] + share * (to[1] - from[1])]);
    }
    return kept;
  });
}

const drawn = (corners: [number, number][]) => corners.map(([x, y]) => `${toX(x)},${toY(y)}`).join(" ");
const colour = (share: number) => `rgb(${between(share).map(Math.round).join(" ")})`;

interface PlaneProps {
  line: Line;
  table: { inputs: number[]; output: number }[];
  names: [string, string];
  label: string;
  onChange?: (line: Line) => void;
}

function Plane({ line, table, names, label, onChange }: PlaneProps) {
  const svg = useRef<SVGSVGElement>(null);
  const held = useRef<"line" | "arrow" | null>(null);
  const length = Math.hypot(line.w1, line.w2) || 1;
  const foot = { x: (-line.b * line.w1) / length ** 2, y: (-line.b * line.w2) / length ** 2 };
  const tip = { x: foot.x + (0.35 * line.w1) / length, y: foot.y + (0.35 * line.w2) / length };
  const rounded = (value: number) => Math.round(value * 100) / 100;
  const move = (event: PointerEvent) => {
    if (!held.current || !onChange) return;
    const box = svg.current!.getBoundingClientRect();
    const x = fromX(((event.clientX - box.left) / box.width) * SIDE);
    const y = fromY(((event.clientY - box.top) / box.height) * SIDE);
    if (held.current === "line") {
      onChange({ ...line, b: rounded(-(line.w1 * x + line.w2 * y)) });
      return;
    }
    const [dx, dy] = [x - foot.x, y - foot.y];
    const scale = length / (Math.hypot(dx, dy) || 1);
    const [w1, w2] = [rounded(dx * scale), rounded(dy * scale)];
    onChange({ w1, w2, b: rounded(-(w1 * foot.x + w2 * foot.y)) });
  };
  const hold = (part: "line" | "arrow") => (event: PointerEvent) => {
    held.current = part;
    svg.current!.setPointerCapture(event.pointerId);
  };
  return (
    <svg
      ref={svg}
      class={`gate-plane ${onChange ? "movable" : ""}`}
      viewBox={`0 0 ${SIDE} ${SIDE}`}
      role="img"
      aria-label={label}
      onPointerDown={onChange ? hold("line") : undefined}
      onPointerMove={move}
      onPointerUp={() => (held.current = null)}
    >
      <rect width={SIDE} height={SIDE} fill={colour(0.3)} />
      <polygon points={drawn(positiveSide(line))} fill={colour(0.7)} stroke="#15202b" stroke-width="2" />
      <line x1={toX(LOW)} x2={toX(HIGH)} y1={toY(0)} y2={toY(0)} stroke="#15202b" stroke-opacity=".25" />
      <line y1={toX(LOW)} y2={toX(HIGH)} x1={toX(0)} x2={toX(0)} stroke="#15202b" stroke-opacity=".25" />
      <text x={SIDE - 4} y={toY(0) - 5} text-anchor="end" class="on-plane">{names[0]}</text>
      <text x={toX(0) + 5} y={13} class="on-plane">{names[1]}</text>
      {onChange && (
        <g>
          <line x1={toX(foot.x)} y1={toY(foot.y)} x2={toX(tip.x)} y2={toY(tip.y)} stroke="#15202b" stroke-width="2" />
          <circle cx={toX(tip.x)} cy={toY(tip.y)} r="9" fill="#fff" stroke="#15202b" stroke-width="2" class="handle" onPointerDown={(event) => (event.stopPropagation(), hold("arrow")(event))} />
        </g>
      )}
      {table.map(({ inputs, output }) => {
        const right = answers(line, inputs) === output;
        return (
          <g transform={`translate(${toX(inputs[0]!)} ${toY(inputs[1]!)})`} class="dot">
            <circle r="12" fill={classColour(output)} stroke={right ? "#fff" : "#15202b"} stroke-width={right ? 2 : 3} />
            <text text-anchor="middle" y="5" class="in-dot">{output}</text>
            {!right && <path d="M11,-25L23,-13M23,-25L11,-13" stroke="#7d1712" stroke-width="3.5" />}
          </g>
        );
      })}
    </svg>
  );
}

function Movable({ gate, start, name }: { gate: Gate; start: Line; name: string }) {
  const texts = useTexts();
  const [line, setLine] = useState(start);
  const wrong = gate.truth_table.filter(({ inputs, output }) => answers(line, inputs) !== output).length;
  return (
    <div class="gate">
      <Plane line={line} table={gate.truth_table} names={["x1", "x2"]} label={`${name}: ${gate.truth_table.length - wrong}/4`} onChange={setLine} />
      <div>
        <div role="group" aria-label={texts.bySliders}>
          {(["w1", "w2", "b"] as const).map((part) => (
            <label class="slider">
              <span class="number">{part}</span>
              <input type="range" aria-label={part} min="-2" max="2" step="0.05" value={line[part]} onInput={(event) => setLine({ ...line, [part]: Number(event.currentTarget.value) })} />
              <output class="number">{line[part].toFixed(2)}</output>
            </label>
          ))}
        </div>
        <table aria-label={`${texts.truthTable}: ${name}`}>
          <thead>
            <tr>
              <th scope="col">x1</th><th scope="col">x2</th><th scope="col" class="number">{texts.sum}</th>
              <th scope="col">{texts.answer}</th><th scope="col">{texts.wanted}</th><td />
            </tr>
          </thead>
          <tbody>
            {gate.truth_table.map(({ inputs, output }) => {
              const said = answers(line, inputs);
              return (
                <tr>
                  <td>{inputs[0]}</td><td>{inputs[1]}</td><td class="number">{sum(line, inputs).toFixed(2)}</td>
                  <td>{said}</td><td>{output}</td>
                  <td class={said === output ? "good" : "bad"}>{said === output ? `✓ ${texts.right}` : `✗ ${texts.wrong}`}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
        <p role="status" class={wrong ? "bad verdict-line" : "good verdict-line"}><strong>{wrong ? texts.someWrong(wrong) : texts.allRight}</strong></p>
        <button type="button" onClick={() => setLine(start)}>{gate.perceptron?.length === 1 ? texts.slidesWeights : texts.reset}</button>
      </div>
    </div>
  );
}

function lineOf(layer: { weight: number[][]; bias: number[] }, unit = 0): Line {
  const [w1 = 0, w2 = 0] = layer.weight[unit] ?? [];
  return { w1, w2, b: layer.bias[unit] ?? 0 };
}

export function Gates() {
  const texts = useTexts();
  const gates = useLoaded(async () => {
    const found = await Promise.all([...NAMES, "xor"].map((name) => get<Gate>(`/gates/${name}`)));
    return Object.fromEntries(found.map((gate) => [gate.name, gate])) as Record<string, Gate>;
  }, []);
  const [name, setName] = useState<(typeof NAMES)[number]>("and");
  return (
    <>
      <h1>{texts.gates}</h1>
      <Waiting on={gates}>
        {(found) => (
          <>
            <section class="card" aria-labelledby="gate-title">
              <h2 id="gate-title">{name.toUpperCase()}</h2>
              <p>{texts.gatesLead}</p>
              <div class="row tabs" role="group" aria-label={texts.gates}>
                {NAMES.map((one) => (
                  <button type="button" aria-pressed={one === name} onClick={() => setName(one)}>{one.toUpperCase()}</button>
                ))}
                <CopyCurl call={{ path: `/gates/${name}` }} label={name} />
              </div>
              <Movable key={name} name={name.toUpperCase()} gate={found[name]!} start={lineOf(found[name]!.perceptron![0]!)} />
            </section>
            <section class="card" aria-labelledby="impossible-title">
              <h2 id="impossible-title">{texts.impossible}</h2>
              <p>{texts.impossibleLead}</p>
              <Movable name="XOR" gate={found.xor!} start={{ w1: 0.6, w2: 0.6, b: -0.5 }} />
              {found.xor!.separability.proof && (
                <p class="proof"><strong>{texts.proof}.</strong> {texts.proofText(found.xor!.separability.proof.point.join(", "))}</p>
              )}
            </section>
            <Composed xor={found.xor!} />
            <Trained />
          </>
        )}
      </Waiting>
    </>
  );
}

/** XOR of the slides: NAND and OR of the inputs, and AND of both. */
function Composed({ xor }: { xor: Gate }) {
  const texts = useTexts();
  const [first, last] = xor.perceptron!;
  const nand = lineOf(first!, 0);
  const or = lineOf(first!, 1);
  const and = lineOf(last!);
  const rows = xor.truth_table.map(({ inputs, output }) => {
    const hidden = [answers(nand, inputs), answers(or, inputs)];
    return { inputs, hidden, answer: answers(and, hidden), output };
  });
  const between = rows.filter((row, at) => rows.findIndex((other) => other.hidden.join() === row.hidden.join()) === at);
  const told = (line: Line) => xor.truth_table.map(({ inputs }) => ({ inputs, output: answers(line, inputs) }));
  return (
    <section class="card" aria-labelledby="composed-title">
      <h2 id="composed-title">{texts.composed}</h2>
      <p>{texts.composedLead}</p>
      <div class="three">
        <figure><Plane line={nand} table={told(nand)} names={["x1", "x2"]} label="NAND" /><figcaption>NAND</figcaption></figure>
        <figure><Plane line={or} table={told(or)} names={["x1", "x2"]} label="OR" /><figcaption>OR</figcaption></figure>
        <figure>
          <Plane line={and} table={between.map(({ hidden, output }) => ({ inputs: hidden, output }))} names={["NAND", "OR"]} label="AND(NAND, OR)" />
          <figcaption>AND(NAND, OR)</figcaption>
        </figure>
      </div>
      <table aria-label={texts.composed}>
        <thead><tr>{["x1", "x2", "NAND", "OR", "AND(NAND, OR)", "XOR"].map((head) => <th scope="col">{head}</th>)}</tr></thead>
        <tbody>
          {rows.map(({ inputs, hidden, answer, output }) => (
            <tr>
              {[...inputs, ...hidden].map((value) => <td>{value}</td>)}
              <td class={answer === output ? "good" : "bad"}>{answer} {answer === output ? "✓" : "✗"}</td>
              <td>{output}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

const XOR_SETUP: Setup = { ...DEFAULTS, dataset: "xor", layers: [4], rate: 0.1, epochs: 400 };

function Trained() {
  const { texts, language } = useChoices();
  const [job, setJob] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const run = useRun(job, language);
  const call = trainCall(XOR_SETUP, null, [], true);
  const train = async () => {
    setProblem(null);
    setBusy(true);
    try {
      setJob((await send<Job>(call)).body.id);
    } catch (found) {
      setProblem(found);
    }
    setBusy(false);
  };
  const last = run.records.at(-1);
  const snapshot = last && run.snapshots.get(last.epoch);
  const layers = useMemo<Layer[] | null>(() => {
    if (!snapshot || !run.rows) return null;
    return fromSnapshot(snapshot, widths(2, XOR_SETUP.layers, run.rows.preprocessing.target), XOR_SETUP.activation, "binary");
  }, [snapshot, run.rows]);
  const plane = useMemo(() => {
    if (!run.rows) return null;
    const { preprocessing } = run.rows;
    const { target } = preprocessing;
    const scale = { task: target.task, classes: target.classes, values: { low: 0, high: 1 } };
    const axes = { x: { name: "x1", at: 0, range: RANGE }, y: { name: "x2", at: 1, range: RANGE } };
    return { inputs: preprocessing, axes, scale };
  }, [run.rows]);
  const points = useMemo(
    () => (run.rows?.data ?? []).map(({ inputs, target, part }) => ({ x: Number(inputs[0]), y: Number(inputs[1]), colour: classColour(Number(target)), part, label: String(target) })),
    [run.rows],
  );
  const seconds = run.job?.started_at && run.job.finished_at ? (Date.parse(run.job.finished_at) - Date.parse(run.job.started_at)) / 1000 : null;
  return (
    <section class="card" aria-labelledby="trained-title">
      <h2 id="trained-title">{texts.trained}</h2>
      <p>{texts.trainedLead}</p>
      <div class="row">
        <button type="button" class="primary" onClick={train} disabled={busy || (job !== "" && !run.done)}>{texts.trainXor}</button>
        <CopyCurl call={call} label="XOR" />
      </div>
      <Trouble of={problem ?? run.problem} />
      {layers && plane && (
        <div class="gate">
          <Region layers={layers} inputs={plane.inputs} axes={plane.axes} points={points} scale={plane.scale} hard={false} threshold={0.5} told={(output) => output} />
          <div>
            <Diagram units={[2, ...XOR_SETUP.layers, 1]} inputs={["x1", "x2"]} outputs={["y"]} layers={layers} plane={plane} />
            <p role="status">
              {run.done && seconds !== null && texts.trainedResult(XOR_SETUP.epochs, short(seconds, 2))}{" "}
              {run.job?.diagnosis?.message}
            </p>
            <a href={toAddress({ ...XOR_SETUP, job })}>{texts.openInPlayground}</a>
          </div>
        </div>
      )}
    </section>
  );
}
