/** Choosing what to learn from: a gate, drawn points, a built-in table, or a file of one's own. */

import { useEffect, useRef, useState } from "preact/hooks";
import { all, type Column, type Dataset, type DatasetSummary, type Derived, get, type Page, send } from "./api";
import { NumberField, Scroll, Slider } from "./fields";
import { sameDerived, spelled } from "./network";
import { datasetName, hasClasses, SAMPLES, sampleCall, sampleName, type Sample, SHAPES, SURFACES, type Setup, type Update } from "./setup";
import { CopyCurl, Trouble, useLoaded, useTexts } from "./shell";
import { freeName, isTaken, type Source, storeAnew, Upload } from "./upload";

const SAMPLE_NAME = new RegExp(`^(${SAMPLES.join("|")})-\\d+-n`);
const SAMPLE = "~sample~";

/** Store a draw, unless it is there already: the same name means the same rows. */
export async function storeSample(sample: Sample): Promise<void> {
  const name = sampleName(sample);
  const following = await get<Page<DatasetSummary>>(`/datasets?limit=1&after=${name.slice(0, -1)}`);
  if (following.data[0]?.name === name) return;
  try {
    await send(sampleCall(sample));
  } catch (problem) {
    if (!isTaken(problem)) throw problem;
  }
}

/** A file that was stored from this page: it can be stored again with other kinds of columns. */
interface Uploaded {
  source: Source;
  /** The dataset: its name may have a number behind the source's. */
  name: string;
  rows: number;
  /** Whether a job was begun with it. */
  used: boolean;
}

interface Props {
  setup: Setup;
  update: Update;
  dataset: Dataset | null;
  /** Whether the dataset that is set is on its way: `dataset` is the one before. */
  loading: boolean;
  /** The table that is being stored, to be chosen then. */
  storing: string | null;
  /** Says that a table is being stored, until what it gives is called. */
  onStoring: (name: string) => () => void;
  /** Id of what says which table is on its way. */
  status: string;
  /** Why the dataset could not be loaded. */
  problem: unknown;
  again: () => void;
}

export function DataPanel({ setup, update, dataset, loading, storing, onStoring, status, problem, again }: Props) {
  const texts = useTexts();
  const datasets = useLoaded(() => all<DatasetSummary>("/datasets"), []);
  const choose = (name: string) =>
    update({ dataset: name === SAMPLE ? "" : name, target: "", without: [], derived: [], x: "", y: "", job: "" });
  const [uploaded, setUploaded] = useState<Uploaded | null>(null);
  const own = uploaded?.name === setup.dataset ? uploaded : null;
  useEffect(() => {
    if (own && setup.job) own.used = true;
  }, [own, setup.job]);
  const stored = (source: Source, { name, rows }: Dataset) => {
    setUploaded({ source, name, rows, used: false });
    datasets.again();
  };
  /** Store the file again, with a column of another kind, in place of what nothing was trained on. */
  const recast = async ({ source, name, used }: Uploaded, column: string, kind: Column["kind"]) => {
    const other = { ...source, kinds: { ...source.kinds, [column]: kind } };
    const release = onStoring(name);
    try {
      const again = await storeAnew(other);
      update({ dataset: again.name, job: "" });
      stored(other, again);
    } finally {
      release();
    }
    if (!used) await send({ method: "DELETE", path: `/datasets/${encodeURIComponent(name)}` });
  };
  const found = (datasets.value ?? []).filter((one) => !SAMPLE_NAME.test(one.name));
  const groups: [string, DatasetSummary[]][] = [
    [texts.truthTables, found.filter((one) => one.built_in && one.created_at === null)],
    [texts.tables, found.filter((one) => one.built_in && one.created_at !== null)],
    [texts.uploads, found.filter((one) => !one.built_in)],
  ];
  const taken = (datasets.value ?? []).map((one) => one.name);
  const known = !setup.dataset || found.some((one) => one.name === setup.dataset);
  return (
    <section class="card" aria-labelledby="data-title">
      <h2 id="data-title">{texts.data}</h2>
      <label class="field">
        <span>{texts.dataset}</span>
        <select value={setup.dataset || SAMPLE} onChange={(event) => choose(event.currentTarget.value)}>
          {!known && <option value={setup.dataset}>{setup.dataset}</option>}
          <option value={SAMPLE} selected={!setup.dataset}>{texts.sampled}</option>
          {groups.filter(([, members]) => members.length > 0).map(([label, members]) => (
            <optgroup label={label}>
              {members.map((one) => <option value={one.name} selected={one.name === setup.dataset}>{one.name}</option>)}
            </optgroup>
          ))}
        </select>
      </label>
      {!setup.dataset && <SampleFields sample={setup.sample} taken={taken} onChange={(part) => update(({ sample }) => ({ sample: { ...sample, ...part }, job: "" }))} />}
      <Upload
        chosen={datasetName(setup)}
        taken={taken}
        onStoring={onStoring}
        stored={uploaded && { ...uploaded.source, name: uploaded.name, rows: uploaded.rows }}
        onStored={(source, dataset, isNewest) => {
          stored(source, dataset);
          if (isNewest) choose(dataset.name);
        }}
      />
      <Trouble of={datasets.problem ?? problem} />
      {problem !== null && <p><button type="button" onClick={again}>{texts.retry}</button></p>}
      <p id={status} role="status" class="small soft loading">
        {storing !== null ? texts.storingDataset(storing) : loading ? texts.loadingDataset(datasetName(setup)) : ""}
      </p>
      {dataset && (
        <div class={loading ? "stale" : ""} inert={loading} aria-busy={loading}>
          <Columns setup={setup} update={update} dataset={dataset} loading={loading} recast={own && ((column, kind) => recast(own, column, kind))} />
        </div>
      )}
    </section>
  );
}

