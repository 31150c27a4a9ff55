/** The network, how to train it, and the buttons that train and cancel. */

import { useEffect, useState } from "preact/hooks";
import { type Dataset, isFinal, type Job, send } from "./api";
import { chosenDerived, chosenFeatures, impossibleDerived, offered, storeSample, usable } from "./data";
import { Choice, NumberField, Slider, TextField } from "./fields";
import { PauseButton } from "./jobs";
import { derivedName, sameDerived } from "./network";
import type { Run } from "./run";
import { ACTIVATIONS, DEFAULT_RATES, DEFAULTS, OPTIMIZERS, recordsWeights, type Setup, trainCall, type Update } from "./setup";
import { CopyCurl, navigate, Trouble, useTexts } from "./shell";

export interface Parts {
  setup: Setup;
  update: Update;
  dataset: Dataset | null;
  run: Run;
}

export function isRunning(setup: Setup, run: Run): boolean {
  return Boolean(setup.job) && !run.done && run.job !== null && !isFinal(run.job.status);
}

/** Whether the job is not known yet: it may be running. */
export function isAwaited(setup: Setup, run: Run): boolean {
  return Boolean(setup.job) && !run.done && run.job === null && run.problem === null;
}

/** Units of the output, as far as the table tells before a job knows. */
function guessedOutputs(dataset: Dataset, target: string): number {
  const column = dataset.columns.find((one) => one.name === target);
  if (!column || column.distinct <= 2) return 1;
  return column.kind !== "numeric" || (target === dataset.target && dataset.task === "multiclass") ? column.distinct : 1;
}

export function guessedInputs(setup: Setup, dataset: Dataset): string[] {
  const own = usable(setup, dataset).flatMap((name) => {
    const column = dataset.columns.find((one) => one.name === name)!;
    if (column.kind !== "categorical") return [name];
    return Array.from({ length: column.distinct + Number(column.missing > 0) }, (_, at) => `${name}.${at + 1}`);
  });
  return [...own, ...chosenDerived(setup, dataset).map(derivedName)];
}

/** Bring a training's progress into view, where a narrow page has it further down. */
function showProgress(): void {
  const card = document.querySelector(".replay");
  if (card && card.getBoundingClientRect().bottom > innerHeight) card.scrollIntoView();
}

/** Whether the rate is one that nobody typed: another optimizer then brings its own. */
function hasUsualRate({ optimizer, rate }: Setup): boolean {
  return rate === DEFAULT_RATES[optimizer] || (optimizer === DEFAULTS.optimizer && rate === DEFAULTS.rate);
}

