/** Backprop: every number of one forward and one backward pass, a step at a time. */

import { useEffect, useMemo, useRef } from "preact/hooks";
import { type BackpropRequest, type BackpropTrace, type Call, send } from "./api";
import { short } from "./curves";
import { Diagram } from "./diagram";
import { Choice, NumberField } from "./fields";
import { Formula } from "./formula";
import { fromParameters } from "./network";
import { ACTIVATIONS } from "./setup";
import { type Address, CopyCurl, navigate, Trouble, useLoaded, useTexts } from "./shell";
import { type Step, steps } from "./steps";
import type { Texts } from "./texts";

/** The slides' example; the service's defaults are the same. */
const SLIDES: BackpropRequest = {
  inputs: [0.1, 0.2],
  targets: [0.4, 0.6],
  layers: [
    { weights: [[0.3, 0.25], [0.4, 0.35]], biases: null, activation: "sigmoid" },
    { weights: [[0.45, 0.4], [0.7, 0.6]], biases: null, activation: "sigmoid" },
  ],
  learning_rate: 0.5,
};

function isRow(values: unknown): values is number[] {
  return Array.isArray(values) && values.length > 0 && values.every((value) => typeof value === "number");
}

/** Read the address; what is no network is the slides' example. */
function read(parameters: URLSearchParams): BackpropRequest {
  try {
    const found = JSON.parse(parameters.get("network") ?? "") as BackpropRequest;
    const whole = isRow(found.inputs) && isRow(found.targets) && Array.isArray(found.layers) && found.layers.length > 0;
    return whole && found.layers.every(({ weights }) => Array.isArray(weights) && weights.length > 0 && weights.every(isRow)) ? found : SLIDES;
  } catch {
    return SLIDES;
  }
}

function title(step: Step, texts: Texts): string {
  const layer = step.layer + 1;
  switch (step.kind) {
    case "sums": return `${texts.forward}: ${texts.weightedSums(layer)}`;
    case "outputs": return `${texts.forward}: ${texts.activations(layer)}`;
    case "loss": return `${texts.forward}: ${texts.lossStep}`;
    case "hidden": return `${texts.backward}: ${texts.hiddenGradient(`h (${layer})`)}`;
    case "gradients": return `${texts.backward}: ${texts.gradientOf(`W (${layer})`)}`;
    case "after": return texts.afterStep;
  }
}

export function Backprop({ parameters }: Address) {
  const texts = useTexts();
  const request = useMemo(() => read(parameters), [parameters.get("network")]);
  const at = Math.max(0, Number(parameters.get("step") ?? 1) - 1 || 0);
  const taken = Number(parameters.get("taken") ?? 0) || 0;
  const call: Call = { path: "/backprop", body: request };
  const trace = useLoaded(async () => ({ request, trace: (await send<BackpropTrace>(call)).body }), [JSON.stringify(request)]);
  const isCurrent = JSON.stringify(trace.value?.request) === JSON.stringify(request);
  const go = (changed: BackpropRequest, step: number, steps = taken) => {
    const own = new URLSearchParams();
    if (JSON.stringify(changed) !== JSON.stringify(SLIDES)) own.set("network", JSON.stringify(changed));
    if (step > 0) own.set("step", String(step + 1));
    if (steps > 0) own.set("taken", String(steps));
    navigate(`#/backprop${own.size ? `?${own}` : ""}`, true);
  };
  return (
    <>
      <h1>{texts.backprop}</h1>
      <p>{texts.backpropLead}</p>
      <div class="two">
        <section class="card" aria-labelledby="numbers-title">
          <div class="row between">
            <h2 id="numbers-title">{texts.network}</h2>
            <div class="row">
              <button type="button" onClick={() => go(SLIDES, 0, 0)}>{texts.slidesExample}</button>
              <CopyCurl call={call} />
            </div>
          </div>
          <Numbers request={request} onChange={(changed) => go(changed, at, 0)} />
          <Diagram
            units={[request.inputs.length, ...request.layers.map((layer) => layer.weights.length)]}
            inputs={request.inputs.map((value, unit) => `x${unit + 1}=${short(value, 3)}`)}
            outputs={(trace.value?.trace.forward.at(-1)?.outputs ?? []).map(({ name, value }) => `${name}=${short(value, 3)}`)}
            layers={useMemo(() => fromParameters(request.layers.map(({ weights, biases, activation }) => ({ weight: weights, bias: biases ?? weights.map(() => 0), activation }))), [request])}
            plane={null}
          />
        </section>
        <section class="card" aria-labelledby="step-title">
          <Trouble of={trace.problem} />
          {trace.value && <Steps {...trace.value} isCurrent={isCurrent} at={at} taken={taken} go={(step) => go(request, step)} on={() => go({ ...request, layers: trace.value!.trace.after_layers }, 0, taken + 1)} />}
        </section>
      </div>
    </>
  );
}

