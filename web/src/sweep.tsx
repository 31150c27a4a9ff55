/** Sweep: how often training converges, or how well it does, over learning rates and hidden units. */

import { useEffect, useMemo, useState } from "preact/hooks";
import { all, type Call, type Dataset, type DatasetSummary, get, isFinal, isPassing, type Job, oneAtATime, type Page, type Range, RETRY_MILLISECONDS, type Score, send, type SweepRow, type Task, watch } from "./api";
import { short } from "./curves";
import { Choice, NumberField, Slider } from "./fields";
import { chosenColumns, setupOf, useTableOf } from "./opening";
import { between } from "./region";
import { ACTIVATIONS, OPTIMIZERS, type Setup, toAddress } from "./setup";
import { type Address, CopyCurl, Failure, navigate, parseAddress, Trouble, useChoices, useLoaded, useTexts } from "./shell";
import type { Texts } from "./texts";

interface Plan {
  dataset: string;
  rates: string;
  units: string;
  seeds: number;
  epochs: number;
  activation: Setup["activation"];
  optimizer: Setup["optimizer"];
  validation: number;
  /** Empty: the first of those that suit the table. */
  measure: Measure | "";
}

const MOST_SEEDS = 1_000;
const MOST_VALIDATION = 0.9;

/** What a cell shows: the share of its members that converged, or the best member's score. */
export type Measure = "converged" | Score;

const USUAL: Plan = {
  dataset: "xor", rates: "0.1 0.3 1 3 10", units: "1 2 3 4 8", seeds: 10, epochs: 2000, activation: "sigmoid", optimizer: "sgd", validation: 0, measure: "",
};

export function measures(task: Task | null | undefined): Measure[] {
  return task === "regression" ? ["r2", "loss"] : ["converged", "accuracy", "loss"];
}

/** What a sweep learns; undefined: jobs of earlier versions do not name it, and their score tells no regression. */
function taskOf({ sweep, columns }: Pick<Job, "sweep" | "columns">): Task | undefined {
  return columns?.task ?? (sweep?.search.score === "r2" ? "regression" : undefined);
}

/** What the cells of a sweep show: what is asked for, where its members have it. */
export function shownMeasure(job: Pick<Job, "sweep" | "columns">, asked: Measure | ""): Measure {
  const score = job.sweep?.search.score;
  const known = measures(taskOf(job)).filter((one) => one !== "r2" || score === "r2");
  return known.find((one) => one === asked) ?? (score === "loss" ? score : known[0]!);
}

/** Name the plan of a sweep that ran, as far as the page's fields can say it: `unsaid` names the rest. */
export function sweepAddress(job: Job): string {
  const space = job.sweep?.search.space;
  const numbers = (values: unknown) => (Array.isArray(values) ? values.join(" ") : "");
  const seeds = space?.seed;
  const count = !seeds ? 1 : Array.isArray(seeds) ? seeds.length : seeds.count;
  const told: Record<string, unknown> = {
    dataset: job.dataset,
    rates: numbers(space?.learning_rate ?? [job.training?.learning_rate]),
    units: numbers((space?.hidden_layers ?? [job.network?.hidden_layers ?? []]).filter((layers) => layers.length === 1)),
    seeds: Math.min(count, MOST_SEEDS),
    epochs: job.training?.epochs,
    activation: job.network?.activation,
    optimizer: job.training?.optimizer,
    validation: job.training?.validation_fraction,
    measure: job.sweep?.search.score === "loss" ? "loss" : undefined,
    job: job.id,
  };
  return addressOf(told);
}

/**
 * Names of what the page's fields cannot say of a sweep: what they say is another one there.
 *
 * Its table, where it is there yet, tells what was left out of it.
 */