function SampleFields({ sample, taken, onChange: change }: { sample: Sample; taken: string[]; onChange: (part: Partial<Sample>) => void }) {
  const texts = useTexts();
  return (
    <>
      {([[texts.classes, SHAPES], [texts.numbers, SURFACES]] as const).map(([title, kinds]) => (
        <div class="field">
          <span>{title}</span>
          <div class="kinds" role="group" aria-label={title}>
            {kinds.map((kind) => (
              <button type="button" aria-pressed={kind === sample.kind} onClick={() => change({ kind, ...(!hasClasses(kind) && { classes: 2 }) })}>
                {texts.kinds[kind]}
              </button>
            ))}
          </div>
        </div>
      ))}
      <div class="fields">
        <NumberField label={texts.rows} value={sample.rows} low={4} high={2000} whole onChange={(rows) => change({ rows: rows! })} />
        <Slider label={texts.noise} value={sample.noise} low={0} high={Math.max(1, sample.noise)} step={0.05} onChange={(noise) => change({ noise })} />
        {hasClasses(sample.kind) && (
          <NumberField label={texts.classes} value={sample.classes} low={2} high={8} whole onChange={(classes) => change({ classes: classes! })} />
        )}
        <NumberField label={texts.drawSeed} value={sample.seed} low={0} high={2 ** 32 - 1} whole onChange={(seed) => change({ seed: seed! })} />
      </div>
      <p class="small"><CopyCurl call={sampleCall(sample, freeName(`my-${sample.kind}`, taken))} label={sampleName(sample)} /></p>
    </>
  );
}

const KINDS = ["numeric", "categorical", "boolean", "text"] as const;
const FEW_ROWS = 10;

/** Whether a column seems to name the rows: each has a category of its own, or a number in turn. */
export function looksLikeIdentifier({ kind, distinct, missing, minimum, maximum }: Column, rows: number): boolean {
  if (rows < FEW_ROWS || missing || distinct < rows) return false;
  if (kind !== "numeric") return kind === "categorical";
  return Number.isInteger(minimum) && maximum! - minimum! === rows - 1;
}

interface ColumnsProps {
  setup: Setup;
  update: Props["update"];
  dataset: Dataset;
  loading: boolean;
  /** Stores the table with a column of another kind; null where its file is not here. */
  recast: ((column: string, kind: Column["kind"]) => Promise<void>) | null;
}

