/** Playground: data, a network and how to train it, and what it answers along the epochs. */

import { useCallback, useEffect, useId, useMemo, useRef, useState } from "preact/hooks";
import { type Dataset, type Feature, get, type LayerParameters, type Preprocessing } from "./api";
import { Confusion } from "./confusion";
import { Controls, guessedInputs, isAwaited, isRunning, type Parts } from "./controls";
import { short } from "./curves";
import { chosenDerived, DataPanel, storeSample, usable } from "./data";
import { Diagram, unitName } from "./diagram";
import { Check, Choice } from "./fields";
import { CurvesCard } from "./history";
import { Lacking, Status } from "./jobs";
import { explained, fromParameters as layersOf, fromSnapshot, inputNames, inputWidth, type Layer, padded, spelled, widths } from "./network";
import { asNumber, type Axes, type Axis, classColour, between, PartKeys, type Point, Region, type Scale, ScaleKey, type Unit } from "./region";
import { isOfOthers, setupOf } from "./opening";
import { type Run, useRun } from "./run";
import { datasetName, fromParameters, type Setup, toAddress, unreadDerived, type Update } from "./setup";
import { type Address, Failure, navigate, parseAddress, Trouble, useChoices, useLoaded, useTexts } from "./shell";
import { Staged } from "./staged";
import { useWhatIf, WhatIf } from "./whatif";

const REPLAY_SECONDS = 5;

export function Playground({ parameters }: Address) {
  const { texts, language } = useChoices();
  const setup = useMemo(() => fromParameters(parameters), [parameters.toString()]);
  const update = useCallback<Update>((change) => {
    const { page, parameters } = parseAddress(location.hash);
    if (page !== "playground") return; // what was waited for came when somebody had gone on
    const now = fromParameters(parameters);
    navigate(toAddress({ ...now, ...(typeof change === "function" ? change(now) : change) }), true);
  }, []);
  const loaded = useDataset(setup);
  const { names: storing, hold } = useHeld();
  // What is about to be stored takes the place of what is here.
  const found = storing.length ? null : loaded.found;
  const run = useRun(setup.job, language);
  const isFixed = isRunning(setup, run) || isAwaited(setup, run);
  const now: Parts = { setup, update, dataset: found?.dataset ?? null, run };
  /** What stays on the page while another dataset is loaded. */
  const last = useRef<Parts | null>(null);
  const dataStatus = useId();
  if (found) last.current = found.dataset && now;
  const shown = last.current ?? now;
  const stale = shown !== now;
  return (
    <>
      <h1 class="hidden">{texts.playground}</h1>
      <div class="playground">
        <div class="side">
          <fieldset class="plain" disabled={isFixed}>
            <Staged>
              <DataPanel
                setup={setup}
                update={update}
                dataset={shown.dataset}
                loading={!found}
                storing={storing[0] ?? null}
                onStoring={hold}
                status={dataStatus}
                problem={found?.problem ?? null}
                again={loaded.again}
              />
            </Staged>
          </fieldset>
        </div>
        <div class="middle">
          <Controls {...now} last={shown.dataset} dataStatus={dataStatus} unread={unreadDerived(parameters)} />
          <div class={stale ? "stale" : ""} inert={stale} aria-busy={stale}><Results {...shown} /></div>
        </div>
      </div>
    </>
  );
}

/** Names that are held, each until what `hold` gave is called. */
function useHeld() {
  const [names, setNames] = useState<string[]>([]);
  const hold = useCallback((name: string) => {
    setNames((last) => [...last, name]);
    return () => setNames((last) => last.filter((_, at) => at !== last.indexOf(name)));
  }, []);
  return { names, hold };
}

/** What came of loading a dataset. */
interface Found {
  name: string;
  dataset: Dataset | null;
  problem: unknown;
}