export function unsaid({ dataset: name, network, training, columns, sweep }: Job, dataset: Dataset | null, texts: Texts): string[] {
  if (!sweep || !network || !training) return [];
  const { method, folds, space } = sweep.search;
  const own = columns && dataset && chosenColumns(columns, dataset);
  const { seed } = space;
  const seeds = !seed ? [training.seed] : Array.isArray(seed) ? seed : Array.from({ length: seed.count }, (_, at) => seed.first + at);
  const differs = <Value,>(tried: Value[] | Range | null, said: Value) => tried !== null && (!Array.isArray(tried) || tried.some((value) => value !== said));
  const found: [string, boolean | null | undefined][] = [
    [texts.dataset, name === "inline"],
    [texts.targetColumn, own && (own.target !== "" || columns.task !== dataset.task)],
    [texts.features, own && own.without.length > 0],
    [texts.derivedInputs, columns && columns.derived.length > 0],
    [texts.rates, space.learning_rate !== null && !Array.isArray(space.learning_rate)],
    [texts.hiddenUnitCounts, (space.hidden_layers ?? [network.hidden_layers]).some((layers) => layers.length !== 1)],
    [texts.seeds, seeds.length > MOST_SEEDS || seeds.some((one, at) => one !== at + 1)],
    [texts.epochs, differs(space.epochs, training.epochs)],
    [texts.activation, differs(space.activation, network.activation)],
    [texts.optimizer, differs(space.optimizer, training.optimizer)],
    [texts.validation, training.validation_fraction > MOST_VALIDATION],
    [texts.testRows, training.test_fraction > 0],
    [texts.batchSize, differs(space.batch_size ?? [training.batch_size], null)],
    [texts.weightDecay, differs(space.weight_decay ?? [training.weight_decay], 0)],
    [texts.l1Penalty, training.l1_penalty > 0],
    [texts.stopsEarly, training.early_stopping !== null],
    [texts.schedule, training.schedule.kind !== "constant"],
    [texts.classWeights, training.class_weights !== null],
    [texts.searchMethod, method !== "grid"],
    [texts.folds, folds !== null],
  ];
  return found.filter(([, is]) => is).map(([title]) => title);
}

function addressOf(all: Record<string, unknown>): string {
  const usual: Record<string, unknown> = { ...USUAL, job: "" };
  const told = Object.entries(all).filter(([name, value]) => value !== undefined && value !== "" && value !== usual[name]);
  return `#/sweep${told.length ? `?${new URLSearchParams(told.map(([name, value]) => [name, String(value)]))}` : ""}`;
}

/** Read numbers that are divided by blanks or commas; what is no number, or not above 0, is left out. */
export function numbers(text: string, whole = false): number[] {
  const found = words(text).filter((word) => isUsable(word, whole)).map(Number);
  return [...new Set(found)].sort((a, b) => a - b);
}

/** What of a text `numbers` leaves out. */
export function leftOut(text: string, whole = false): string[] {
  return words(text).filter((word) => !isUsable(word, whole));
}

function words(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}

function isUsable(word: string, whole: boolean): boolean {
  const value = Number(word);
  return value > 0 && Number.isFinite(value) && (!whole || Number.isInteger(value));
}

function callOf(plan: Plan, measure: Measure): Call {
  return {
    path: "/jobs",
    body: {
      kind: "sweep",
      dataset: plan.dataset,
      network: { activation: plan.activation },
      training: { optimizer: plan.optimizer, epochs: plan.epochs, ...(plan.validation && { validation_fraction: plan.validation }) },
      search: {
        method: "grid",
        ...(measure !== "converged" && { score: measure }),
        space: {
          hidden_layers: numbers(plan.units, true).map((count) => [count]),
          learning_rate: numbers(plan.rates),
          seed: { first: 1, count: plan.seeds },
        },
      },
      refit: false,
    },
  };
}

export interface Cell {
  rate: number;
  units: number;
  members: number;
  /** Share of the members that converged, or the best member's score; null where all diverged. */
  value: number | null;
  best: SweepRow;
}

/** A member's number, on the rows that were kept out where there are any: by the sweep's score, or by its curves' ends. */
function valueOf(row: SweepRow, measure: Score, score: Score | null): number | null {
  if (measure === score) return row.score;
  return measure === "loss" ? (row.valid_loss ?? row.train_loss) : (row.valid_accuracy ?? row.train_accuracy);
}

/** Group the members by learning rate and units; the best has the best number, and of equals the lowest training loss. */
export function cells(rows: SweepRow[], measure: Measure, score: Score | null): Cell[] {
  const loss = (row: SweepRow) => row.train_loss ?? Infinity;
  const merit = (row: SweepRow): number => {
    if (measure === "converged") return 0;
    const value = valueOf(row, measure, score);
    return value === null ? -Infinity : measure === "loss" ? -value : value;
  };

  const found = new Map<string, SweepRow[]>();
  for (const row of rows) {
    const key = `${row.learning_rate} ${row.hidden_layers.join("-")}`;
    found.set(key, [...(found.get(key) ?? []), row]);
  }
  return [...found.values()].map((members) => {
    const best = members.reduce((found, row) =>
      merit(row) > merit(found) || (merit(row) === merit(found) && loss(row) < loss(found)) ? row : found,
    );
    return {
      rate: best.learning_rate,
      units: best.hidden_layers[0] ?? 0,
      members: members.length,
      value: measure === "converged" ? members.reduce((sum, row) => sum + Number(row.converged), 0) / members.length : valueOf(best, measure, score),
      best,
    };
  });
}

