/** Sweep: how often training converges, over learning rates and hidden units. */

import { useEffect, useMemo, useState } from "preact/hooks";
import { all, type Call, type DatasetSummary, get, isFinal, type Job, type Page, send, type SweepRow, watch } from "./api";
import { short } from "./curves";
import { Choice, NumberField } from "./fields";
import { between } from "./region";
import { ACTIVATIONS, DEFAULTS, OPTIMIZERS, type Setup, toAddress } from "./setup";
import { type Address, CopyCurl, navigate, Trouble, useChoices, useLoaded, useTexts } from "./shell";

interface Plan {
  dataset: string;
  rates: string;
  units: string;
  seeds: number;
  epochs: number;
  activation: Setup["activation"];
  optimizer: Setup["optimizer"];
}

const USUAL: Plan = { dataset: "xor", rates: "0.1 0.3 1 3 10", units: "1 2 3 4 8", seeds: 10, epochs: 2000, activation: "sigmoid", optimizer: "sgd" };

/** Read numbers that are divided by blanks or commas; what is no number, or not above 0, is left out. */
export function numbers(text: string, whole = false): number[] {
  const found = text.split(/[\s,]+/).filter(Boolean).map(Number).filter((value) => value > 0 && Number.isFinite(value) && (!whole || Number.isInteger(value)));
  return [...new Set(found)].sort((a, b) => a - b);
}