export function Controls({ setup, update, dataset, run, last, dataStatus, unread }: Parts & {
  /** The dataset that is still shown while another one is loaded. */
  last: Dataset | null;
  /** Id of what says which dataset that is. */
  dataStatus: string;
  /** What the address says of derived inputs and cannot be read. */
  unread: string[];
}) {
  const texts = useTexts();
  const [problem, setProblem] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  /** The job that was left while it trained. */
  const [left, setLeft] = useState("");
  useEffect(() => {
    if (setup.job) setLeft("");
  }, [setup.job]);
  const inputs = dataset ? guessedInputs(setup, dataset).length : 2;
  const outputs = dataset ? guessedOutputs(dataset, setup.target || dataset.target) : 1;
  const lost = [...unread, ...(dataset ? impossibleDerived(setup, dataset).map(derivedName) : [])];
  const weights = recordsWeights(setup, inputs, outputs);
  const call = trainCall(setup, dataset && chosenFeatures(setup, dataset), dataset ? chosenDerived(setup, dataset) : [], weights);
  const running = isRunning(setup, run);
  const awaited = isAwaited(setup, run);
  const cancelCall = { method: "POST", path: `/jobs/${setup.job}/cancel` } as const;
  const guarded = async (work: () => Promise<void>) => {
    setProblem(null);
    setBusy(true);
    try {
      await work();
    } catch (found) {
      setProblem(found);
    }
    setBusy(false);
  };
  const train = () =>
    guarded(async () => {
      if (!setup.dataset) await storeSample(setup.sample);
      const job = (await send<Job>(call)).body;
      update({ job: job.id });
      requestAnimationFrame(showProgress);
    });
  /** Go back to the first setting; what trains is not asked to end. */
  const reset = () => {
    setLeft(running && !run.job!.cancel_requested && !run.deleted ? setup.job : "");
    navigate("#/playground", true);
  };
  const cancel = () => guarded(async () => void (await send(cancelCall)));
  const set = (part: Partial<Setup>) => update(part);
  return (
    <section class="card" aria-labelledby="network-title">
      <div class="row between">
        <h2 id="network-title">{texts.network}</h2>
        <div class="row">
          {running ? (
            <button type="button" class="primary stop" onClick={cancel} disabled={run.job?.cancel_requested}>
              {run.job?.cancel_requested ? texts.cancelling : texts.cancel}
            </button>
          ) : (
            <button type="button" class="primary" onClick={train} disabled={busy || awaited || !dataset} aria-describedby={dataset ? undefined : dataStatus}>▶ {texts.train}</button>
          )}
          {running && !run.deleted && <PauseButton job={run.job!} />}
          <button type="button" onClick={reset}>{texts.reset}</button>
          <CopyCurl call={running ? cancelCall : call} />
        </div>
      </div>
      <Trouble of={problem} />
      <p role="status" class="small note">{left && <>{texts.leftTraining} <a href={`#/jobs/${left}`}>{texts.jobPage}</a></>}</p>
      <fieldset class="plain" disabled={running || awaited}>
      {last && (
        <fieldset class={`plain ${dataset ? "" : "stale"}`} disabled={!dataset}>
          <InputToggles setup={setup} dataset={last} onChange={(part) => set({ ...part, job: "" })} />
        </fieldset>
      )}
      {lost.length > 0 && <p class="small bad" role="status">{texts.lostDerived(lost.join(", "))}</p>}
      <Layers layers={setup.layers} onChange={(layers) => set({ layers, job: "" })} />
      <div class="fields">
        <Choice label={texts.activation} value={setup.activation} among={ACTIVATIONS.map((one) => [one, one] as const)} onChoose={(activation) => set({ activation, job: "" })} />
        <Choice
          label={texts.optimizer}
          value={setup.optimizer}
          among={OPTIMIZERS.map((one) => [one, one] as const)}
          onChoose={(optimizer) => set({ optimizer, ...(hasUsualRate(setup) && { rate: DEFAULT_RATES[optimizer] }) })}
        />
        <NumberField label={texts.learningRate} value={setup.rate} low={Number.MIN_VALUE} high={1000} onChange={(rate) => set({ rate: rate! })} />
        <NumberField label={texts.epochs} value={setup.epochs} low={1} high={1_000_000} whole onChange={(epochs) => set({ epochs: epochs! })} />
        <NumberField label={texts.seed} value={setup.seed} low={0} high={2 ** 32 - 1} whole onChange={(seed) => set({ seed: seed! })} />
        <Slider
          label={texts.validation}
          value={setup.validation}
          low={0}
          high={0.9}
          step={0.05}
          spell={(share) => (share ? `${Math.round(100 * share)} %` : texts.none)}
          onChange={(validation) => set({ validation, ...(validation ? {} : { patience: null }) })}
        />
      </div>
      <details>
        <summary>{texts.more}</summary>
        <div class="fields">
          <NumberField label={texts.batchSize} value={setup.batch} low={1} whole empty={texts.allRows} onChange={(batch) => set({ batch })} />
          <NumberField label={texts.weightDecay} value={setup.decay} low={0} high={1} onChange={(decay) => set({ decay: decay! })} />
          <NumberField label={texts.l1Penalty} value={setup.l1} low={0} high={1} onChange={(l1) => set({ l1: l1! })} />
          {setup.validation > 0 && (
            <NumberField label={texts.earlyStopping} value={setup.patience} low={1} whole empty={texts.off} onChange={(patience) => set({ patience })} />
          )}
          <TextField label={texts.modelName} value={setup.model} placeholder={texts.modelNameHint} onChange={(model) => set({ model })} />
        </div>
      </details>
      </fieldset>
      {!weights && <p class="small soft">{texts.heatTooLarge}</p>}
    </section>
  );
}