/**
 * Place each cell between the worst (0) and the best (1), for its colour.
 *
 * Shares stand for themselves; losses lie between the highest and the lowest, by their factors.
 */
export function goodness(found: Cell[], measure: Measure): (cell: Cell) => number {
  if (measure !== "loss") return ({ value }) => Math.min(1, Math.max(0, value ?? 0));
  const logs = found.flatMap(({ value }) => (value === null ? [] : [Math.log(Math.max(value, 1e-12))]));
  const [low, high] = [Math.min(...logs), Math.max(...logs)];
  return ({ value }) => (value === null ? 0 : high > low ? (high - Math.log(Math.max(value, 1e-12))) / (high - low) : 1);
}

interface Found {
  /** The id of the job that this is of. */
  of: string;
  job: Job | null;
  rows: SweepRow[];
  problem: unknown;
}

const NOTHING: Found = { of: "", job: null, rows: [], problem: null };

function useSweep(jobId: string): Found {
  const { language } = useChoices();
  const [state, setState] = useState<Found>(NOTHING);
  useEffect(() => {
    setState({ ...NOTHING, of: jobId });
    if (!jobId) return;
    const path = `/jobs/${encodeURIComponent(jobId)}`;
    let current = true;
    let later = 0;
    const look = oneAtATime(async () => {
      if (!current) return;
      clearTimeout(later);
      try {
        const job = await get<Job>(path);
        const rows: SweepRow[] = [];
        for (let more = job.kind === "sweep", after: string | number = 0; more; ) {
          const page: Page<SweepRow> = await get(`${path}/results?limit=1000&after=${after}`);
          rows.push(...page.data);
          more = page.has_more && rows.length < 20_000;
          after = page.last_id ?? 0;
        }
        if (current) setState({ of: jobId, job, rows, problem: null });
      } catch (problem) {
        if (!current) return;
        setState((last) => ({ ...last, problem }));
        if (isPassing(problem)) later = window.setTimeout(look, RETRY_MILLISECONDS);
      }
    });
    look();
    const stop = watch(jobId, { event: ({ type }) => type !== "epochs" && look(), done: look });
    return () => {
      current = false;
      clearTimeout(later);
      stop();
    };
  }, [jobId, language]);
  // Until the effect has run, what is there is of another job.
  return state.of === jobId ? state : NOTHING;
}

/** Read the address; what cannot be used is the usual. */
function planOf(parameters: URLSearchParams): Plan {
  const own = Object.fromEntries(parameters);
  const count = (name: "seeds" | "epochs", most: number) => {
    const value = Number(own[name]);
    return Number.isInteger(value) && value >= 1 && value <= most ? value : USUAL[name];
  };
  return {
    dataset: own.dataset ?? USUAL.dataset,
    rates: own.rates ?? USUAL.rates,
    units: own.units ?? USUAL.units,
    seeds: count("seeds", MOST_SEEDS),
    epochs: count("epochs", 1_000_000),
    activation: ACTIVATIONS.find((one) => one === own.activation) ?? USUAL.activation,
    optimizer: OPTIMIZERS.find((one) => one === own.optimizer) ?? USUAL.optimizer,
    validation: Number(own.validation) > 0 && Number(own.validation) <= MOST_VALIDATION ? Number(own.validation) : USUAL.validation,
    measure: (["converged", "accuracy", "loss", "r2"] as const).find((one) => one === own.measure) ?? USUAL.measure,
  };
}