function callOf(plan: Plan): Call {
  return {
    path: "/jobs",
    body: {
      kind: "sweep",
      dataset: plan.dataset,
      network: { activation: plan.activation },
      training: { optimizer: plan.optimizer, epochs: plan.epochs },
      search: {
        method: "grid",
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
  /** Share of the members that classify every training row right. */
  converged: number;
  best: SweepRow;
}

/** Group the members by learning rate and units; the best is the one with the lowest loss. */
export function cells(rows: SweepRow[]): Cell[] {
  const found = new Map<string, SweepRow[]>();
  for (const row of rows) {
    const key = `${row.learning_rate} ${row.hidden_layers.join("-")}`;
    found.set(key, [...(found.get(key) ?? []), row]);
  }
  return [...found.values()].map((members) => {
    const best = members.reduce((least, row) => ((row.train_loss ?? Infinity) < (least.train_loss ?? Infinity) ? row : least));
    return {
      rate: best.learning_rate,
      units: best.hidden_layers[0] ?? 0,
      members: members.length,
      converged: members.reduce((sum, row) => sum + Number(row.converged), 0) / members.length,
      best,
    };
  });
}

function useSweep(jobId: string) {
  const { language } = useChoices();
  const [state, setState] = useState<{ job: Job | null; rows: SweepRow[]; problem: unknown }>({ job: null, rows: [], problem: null });
  useEffect(() => {
    setState({ job: null, rows: [], problem: null });
    if (!jobId) return;
    const path = `/jobs/${encodeURIComponent(jobId)}`;
    let current = true;
    let looking = false;
    let again = false;
    const look = async () => {
      if (looking) {
        again = true;
        return;
      }
      looking = true;
      try {
        const job = await get<Job>(path);
        const rows: SweepRow[] = [];
        for (let more = job.kind === "sweep", after: string | number = 0; more; ) {
          const page: Page<SweepRow> = await get(`${path}/results?limit=1000&after=${after}`);
          rows.push(...page.data);
          more = page.has_more && rows.length < 20_000;
          after = page.last_id ?? 0;
        }
        if (current) setState({ job, rows, problem: null });
      } catch (problem) {
        if (current) setState((last) => ({ ...last, problem }));
      }
      looking = false;
      if (again && current) {
        again = false;
        void look();
      }
    };
    void look();
    const stop = watch(jobId, { event: ({ type }) => type !== "epochs" && void look(), done: () => void look() });
    return () => {
      current = false;
      stop();
    };
  }, [jobId, language]);
  return state;
}

export function Sweep({ parameters }: Address) {
  const texts = useTexts();
  const plan = useMemo<Plan>(() => {
    const own = Object.fromEntries(parameters);
    const count = (name: "seeds" | "epochs", most: number) => {
      const value = Number(own[name]);
      return Number.isInteger(value) && value >= 1 && value <= most ? value : USUAL[name];
    };
    return {
      dataset: own.dataset ?? USUAL.dataset,
      rates: own.rates ?? USUAL.rates,
      units: own.units ?? USUAL.units,
      seeds: count("seeds", 1_000),
      epochs: count("epochs", 1_000_000),
      activation: ACTIVATIONS.find((one) => one === own.activation) ?? USUAL.activation,
      optimizer: OPTIMIZERS.find((one) => one === own.optimizer) ?? USUAL.optimizer,
    };
  }, [parameters.toString()]);
  const jobId = parameters.get("job") ?? "";
  const update = (part: Partial<Plan>, job = jobId) => {
    const all = { ...plan, ...part, job };
    const usual: Record<string, unknown> = { ...USUAL, job: "" };
    const told = Object.entries(all).filter(([name, value]) => value !== usual[name]).map(([name, value]) => [name, String(value)]);
    navigate(`#/sweep${told.length ? `?${new URLSearchParams(told)}` : ""}`, true);
  };
  const datasets = useLoaded(() => all<DatasetSummary>("/datasets"), []);
  const { job, rows, problem: failed } = useSweep(jobId);
  const [problem, setProblem] = useState<unknown>(null);
  const call = callOf(plan);
  const running = job !== null && !isFinal(job.status);
  const run = async () => {
    setProblem(null);
    try {
      update({}, (await send<Job>(call)).body.id);
    } catch (found) {
      setProblem(found);
    }
  };
  const stop = async () => {
    try {
      await send({ method: "POST", path: `/jobs/${jobId}/cancel` });
    } catch (found) {
      setProblem(found);
    }
  };
  const names = [...new Set([plan.dataset, ...(datasets.value ?? []).filter((one) => one.task !== "regression").map((one) => one.name)])];
  return (
    <>
      <h1>{texts.sweep}</h1>
      <p>{texts.sweepLead}</p>
      <section class="card" aria-label={texts.configuration}>
        <div class="fields wide-fields">
          <Choice label={texts.dataset} value={plan.dataset} among={names.map((name) => [name, name] as const)} onChoose={(dataset) => update({ dataset })} />
          <label class="field"><span>{texts.rates}</span><input value={plan.rates} onChange={(event) => update({ rates: event.currentTarget.value })} /></label>
          <label class="field"><span>{texts.hiddenUnitCounts}</span><input value={plan.units} onChange={(event) => update({ units: event.currentTarget.value })} /></label>
          <NumberField label={texts.seeds} value={plan.seeds} low={1} high={1000} whole onChange={(seeds) => update({ seeds: seeds! })} />
          <NumberField label={texts.epochs} value={plan.epochs} low={1} high={1_000_000} whole onChange={(epochs) => update({ epochs: epochs! })} />
          <Choice label={texts.activation} value={plan.activation} among={ACTIVATIONS.map((one) => [one, one] as const)} onChoose={(activation) => update({ activation })} />
          <Choice label={texts.optimizer} value={plan.optimizer} among={OPTIMIZERS.map((one) => [one, one] as const)} onChoose={(optimizer) => update({ optimizer })} />
        </div>
        <div class="row actions">
          {running ? (
            <button type="button" class="primary stop" onClick={stop}>{texts.stop}</button>
          ) : (
            <button type="button" class="primary" onClick={run}>{texts.run}</button>
          )}
          <CopyCurl call={running ? { method: "POST", path: `/jobs/${jobId}/cancel` } : call} />
          {job && <span role="status" class="row">
            <span class={`badge status ${job.status}`}>{texts.status[job.status]}</span>
            {job.sweep && <span class="number">{texts.trainingsDone(job.sweep.done, job.sweep.trainings)}</span>}
            <a href={`#/jobs/${job.id}`}>{texts.jobPage}</a>
          </span>}
        </div>
        <Trouble of={problem ?? failed} />
        {job?.error && <p class="trouble" role="alert">{job.error.message}</p>}
      </section>
      {job && rows.length > 0 && <HeatMap job={job} rows={rows} />}
    </>
  );
}

function HeatMap({ job, rows }: { job: Job; rows: SweepRow[] }) {
  const texts = useTexts();
  const found = useMemo(() => cells(rows), [rows]);
  const rates = [...new Set(found.map((cell) => cell.rate))].sort((a, b) => a - b);
  const units = [...new Set(found.map((cell) => cell.units))].sort((a, b) => b - a);
  const percent = (share: number) => `${Math.round(100 * share)} %`;
  const open = ({ best }: Cell): string =>
    toAddress({
      ...DEFAULTS,
      dataset: job.dataset,
      layers: best.hidden_layers,
      activation: best.activation,
      optimizer: best.optimizer,
      rate: best.learning_rate,
      epochs: best.epochs,
      batch: best.batch_size,
      seed: best.seed,
      decay: best.weight_decay,
    });
  return (
    <section class="card" aria-labelledby="heat-title">
      <h2 id="heat-title">{texts.converged}</h2>
      <p class="small soft">{texts.convergedHint}. {texts.openMember}</p>
      <div class="scroll-x" tabIndex={0} role="group" aria-label={texts.converged}>
        <table class="heat" aria-labelledby="heat-title">
          <tbody>
            {units.map((count) => (
              <tr>
                <th scope="row" class="number">{count}</th>
                {rates.map((rate) => {
                  const cell = found.find((one) => one.rate === rate && one.units === count);
                  if (!cell) return <td />;
                  const [red, green, blue] = between(0.15 + 0.7 * cell.converged).map(Math.round);
                  return (
                    <td style={{ background: `rgb(${red} ${green} ${blue})` }}>
                      <a href={open(cell)} aria-label={texts.cell(String(rate), String(count), percent(cell.converged))} title={`${texts.loss} ${short(cell.best.train_loss)}`}>{percent(cell.converged)}</a>
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