function Columns({ setup, update, dataset, loading, recast }: ColumnsProps) {
  const texts = useTexts();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  useEffect(() => setProblem(null), [dataset.name]);
  const roles = useRef(new Map<string, HTMLSelectElement>());
  const kinds = useRef(new Map<string, HTMLSelectElement>());
  /** The column whose kind is being changed, and the table that it is changed from. */
  const changed = useRef<{ column: string; from: string } | null>(null);
  useEffect(() => {
    if (busy || loading || !changed.current) return;
    const { column, from } = changed.current;
    if (dataset.name === from && !problem) return; // the next table is on its way
    changed.current = null;
    // While it was stored and loaded nothing of it could have the focus.
    if (document.activeElement === document.body) kinds.current.get(column)?.focus();
  }, [busy, loading, dataset.name, problem]);
  const change = async (name: string, kind: Column["kind"]) => {
    changed.current = { column: name, from: dataset.name };
    setBusy(true);
    setProblem(null);
    await recast!(name, kind).catch(setProblem);
    setBusy(false);
  };
  const target = setup.target || dataset.target;
  const role = (name: string) => (name === target ? "target" : setup.without.includes(name) ? "unused" : "feature");
  const assign = (name: string, chosen: string) =>
    update((now) => {
      const without = now.without.filter((other) => other !== name);
      if (chosen === "target") return { target: name === dataset.target ? "" : name, without, job: "" };
      return { without: chosen === "unused" ? [...without, name] : without, job: "" };
    });
  /** Take what names the rows out; its button goes, and who pressed it comes to where that is undone. */
  const leaveOut = (name: string) => {
    roles.current.get(name)?.focus();
    assign(name, "unused");
  };
  const notes = dataset.columns.filter((column) => column.note);
  const identifiers = dataset.columns.filter((column) => role(column.name) === "feature" && looksLikeIdentifier(column, dataset.rows));
  return (
    <details class="columns" open={Boolean(setup.dataset) && (!dataset.built_in || dataset.rows <= 8)}>
      <summary>{texts.columnsAndRows}</summary>
      <Scroll label={texts.columnsAndRows}>
        <table>
          <thead>
            <tr><th scope="col">{texts.column}</th><th scope="col">{texts.kind}</th><th scope="col">{texts.role}</th></tr>
          </thead>
          <tbody>
            {dataset.columns.map((column) => (
              <tr>
                <th scope="row">{column.name}</th>
                <td>
                  {!recast ? texts.columnKinds[column.kind] : (
                    <select
                      ref={(select) => void (select ? kinds.current.set(column.name, select) : kinds.current.delete(column.name))}
                      aria-label={`${texts.kind}: ${column.name}`}
                      value={column.kind}
                      disabled={busy}
                      onChange={(event) => {
                        const chosen = event.currentTarget.value as Column["kind"];
                        event.currentTarget.value = column.kind; // until it is stored so
                        void change(column.name, chosen);
                      }}
                    >
                      {KINDS.map((kind) => <option value={kind} selected={kind === column.kind}>{texts.columnKinds[kind]}</option>)}
                    </select>
                  )}
                </td>
                <td>
                  {column.kind === "text" ? texts.unused : (
                    <select
                      ref={(select) => void (select ? roles.current.set(column.name, select) : roles.current.delete(column.name))}
                      aria-label={`${texts.role}: ${column.name}`}
                      value={role(column.name)}
                      disabled={role(column.name) === "target"}
                      onChange={(event) => assign(column.name, event.currentTarget.value)}
                    >
                      {(["feature", "target", "unused"] as const).map((one) => (
                        <option value={one} selected={one === role(column.name)}>{texts[one]}</option>
                      ))}
                    </select>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      <Trouble of={problem} />
      {notes.map((column) => <p class="small bad">{column.name}: {column.note}</p>)}
      {identifiers.map(({ name }) => (
        <p class="small bad">
          {name}: {texts.identifier}{" "}
          <button type="button" class="quiet" onClick={() => leaveOut(name)}>{texts.leaveOut(name)}</button>
        </p>
      ))}
      {!recast && !dataset.built_in && setup.dataset && <p class="small soft">{texts.kindsByFile}</p>}
      <h3>{texts.preview}</h3>
      <p class="small soft">{texts.firstRows(Math.min(8, dataset.records.length), dataset.rows)}</p>
      <Scroll label={texts.preview}>
        <table>
          <thead><tr>{dataset.columns.map((column) => <th scope="col">{column.name}</th>)}</tr></thead>
          <tbody>
            {dataset.records.slice(0, 8).map((record) => (
              <tr>{dataset.columns.map((column) => <td>{spelled(record[column.name] ?? null)}</td>)}</tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </details>
  );
}

/** The features that a job is told; null: all that the service takes by itself. */
export function chosenFeatures(setup: Setup, dataset: Dataset): string[] | null {
  if (!setup.without.length) return null;
  const target = setup.target || dataset.target;
  return usable(setup, dataset).filter((name) => name !== target);
}

/** Columns that are features, in the table's order. */
export function usable(setup: Setup, dataset: Dataset): string[] {
  const target = setup.target || dataset.target;
  return dataset.columns
    .filter((column) => column.kind !== "text" && column.name !== target && !setup.without.includes(column.name))
    .map((column) => column.name);
}

/** The features of which inputs are derived: those that are a number each. */
function numbers(setup: Setup, dataset: Dataset): Set<string> {
  const isCategory = (name: string) => dataset.columns.some((column) => column.name === name && column.kind === "categorical");
  return new Set(usable(setup, dataset).filter((name) => !isCategory(name)));
}

/** What can be derived from one feature or two, where there are no more, and they are numbers. */
function derivable(setup: Setup, dataset: Dataset): Derived[] {
  const names = usable(setup, dataset);
  if (names.length > 2 || numbers(setup, dataset).size < names.length) return [];
  return [
    ...names.map((name): Derived => ({ function: "square", of: [name] })),
    ...(names.length === 2 ? [{ function: "product" as const, of: names }] : []),
    ...names.map((name): Derived => ({ function: "sine", of: [name] })),
  ];
}

/** What can be derived, and what is derived already, whatever has become of its features since. */
export function offered(setup: Setup, dataset: Dataset): Derived[] {
  const possible = derivable(setup, dataset);
  return [...possible, ...chosenDerived(setup, dataset).filter((one) => !possible.some((other) => sameDerived(one, other)))];
}

/** What is derived from the features that are in, in the order that it was chosen. */
export function chosenDerived(setup: Setup, dataset: Dataset): Derived[] {
  const known = numbers(setup, dataset);
  return setup.derived.filter(({ of }) => of.every((name) => known.has(name)));
}

/** What the table cannot give, whichever of its features are in. */
export function impossibleDerived(setup: Setup, dataset: Dataset): Derived[] {
  const known = numbers({ ...setup, without: [] }, dataset);
  return setup.derived.filter(({ of }) => !of.every((name) => known.has(name)));
}