function Steps(props: { request: BackpropRequest; trace: BackpropTrace; isCurrent: boolean; at: number; taken: number; go: (step: number) => void; on: () => void }) {
  const { request, trace, isCurrent, taken, go, on } = props;
  const texts = useTexts();
  const found = useMemo(() => steps(request, trace), [trace]);
  const at = Math.min(props.at, found.length - 1);
  const head = useRef<HTMLHeadingElement>(null);
  const seen = useRef(at);
  useEffect(() => {
    if (seen.current !== at) head.current?.focus();
    seen.current = at;
  }, [at]);
  const step = found[at]!;
  const last = at === found.length - 1;
  return (
    <>
      <p class="soft small">{texts.step(at + 1, found.length)}{taken > 0 && ` · ${texts.iterations(taken)}`} · E = <span class="number">{short(trace.loss.total, 8)}</span></p>
      <h2 id="step-title" ref={head} tabIndex={-1}>{title(step, texts)}</h2>
      <ol class="formulas">
        {step.formulas.map((formula) => <li><Formula tex={formula} /></li>)}
      </ol>
      <div class="row">
        <button type="button" onClick={() => go(at - 1)} disabled={at === 0}>{texts.previous}</button>
        {last ? (
          <button type="button" class="primary" onClick={on} disabled={!isCurrent}>{texts.nextIteration}</button>
        ) : (
          <button type="button" class="primary" onClick={() => go(at + 1)}>{texts.next}</button>
        )}
      </div>
    </>
  );
}

function Numbers({ request, onChange }: { request: BackpropRequest; onChange: (request: BackpropRequest) => void }) {
  const texts = useTexts();
  const set = (values: number[], at: number, value: number | null) => values.map((old, other) => (other === at ? (value ?? 0) : old));
  const change = (layer: number, part: Partial<BackpropRequest["layers"][number]>) =>
    onChange({ ...request, layers: request.layers.map((old, at) => (at === layer ? { ...old, ...part } : old)) });
  let count = 0;
  let biasCount = 0;
  return (
    <div class="numbers">
      <fieldset class="fields">
        <legend>{texts.inputs}, {texts.targets}, {texts.learningRate}</legend>
        {request.inputs.map((value, at) => (
          <NumberField label={`x${at + 1}`} value={value} low={-1e6} high={1e6} onChange={(typed) => onChange({ ...request, inputs: set(request.inputs, at, typed) })} />
        ))}
        {request.targets.map((value, at) => (
          <NumberField label={`t${at + 1}`} value={value} low={-1e6} high={1e6} onChange={(typed) => onChange({ ...request, targets: set(request.targets, at, typed) })} />
        ))}
        <NumberField label="η" value={request.learning_rate} low={Number.MIN_VALUE} high={1000} onChange={(typed) => onChange({ ...request, learning_rate: typed! })} />
      </fieldset>
      {request.layers.map((layer, at) => (
        <fieldset class="fields">
          <legend>{texts.weights} ({at + 1})</legend>
          {layer.weights.flatMap((row, unit) =>
            row.map((value, input) => (
              <NumberField
                label={`W${(count += 1)}`}
                value={Number(value.toPrecision(9))}
                low={-1e6}
                high={1e6}
                onChange={(typed) => change(at, { weights: layer.weights.map((old, other) => (other === unit ? set(old, input, typed) : old)) })}
              />
            )),
          )}
          {layer.biases?.map((value, unit) => (
            <NumberField label={`b${(biasCount += 1)}`} value={Number(value.toPrecision(9))} low={-1e6} high={1e6} onChange={(typed) => change(at, { biases: set(layer.biases!, unit, typed) })} />
          ))}
          <Choice label={texts.activation} value={layer.activation} among={ACTIVATIONS.map((one) => [one, one] as const)} onChoose={(activation) => change(at, { activation })} />
          <label class="check small">
            <input type="checkbox" checked={layer.biases !== null} onChange={(event) => change(at, { biases: event.currentTarget.checked ? layer.weights.map(() => 0) : null })} />
            {texts.bias}
          </label>
        </fieldset>
      ))}
    </div>
  );
}