/** The dataset that is set; null while it is loaded. */
function useDataset(setup: Setup): { found: Found | null; again: () => void } {
  const name = datasetName(setup);
  const { value, again } = useLoaded<Found>(async () => {
    try {
      if (!setup.dataset) await storeSample(setup.sample);
      return { name, dataset: await get<Dataset>(`/datasets/${encodeURIComponent(name)}`), problem: null };
    } catch (problem) {
      return { name, dataset: null, problem };
    }
  }, [name]);
  return { found: value?.name === name ? value : null, again };
}

/** Which record is shown: the last one, or another while the slider or the replay says so. */
function useReplay(run: Run, jobId: string) {
  const [at, setAt] = useState<number | null>(null);
  const [playing, setPlaying] = useState(false);
  const count = run.records.length;
  const last = count - 1;
  const opened = useRef({ jobId, since: performance.now(), wasDone: false });
  if (opened.current.jobId !== jobId) opened.current = { jobId, since: performance.now(), wasDone: false };
  useEffect(() => {
    setAt(null);
    setPlaying(false);
  }, [jobId]);
  useEffect(() => {
    // What came all at once is shown once more, slowly enough to be seen.
    const quick = performance.now() - opened.current.since < 4_000;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (!run.done || opened.current.wasDone) return;
    opened.current.wasDone = true;
    if (quick && !still && run.snapshots.size > 1) {
      setAt(0);
      setPlaying(true);
    }
  }, [run.done]);
  useEffect(() => {
    if (!playing || last < 1) return;
    const began = performance.now();
    const from = at === null || at >= last ? 0 : at;
    let frame = requestAnimationFrame(function step(now) {
      const place = Math.min(last, from + Math.floor(((now - began) / 1_000 / REPLAY_SECONDS) * last));
      setAt(place);
      if (place >= last) setPlaying(false);
      else frame = requestAnimationFrame(step);
    });
    return () => cancelAnimationFrame(frame);
  }, [playing, last < 1]);
  const shown = at === null ? last : Math.min(at, last);
  const go = (place: number) => {
    setPlaying(false);
    setAt(place >= last ? null : Math.max(0, place));
  };
  /** One record back, and one on; once no more will come, from the last one to the first. */
  const back = shown > 0 ? shown - 1 : null;
  const on = shown < last ? shown + 1 : run.done && last > 0 ? 0 : null;
  return { shown, playing, setPlaying, go, back, on, last };
}

/** The preprocessing of a job; before there is one, as the whole table would have it. */
function guessedPreprocessing(setup: Setup, dataset: Dataset): Preprocessing {
  const target = setup.target || dataset.target;
  const names = usable(setup, dataset);
  const features = dataset.columns.filter((column) => names.includes(column.name)).map((column): Feature => {
    if (column.kind === "categorical") return { kind: "categorical", name: column.name, categories: [], missing: "place", fill: null };
    if (column.kind !== "numeric") return { kind: "boolean", name: column.name, fill: null };
    return { kind: "numeric", name: column.name, mean: column.mean ?? 0, scale: column.standard_deviation || 1, fill: null };
  });
  const labels = [...new Set(dataset.records.map((record) => record[target] ?? null))].filter((label) => label !== null);
  const task = target === dataset.target && dataset.task ? dataset.task : labels.length <= 2 ? "binary" : "multiclass";
  const sorted = labels.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return { features, derived: chosenDerived(setup, dataset), target: { name: target, task, classes: task === "regression" ? null : sorted } };
}

interface Rows {
  preprocessing: Preprocessing;
  rows: { part: Point["part"]; inputs: (string | number | boolean | null)[]; target: string | number | boolean | null }[];
  /** Whether they are those of the job, with its parts. */
  exact: boolean;
  mean: number;
  scale: number;
}