/** Tables of more features than these have them in and out by the roles of their columns. */
const MOST_TOGGLES = 12;

/** The features, and squares, products and sines beside them: each is in or out. */
function InputToggles({ setup, dataset, onChange }: { setup: Setup; dataset: Dataset; onChange: (part: Pick<Setup, "without"> | Pick<Setup, "derived">) => void }) {
  const texts = useTexts();
  const features = usable({ ...setup, without: [] }, dataset);
  const used = usable(setup, dataset);
  const derivable = offered(setup, dataset);
  const isFew = features.length > 1 && features.length <= MOST_TOGGLES;
  if (!isFew && !derivable.length) return null;
  return (
    <fieldset class="layers">
      <legend>{isFew ? texts.inputs : texts.derivedInputs}</legend>
      {isFew && features.map((name) => {
        const isUsed = used.includes(name);
        const isLast = isUsed && used.length === 1;
        const others = setup.without.filter((other) => other !== name);
        return (
          <button
            type="button"
            aria-pressed={isUsed}
            aria-disabled={isLast || undefined}
            aria-describedby={isLast ? "one-input-stays" : undefined}
            onClick={() => !isLast && onChange({ without: isUsed ? [...others, name] : others })}
          >
            {name}
          </button>
        );
      })}
      {derivable.map((input) => {
        const others = setup.derived.filter((other) => !sameDerived(other, input));
        const is = others.length < setup.derived.length;
        return (
          <button type="button" aria-pressed={is} onClick={() => onChange({ derived: is ? others : [...others, input] })}>
            {derivedName(input)}
          </button>
        );
      })}
      {isFew && used.length === 1 && <span id="one-input-stays" class="small soft">{texts.oneInputStays}</span>}
    </fieldset>
  );
}

function Layers({ layers, onChange }: { layers: number[]; onChange: (layers: number[]) => void }) {
  const texts = useTexts();
  const set = (at: number, units: number) => onChange(layers.map((old, other) => (other === at ? units : old)));
  return (
    <fieldset class="layers">
      <legend>{texts.hiddenLayers}</legend>
      {layers.map((units, at) => (
        <span class="layer">
          <button type="button" aria-label={texts.fewerUnits(at + 1)} disabled={units <= 1} onClick={() => set(at, units - 1)}>−</button>
          <UnitCount label={texts.units(at + 1)} value={units} onChange={(count) => set(at, count)} />
          <button type="button" aria-label={texts.moreUnits(at + 1)} onClick={() => set(at, units + 1)}>+</button>
        </span>
      ))}
      {layers.length === 0 && <span class="small soft">{texts.noHidden}</span>}
      <span class="layer">
        <button type="button" aria-label={texts.removeLayer} title={texts.removeLayer} disabled={!layers.length} onClick={() => onChange(layers.slice(0, -1))}>×</button>
        <button type="button" onClick={() => onChange([...layers, layers.at(-1) ?? 4])} disabled={layers.length >= 32}>{texts.addLayer}</button>
      </span>
    </fieldset>
  );
}

function UnitCount({ label, value, onChange }: { label: string; value: number; onChange: (value: number) => void }) {
  // What is being typed stays when the page is drawn meanwhile.
  const [typed, setTyped] = useState<string | null>(null);
  return (
    <input
      class="count"
      aria-label={label}
      inputMode="numeric"
      value={typed ?? value}
      onInput={(event) => setTyped(event.currentTarget.value)}
      onChange={(event) => {
        const units = Number(event.currentTarget.value);
        setTyped(null);
        if (Number.isInteger(units) && units >= 1 && units <= 65_536) onChange(units);
      }}
      onBlur={() => setTyped(null)}
    />
  );
}