export function Sweep({ parameters }: Address) {
  const texts = useTexts();
  const plan = useMemo(() => planOf(parameters), [parameters.toString()]);
  const jobId = parameters.get("job") ?? "";
  /** Change what is set now, which may be another plan than when somebody began to wait for an answer. */
  const update = (part: Partial<Plan>, job?: string) => {
    const now = parseAddress(location.hash);
    if (now.page !== "sweep") return;
    navigate(addressOf({ ...planOf(now.parameters), ...part, job: job ?? now.parameters.get("job") ?? "" }), true);
  };
  const datasets = useLoaded(() => all<DatasetSummary>("/datasets"), []);
  const { job, rows, problem: failed } = useSweep(jobId);
  const table = useTableOf(job && job.dataset !== "inline" ? job : null);
  const dataset = table.value?.name === job?.dataset ? table.value : null;
  const [problem, setProblem] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const planned = measures(datasets.value?.find((one) => one.name === plan.dataset)?.task);
  const measure = planned.find((one) => one === plan.measure) ?? planned[0]!;
  const call = callOf(plan, measure);
  /** The sweep whose cells are below: what they can show, and do, is its own, which may learn another column. */
  const below = job?.kind === "sweep" && job.dataset === plan.dataset ? job : null;
  const suited = below ? measures(taskOf(below)) : planned;
  const chosen = below ? (suited.find((one) => one === plan.measure) ?? shownMeasure(below, plan.measure)) : measure;
  const unread = [...leftOut(plan.rates), ...leftOut(plan.units, true)];
  const lost = job ? unsaid(job, dataset, texts) : [];
  const running = job !== null && !isFinal(job.status);
  /** Whether a sweep is being asked for, or the one that there is is not known yet. */
  const isAwaited = busy || (jobId !== "" && job === null && failed === null);
  const run = async () => {
    setProblem(null);
    setBusy(true);
    try {
      update({}, (await send<Job>(call)).body.id);
    } catch (found) {
      setProblem(found);
    }
    setBusy(false);
  };
  const stop = async () => {
    try {
      await send({ method: "POST", path: `/jobs/${jobId}/cancel` });
    } catch (found) {
      setProblem(found);
    }
  };
  const names = [...new Set([plan.dataset, ...(datasets.value ?? []).filter((one) => one.task !== null).map((one) => one.name)])];
  return (
    <>
      <h1>{texts.sweep}</h1>
      <p>{texts.sweepLead}</p>
      <section class="card" aria-label={texts.configuration}>
        <div class="fields wide-fields">
          <Choice label={texts.dataset} value={plan.dataset} among={names.map((name) => [name, name] as const)} onChoose={(dataset) => update({ dataset })} />
          <label class="field"><span>{texts.rates}</span><input value={plan.rates} onChange={(event) => update({ rates: event.currentTarget.value })} /></label>
          <label class="field"><span>{texts.hiddenUnitCounts}</span><input value={plan.units} onChange={(event) => update({ units: event.currentTarget.value })} /></label>
          <NumberField label={texts.seeds} value={plan.seeds} low={1} high={MOST_SEEDS} whole onChange={(seeds) => update({ seeds: seeds! })} />
          <NumberField label={texts.epochs} value={plan.epochs} low={1} high={1_000_000} whole onChange={(epochs) => update({ epochs: epochs! })} />
          <Choice label={texts.activation} value={plan.activation} among={ACTIVATIONS.map((one) => [one, one] as const)} onChoose={(activation) => update({ activation })} />
          <Choice label={texts.optimizer} value={plan.optimizer} among={OPTIMIZERS.map((one) => [one, one] as const)} onChoose={(optimizer) => update({ optimizer })} />
          <Slider
            label={texts.validation}
            value={plan.validation}
            low={0}
            high={Math.max(0.5, plan.validation)}
            step={0.05}
            spell={(part) => (part ? `${Math.round(100 * part)} %` : texts.none)}
            onChange={(validation) => update({ validation })}
          />
          <Choice label={texts.measure} value={chosen} among={suited.map((one) => [one, texts.measures[one]] as const)} onChoose={(measure) => update({ measure })} />
        </div>
        <div class="row actions">
          {running ? (
            <button type="button" class="primary stop" onClick={stop}>{texts.cancel}</button>
          ) : (
            <button type="button" class="primary" onClick={run} disabled={isAwaited}>{texts.run}</button>
          )}
          <CopyCurl call={running ? { method: "POST", path: `/jobs/${jobId}/cancel` } : call} />
          {job && <span role="status" class="row">
            <span class={`badge status ${job.status}`}>{texts.status[job.status]}</span>
            {job.sweep && <span class="number">{texts.trainingsDone(job.sweep.done, job.sweep.trainings)}</span>}
            <a href={`#/jobs/${job.id}`}>{texts.jobPage}</a>
          </span>}
        </div>
        {unread.length > 0 && <p class="small bad" role="status">{texts.leftOut(unread.join(", "))}</p>}
        {lost.length > 0 && <p class="small" role="status">{texts.unsaid(lost.join(", "))}</p>}
        <Trouble of={problem ?? failed} />
        {job?.error && <Failure of={job.error} />}
      </section>
      {job && rows.length > 0 && (
        <HeatMap
          job={job}
          dataset={dataset}
          isSettled={dataset !== null || table.problem !== null}
          rows={rows}
          measure={shownMeasure(job, plan.measure)}
          asked={below && chosen}
        />
      )}
    </>
  );
}