function useRows({ setup, dataset, run }: Parts): Rows | null {
  // Published weights answer in the target's own unit, recorded ones in the standardised one.
  const published = run.done && run.snapshots.size === 0;
  // What a memo gives stays the very same while the run goes on: numbers that were changed belong to it.
  const exact = useMemo(() => {
    if (!run.rows) return null;
    const { preprocessing, data, target_mean: mean, target_scale: scale } = run.rows;
    return { preprocessing, rows: data, exact: true, mean: published ? 0 : mean, scale: published ? 1 : scale };
  }, [run.rows, published]);
  const guessed = useMemo(() => {
    if (exact || !dataset) return null;
    const preprocessing = guessedPreprocessing(setup, dataset);
    const rows = dataset.records
      .filter((record) => record[preprocessing.target.name] != null)
      .map((record) => ({
        part: "train" as const,
        inputs: preprocessing.features.map((feature) => record[feature.name] ?? null),
        target: record[preprocessing.target.name] ?? null,
      }));
    return { preprocessing, rows, exact: false, mean: 0, scale: 1 };
  }, [exact, dataset, setup.target, setup.without.join("~"), JSON.stringify(setup.derived)]);
  return exact ?? guessed;
}

/** The weights of the record that is shown; the published ones where none are recorded. */
function useLayers(run: Run, rows: Rows | null, epoch: number | undefined): Layer[] | null {
  const [published, setPublished] = useState<{ id: string; layers: Layer[] } | null>(null);
  const link = run.done && run.job?.status === "succeeded" && run.snapshots.size === 0 ? run.job.links.model : null;
  useEffect(() => {
    if (!link || !run.job) return;
    const id = run.job.id;
    get<{ layers: LayerParameters[] }>(`${link}/parameters`).then(({ layers }) => setPublished({ id, layers: layersOf(layers) }), () => undefined);
  }, [link]);
  const snapshot = epoch === undefined ? undefined : run.snapshots.get(epoch);
  const network = run.job?.network;
  return useMemo(() => {
    if (!rows?.exact || !network) return null;
    if (snapshot === undefined) return published && published.id === run.job?.id ? published.layers : null;
    const { target } = rows.preprocessing;
    return fromSnapshot(snapshot, widths(inputWidth(rows.preprocessing), network.hidden_layers, target), network.activation, target.task);
  }, [snapshot, rows, network?.hidden_layers.join("-"), network?.activation, published]);
}

function useScale(rows: Rows | null): Scale {
  return useMemo(() => {
    const target = rows?.preprocessing.target ?? { task: "binary" as const, classes: [0, 1] };
    const numbers = target.task === "regression" && rows ? rows.rows.map((row) => (asNumber(row.target) - rows.mean) / rows.scale) : [0, 1];
    return { task: target.task, classes: target.classes, values: padded(numbers, 0) };
  }, [rows]);
}

/** Put the features that tell most of the target first, by the rows that the dataset shows. */
function ranked(names: string[], dataset: Dataset | null, rows: Rows): string[] {
  const target = rows.preprocessing.target.name;
  const known = (dataset?.records ?? []).filter((record) => record[target] != null);
  const told = (name: string) => explained(known.map((record) => asNumber(record[name])), known.map((record) => record[target]!));
  const shares = new Map(names.map((name) => [name, told(name)]));
  return [...names].sort((a, b) => shares.get(b)! - shares.get(a)!);
}

function useAxes(setup: Setup, dataset: Dataset | null, rows: Rows | null): (Axes & { names: string[] }) | null {
  return useMemo(() => {
    if (!rows) return null;
    const { features } = rows.preprocessing;
    const names = features.filter((feature) => feature.kind !== "categorical").map((feature) => feature.name);
    if (!names.length) return null;
    const telling = names.length > 2 ? ranked(names, dataset, rows) : names;
    const xName = names.includes(setup.x) ? setup.x : (telling.find((name) => name !== setup.y) ?? names[0]!);
    const yName = names.includes(setup.y) && setup.y !== xName ? setup.y : telling.find((name) => name !== xName);
    const axis = (name: string): Axis => {
      const at = features.findIndex((feature) => feature.name === name);
      return { name, at, range: padded(rows.rows.map((row) => asNumber(row.inputs[at])), 0.15) };
    };
    return { x: axis(xName), y: yName === undefined ? null : axis(yName), names };
  }, [rows, dataset, setup.x, setup.y]);
}

function usePoints(rows: Rows | null, axes: Axes | null, scale: Scale): Point[] {
  return useMemo(() => {
    if (!rows || !axes) return [];
    return rows.rows.map(({ part, inputs, target }, row) => {
      const share = (asNumber(target) - rows.mean) / rows.scale;
      const colour =
        scale.task === "regression"
          ? `rgb(${between((share - scale.values.low) / (scale.values.high - scale.values.low || 1)).map(Math.round).join(" ")})`
          : classColour(Math.max(0, scale.classes?.findIndex((label) => label === target) ?? 0));
      return { x: asNumber(inputs[axes.x.at]), y: axes.y ? asNumber(inputs[axes.y.at]) : (row + 0.5) / rows.rows.length, colour, part, label: spelled(target) };
    }).filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y));
  }, [rows, axes, scale]);
}

/** The unit that is pointed at, the one that is held, and whether the plane shows what that gives; none of another network. */
function usePin(network: string) {
  const [pointed, setPointed] = useState<{ network: string; unit: Unit } | null>(null);
  const [state, setState] = useState<{ network: string; unit: Unit; input: number | null; isShown: boolean } | null>(null);
  const current = state?.network === network ? state : null;
  return {
    pointed: pointed?.network === network ? pointed.unit : null,
    point: (unit: Unit | null) => setPointed(unit && { network, unit }),
    unit: current?.unit ?? null,
    input: current?.input ?? null,
    isShown: current?.isShown ?? false,
    set: (unit: Unit | null, input?: number) => setState(unit && { network, unit, input: input ?? null, isShown: input === undefined }),
    show: (isShown: boolean) => setState((last) => last && { ...last, isShown }),
  };
}