interface HeatMapProps {
  job: Job;
  /** The sweep's own table, where it is there. */
  dataset: Dataset | null;
  /** Whether the table is there, or cannot be. */
  isSettled: boolean;
  rows: SweepRow[];
  measure: Measure;
  /** What the cells were asked to show. */
  asked: Measure | null;
}

function HeatMap({ job, dataset, isSettled, rows, measure, asked }: HeatMapProps) {
  const texts = useTexts();
  const found = useMemo(() => cells(rows, measure, job.sweep?.search.score ?? null), [rows, measure]);
  const good = useMemo(() => goodness(found, measure), [found, measure]);
  const rates = [...new Set(found.map((cell) => cell.rate))].sort((a, b) => a - b);
  const units = [...new Set(found.map((cell) => cell.units))].sort((a, b) => b - a);
  const told = ({ value }: Cell) => (value === null ? "–" : measure === "loss" || measure === "r2" ? short(value, 3) : `${Number((100 * value).toFixed(measure === "converged" ? 0 : 1))} %`);
  const lossOf = ({ best }: Cell) => `${texts.loss} ${short(best.train_loss)}`;
  const title = texts.measures[measure];
  const folds = job.sweep?.search.folds;
  const judged = job.training?.validation_fraction ? texts.validPoints : texts.trainPoints;
  const best = folds ? texts.bestOfFoldsHint(folds) : texts.bestHint(judged);
  const hint = measure !== "converged" ? best : folds ? texts.convergedInFoldsHint(folds) : texts.convergedHint;
  /** Rows that came in the request can be opened nowhere; before the table is here, what was left out of it is not known. */
  const isOpened = job.dataset !== "inline" && isSettled;
  const base = setupOf(job, dataset);
  const open = ({ best }: Cell): string =>
    toAddress({
      ...base,
      layers: best.hidden_layers,
      activation: best.activation,
      optimizer: best.optimizer,
      rate: best.learning_rate,
      epochs: best.epochs,
      batch: best.batch_size,
      seed: best.seed,
      decay: best.weight_decay,
      job: "",
    });
  return (
    <section class="card" aria-labelledby="heat-title">
      <h2 id="heat-title">{title}</h2>
      {asked && asked !== measure && <p class="small bad">{texts.notMeasured(texts.measures[asked])}</p>}
      <p class="small soft">{hint}. {job.dataset !== "inline" && texts.openMember}</p>
      <div class="scroll-x" tabIndex={0} role="group" aria-label={title}>
        <table class="heat" aria-labelledby="heat-title">
          <tbody>
            {units.map((count) => (
              <tr>
                <th scope="row" class="number">{count}</th>
                {rates.map((rate) => {
                  const cell = found.find((one) => one.rate === rate && one.units === count);
                  if (!cell) return <td />;
                  const [red, green, blue] = between(0.15 + 0.7 * good(cell)).map(Math.round);
                  return (
                    <td style={{ background: `rgb(${red} ${green} ${blue})` }}>
                      {isOpened ? (
                        <a href={open(cell)} aria-label={texts.cell(String(rate), String(count), `${title} ${told(cell)}`)} title={lossOf(cell)}>{told(cell)}</a>
                      ) : (
                        <span title={lossOf(cell)}>{told(cell)}</span>
                      )}
                    </td>
                  );
                })}
              </tr>
            ))}
            <tr>
              <th scope="row" class="corner">{texts.hiddenUnitCounts} ↑<br />{texts.rates} →</th>
              {rates.map((rate) => <th scope="col" class="number">{rate}</th>)}
            </tr>
          </tbody>
        </table>
      </div>
    </section>
  );
}