function Results(shown: Parts) {
  const { setup, update, dataset, run } = shown;
  const texts = useTexts();
  const replay = useReplay(run, setup.job);
  const rows = useRows(shown);
  const record = run.records[replay.shown];
  const trained = useLayers(run, rows, record?.epoch);
  const { layers, edits, change, restore } = useWhatIf(trained);
  const scale = useScale(rows);
  const axes = useAxes(setup, dataset, rows);
  const points = usePoints(rows, axes, scale);
  const parts = useMemo(() => new Set(rows?.rows.map((row) => row.part)), [rows]);
  // The only part that there is stays.
  const unseen = parts.size > 1 ? setup.unseen : [];
  const seen = useMemo(() => points.filter(({ part }) => !unseen.includes(part)), [points, unseen.join()]);
  const [threshold, setThreshold] = useState(0.5);
  const network = run.job?.network;
  const units = rows
    ? widths(rows.exact || !dataset ? inputWidth(rows.preprocessing) : guessedInputs(setup, dataset).length, network?.hidden_layers ?? setup.layers, rows.preprocessing.target)
    : null;
  const inputs = rows?.preprocessing;
  /** What a number of the network is in the target's own unit. */
  const told = (output: number) => output * (rows?.scale ?? 1) + (rows?.mean ?? 0);
  const plane = useMemo(() => (axes && inputs ? { inputs, axes } : null), [axes, inputs]);
  const names = rows?.exact || !dataset ? rows && inputNames(rows.preprocessing) : guessedInputs(setup, dataset);
  const pin = usePin([names, units].join());
  const held = layers ? pin.unit : null;
  /** The unit that the plane shows in place of the answer. */
  const over = pin.pointed ?? (pin.isShown ? held : null);
  const outputs = scale.task === "multiclass" ? (scale.classes ?? []).map(spelled) : [rows?.preprocessing.target.name ?? "y"];
  return (
    <>
      <Progress setup={setup} dataset={dataset} run={run} replay={replay} />
      <div class="results">
        <div class="column">
        <div class="card network">
          {units && (
            <Staged>
              <Diagram
                units={units}
                inputs={names!}
                outputs={outputs}
                layers={layers}
                plane={plane}
                onPoint={pin.point}
                pinned={held}
                onPin={pin.set}
              />
            </Staged>
          )}
          {held && held.layer > 0 && (
            <WhatIf
              unit={held}
              inputs={held.layer === 1 ? names! : Array.from({ length: units![held.layer - 1]! }, (_, unit) => unitName(held.layer - 1, unit))}
              trained={trained!}
              layers={layers!}
              edits={edits}
              focus={pin.input}
              onChange={(edit) => {
                // What the network answers is what is asked; who wants to see the unit says so.
                if (!edits.length) pin.show(false);
                change(edit);
              }}
              onRestore={restore}
              onClose={() => {
                document.querySelector<SVGElement>(`[data-unit="${held.layer}.${held.unit}"]`)?.focus();
                pin.set(null);
              }}
            />
          )}
        </div>
        <CurvesCard setup={setup} update={update} run={run} shown={record?.epoch ?? null} onPick={(epoch) => replay.go(run.records.findIndex((one) => one.epoch === epoch))} />
        </div>
        <div class="column">
        <section class="card output" aria-labelledby="region-title">
          <h2 id="region-title">{texts.region}{edits.length > 0 && <> <span class="badge">{texts.whatIf}</span></>}</h2>
          {axes && plane && rows ? (
            <>
              {axes.y && axes.names.length > 2 && (
                <div class="fields axes">
                  <Choice label={texts.horizontal} value={axes.x.name} among={axes.names.map((name) => [name, name] as const)} onChoose={(x) => update({ x })} />
                  <Choice label={texts.vertical} value={axes.y.name} among={axes.names.filter((name) => name !== axes.x.name).map((name) => [name, name] as const)} onChoose={(y) => update({ y })} />
                </div>
              )}
              {held && (
                <div class="row small" role="group" aria-label={texts.shownInRegion}>
                  <button type="button" aria-pressed={!pin.isShown} onClick={() => pin.show(false)}>{texts.networkAnswer}</button>
                  <button type="button" aria-pressed={pin.isShown} onClick={() => pin.show(true)}>{texts.unitShown(held.name)}</button>
                </div>
              )}
              <Staged>
                <Region
                  layers={layers}
                  inputs={rows.preprocessing}
                  axes={axes}
                  points={seen}
                  scale={scale}
                  hard={setup.hard}
                  threshold={threshold}
                  told={told}
                  unit={over}
                />
              </Staged>
              <div class="row small">
                {scale.task === "regression" ? (
                  <ScaleKey title={rows.preprocessing.target.name} values={{ low: told(scale.values.low), high: told(scale.values.high) }} isOfUnit={over !== null} />
                ) : (
                  <ClassKeys scale={scale} />
                )}
                <PartKeys
                  parts={parts}
                  unseen={unseen}
                  onToggle={(part) => update(({ unseen }) => ({ unseen: unseen.includes(part) ? unseen.filter((other) => other !== part) : [...unseen, part] }))}
                />
                {scale.task !== "regression" && <Check label={texts.hard} checked={setup.hard} onChange={(hard) => update({ hard })} />}
              </div>
              {rows.preprocessing.features.length > (axes.y ? 2 : 1) && <p class="small soft">{texts.othersFixed}</p>}
              {!setup.job && <p class="small soft">{texts.pressTrain}</p>}
            </>
          ) : rows && <p class="soft">{texts.noRegion}</p>}
        </section>
        {run.rows && <Staged><Confusion rows={run.rows} layers={layers} told={told} isWhatIf={edits.length > 0} threshold={threshold} onThreshold={setThreshold} /></Staged>}
        <Verdict run={run} />
        </div>
      </div>
    </>
  );
}

function ClassKeys({ scale }: { scale: Scale }) {
  return (
    <>
      {(scale.classes ?? []).slice(0, 10).map((label, at) => (
        <span class="key">
          <svg width="12" height="12" aria-hidden="true"><circle cx="6" cy="6" r="5" fill={classColour(at)} /></svg>
          {spelled(label)}
        </span>
      ))}
    </>
  );
}

function Progress({ setup, dataset, run, replay }: Omit<Parts, "update"> & { replay: ReturnType<typeof useReplay> }) {
  const texts = useTexts();
  const record = run.records[replay.shown];
  const job = run.job;
  if (!setup.job) return null;
  const epochs = job && "epochs" in job.progress ? job.progress.epochs : setup.epochs;
  return (
    <section class="card replay" aria-label={texts.training}>
      <Trouble of={run.problem} />
      {job && run.deleted && <p class="trouble" role="alert">{texts.jobDeleted}</p>}
      <div class="row">
        <button type="button" aria-label={replay.playing ? texts.pause : texts.play} title={replay.playing ? texts.pause : texts.play} onClick={() => replay.setPlaying(!replay.playing)} disabled={replay.last < 1}>
          {replay.playing ? "❚❚" : "▶"}
        </button>
        <button type="button" aria-label={texts.stepBack} title={texts.stepBack} onClick={() => replay.back !== null && replay.go(replay.back)} aria-disabled={replay.back === null}>◂</button>
        <button type="button" aria-label={texts.stepOn} title={texts.stepOn} onClick={() => replay.on !== null && replay.go(replay.on)} aria-disabled={replay.on === null}>{texts.oneStep} ▸</button>
        <input
          class="grow"
          type="range"
          aria-label={texts.scrub}
          aria-valuetext={record ? `${texts.epoch} ${record.epoch}` : undefined}
          min="0"
          max={Math.max(0, replay.last)}
          value={Math.max(0, replay.shown)}
          disabled={replay.last < 1}
          onInput={(event) => replay.go(Number(event.currentTarget.value))}
        />
      </div>
      <div class="row between small">
        <span class="number epoch">
          {texts.epoch} <strong>{record ? record.epoch : "–"}</strong> / {epochs - 1}
          {record && <> · {texts.loss} {short(record.train_loss)}</>}
          {record?.train_accuracy != null && <> · {texts.accuracy} {short(record.train_accuracy, 3)}</>}
          {record?.valid_loss != null && <> · {texts.validationCurve} {short(record.valid_loss)}</>}
        </span>
        <span role="status" class="row">
          {!run.connected && <span class="bad">{texts.reconnecting}</span>}
          {job && !run.deleted && (
            <>
              <Lacking job={job} />
              <Status job={job} />
              <a href={`#/jobs/${job.id}`}>{texts.jobPage}</a>
            </>
          )}
          {job?.model && run.done && <a href={`#/models/${encodeURIComponent(job.model.name)}`}>{texts.openModel}</a>}
        </span>
      </div>
      {job && isOfOthers(setup, job) && (
        <p class="small" role="status">
          {texts.otherSettings}{" "}
          <a href={toAddress(setupOf(job, dataset?.name === job.dataset ? dataset : null))}>{texts.showSettings}</a>
        </p>
      )}
      {job?.error && <Failure of={job.error} />}
    </section>
  );
}

function Verdict({ run }: { run: Run }) {
  const texts = useTexts();
  if (!run.job?.diagnosis) return null;
  return (
    <section class={`card verdict ${run.job.diagnosis.code}`} aria-labelledby="diagnosis-title">
      <h2 id="diagnosis-title">{texts.diagnosis}</h2>
      <p role="status">{run.job.diagnosis.message}</p>
    </section>
  );
}

