/** Models: versions and aliases, cards, files to take away, and a form to predict with. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Alias, all, type Call, type Card, type Feature, get, type ModelSummary, type ModelVersion, type Prediction, Problem, send } from "./api";
import { CurvesCard } from "./history";
import { columnsOf, columnsOfCard, Facts, Figures, figuresOf, MetricsCard, settingsOf } from "./facts";
import { REFRESH_MILLISECONDS } from "./jobs";
import { short } from "./curves";
import { spelled } from "./network";
import { NOTHING, type Run } from "./run";
import { type Address, CopyCurl, Dialog, navigate, Trouble, useChoices, useLoaded, useTexts, Waiting } from "./shell";

export function Models({ rest }: Address) {
  return rest[0] ? <ModelPage key={rest[0]} name={rest[0]} chosen={rest[1] ?? "latest"} /> : <ModelList />;
}

function pathOf(name: string, rest = ""): string {
  return `/models/${encodeURIComponent(name)}${rest}`;
}

function ModelList() {
  const texts = useTexts();
  const models = useLoaded(() => all<ModelSummary>("/models", 500), []);
  useEffect(() => {
    // Models come from jobs of anybody, and names are moved by anybody: no stream of events tells of all that.
    const timer = setInterval(() => document.visibilityState === "visible" && models.again(), REFRESH_MILLISECONDS);
    return () => clearInterval(timer);
  }, [models.again]);
  return (
    <>
      <div class="row between"><h1>{texts.models}</h1><CopyCurl call={{ path: "/models" }} /></div>
      <Waiting on={models}>
        {(found) =>
          found.length === 0 ? <p>{texts.noModels}</p> : (
            <div class="card scroll tall" tabIndex={0} role="region" aria-label={texts.models}>
              <table class="cards">
                <thead>
                  <tr><th scope="col">{texts.model}</th><th scope="col" class="number">{texts.score}</th><th scope="col">{texts.dataset}</th><th scope="col">{texts.task}</th><th scope="col" class="number">{texts.versions}</th><th scope="col">{texts.aliases}</th><td /></tr>
                </thead>
                <tbody>
                  {found.map((model) => (
                    <tr key={model.name}>
                      <td><a class="name" title={model.name} href={`#/models/${encodeURIComponent(model.name)}`}>{model.name}</a></td>
                      <td class="number">{model.current.score && texts.scored(model.current.score.metric, short(model.current.score.value, 3), model.current.score.part)}</td>
                      <td data-label={texts.dataset}><span class="name" title={model.current.dataset}>{model.current.dataset}</span></td>
                      <td>{texts.tasks[model.current.task]}</td>
                      <td class="number" data-label={texts.versions}>{model.versions.length}</td>
                      <td>{Object.entries(model.aliases).map(([alias, version]) => <span class="badge">{alias} → {version}</span>)}</td>
                      <td>{model.built_in && <span class="badge soft">{texts.builtIn}</span>}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Waiting>
    </>
  );
}

function ModelPage({ name, chosen }: { name: string; chosen: string }) {
  const { texts, language } = useChoices();
  const model = useLoaded(() => get<ModelSummary>(pathOf(name)), [name]);
  const version = useLoaded(() => get<ModelVersion>(pathOf(name, `/versions/${encodeURIComponent(chosen)}`)), [name, chosen, language, model.value]);
  return (
    <>
      <p><a href="#/models">← {texts.models}</a></p>
      <h1>{name}</h1>
      <Waiting on={model}>
        {(summary) => (
          <div class="two">
            <div>
              <Versions summary={summary} shown={version.value?.version ?? null} again={model.again} />
              <Waiting on={version}>{(found) => <PredictForm key={`${found.name} ${found.version}`} version={found} />}</Waiting>
            </div>
            <div>{version.value && <CardView version={version.value} />}</div>
          </div>
        )}
      </Waiting>
    </>
  );
}

interface Asking {
  question: string;
  call: Call;
  /** The version that is deleted. */
  removes?: number;
}

/** The part of an alias's traffic that a version answers. */
export function shareOf({ version, split }: Pick<Alias, "version" | "split">, of: number): number {
  const shares = split ?? [{ version, weight: 1 }];
  const all = shares.reduce((sum, share) => sum + share.weight, 0);
  return (shares.find((share) => share.version === of)?.weight ?? 0) / all;
}

function Versions({ summary, shown, again }: { summary: ModelSummary; shown: number | null; again: () => void }) {
  const texts = useTexts();
  const [alias, setAlias] = useState("");
  const [asking, setAsking] = useState<Asking | null>(null);
  const aliases = useLoaded(
    () => Promise.all(Object.keys(summary.aliases).filter((name) => name !== "latest").map((name) => get<Alias>(pathOf(summary.name, `/aliases/${name}`)))),
    [summary],
  );
  const [problem, setProblem] = useState<unknown>(null);
  const guarded = async (work: () => Promise<void>) => {
    setProblem(null);
    try {
      await work();
    } catch (found) {
      setProblem(found instanceof Problem && found.status === 412 ? new Problem(412, texts.movedSince, "") : found);
      if (found instanceof Problem && found.status === 412) again();
    }
  };
  /** Moving needs the state that was seen: whoever moved it meanwhile is not overruled. */
  const conditions = async (name: string): Promise<Record<string, string>> =>
    name in summary.aliases
      ? { "If-Match": (await send(({ path: pathOf(summary.name, `/aliases/${name}`) }))).headers.get("ETag") ?? "" }
      : {};
  const move = (name: string, version: number) =>
    guarded(async () => {
      const call: Call = { method: "PUT", path: pathOf(summary.name, `/aliases/${encodeURIComponent(name)}`), body: { version }, headers: await conditions(name) };
      const last = aliases.value?.find((one) => one.alias === name);
      const more = last && (last.split || last.shadows.length > 0) ? ` ${texts.replacesSplit}` : "";
      setAsking({ question: texts.moveAlias(name, summary.aliases[name] ?? null, version) + more, call });
    });
  const drop = (name: string) =>
    guarded(async () => {
      const call: Call = { method: "DELETE", path: pathOf(summary.name, `/aliases/${name}`), headers: await conditions(name) };
      setAsking({ question: texts.dropAlias(name), call });
    });
  const confirm = () =>
    guarded(async () => {
      await send(asking!.call);
      setAlias("");
      const gone = asking!.removes;
      if (gone !== undefined && summary.versions.length === 1) {
        navigate("#/models", true);
        return;
      }
      if (gone !== undefined && gone === shown) navigate(`#/models/${encodeURIComponent(summary.name)}`, true);
      again();
    });
  return (
    <section class="card" aria-labelledby="versions-title">
      <div class="row between"><h2 id="versions-title">{texts.versions}</h2><CopyCurl call={{ path: pathOf(summary.name) }} label={summary.name} /></div>
      <Trouble of={problem} />
      <table aria-labelledby="versions-title">
        <tbody>
          {[...summary.versions].sort((a, b) => b - a).map((version) => (
            <tr class={version === shown ? "differs" : ""}>
              <th scope="row"><a href={`#/models/${encodeURIComponent(summary.name)}/${version}`} aria-current={version === shown ? "true" : undefined}>{texts.version} {version}</a></th>
              <td>
                {summary.aliases.latest === version && <span class="badge">latest</span>}
                {(aliases.value ?? []).filter((one) => shareOf(one, version) > 0).map((one) => (
                  <span class="badge">
                    {one.alias}{one.split && ` ${Math.round(100 * shareOf(one, version))} %`}
                    {!summary.built_in && (
                      <button type="button" class="cross" aria-label={texts.dropAlias(one.alias)} onClick={() => drop(one.alias)}>×</button>
                    )}
                  </span>
                ))}
                {(aliases.value ?? []).filter((one) => one.shadows.includes(version)).map((one) => (
                  <span class="badge soft">{one.alias}: {texts.shadow}</span>
                ))}
              </td>
              <td>
                <div class="row end">
                {alias && <button type="button" onClick={() => move(alias, version)}>{texts.setAlias}</button>}
                {!summary.built_in && (
                  <button type="button" class="quiet danger" onClick={() => setAsking({ question: texts.removeVersion(version), call: { method: "DELETE", path: pathOf(summary.name, `/versions/${version}`) }, removes: version })}>
                    {texts.remove}
                  </button>
                )}
                </div>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {!summary.built_in && (
        <label class="field alias">
          <span>{texts.newAlias}</span>
          <input value={alias} list="aliases" placeholder="production" onInput={(event) => setAlias(event.currentTarget.value.trim())} />
          <datalist id="aliases">{Object.keys(summary.aliases).filter((name) => name !== "latest").map((name) => <option value={name} />)}</datalist>
        </label>
      )}
      {asking && (
        <Dialog title={asking.question} onClose={() => setAsking(null)} onConfirm={confirm}><CopyCurl call={asking.call} /></Dialog>
      )}
    </section>
  );
}

function bytes(size: number): string {
  return size < 10_000 ? `${size} B` : size < 10_000_000 ? `${Math.round(size / 1000)} kB` : `${Math.round(size / 1e6)} MB`;
}

/** The curves of a card, as those of a job. */
function runOf(card: Card): Run {
  return { ...NOTHING, records: card.history, done: true };
}

function CardView({ version }: { version: ModelVersion }) {
  const texts = useTexts();
  const [log, setLog] = useState(true);
  const { card } = version;
  const path = pathOf(version.name, `/versions/${version.version}`);
  const run = useMemo(() => runOf(card), [card]);
  return (
    <>
      <section class="card" aria-labelledby="card-title">
        <h2 id="card-title">{texts.card}: {texts.version} {version.version}</h2>
        {card.diagnosis && <p>{card.diagnosis.message}</p>}
        <Facts
          of={[
            [texts.dataset, card.dataset],
            ...columnsOf(columnsOfCard(card), texts),
            ...(card.hyperparameters ? settingsOf(card.hyperparameters, texts) : []),
            [texts.parameters, card.parameters.total],
            [texts.size, bytes(version.size_bytes)],
            ["SHA-256", `${version.sha256.slice(0, 16)}…`],
          ]}
        />
        <div class="row">
          <strong>{texts.downloads}</strong>
          <a href={`${path}/safetensors`} download>safetensors</a>
          <a href={`${path}/onnx`} download>ONNX</a>
          <a href={`${path}/card`} download={`${version.name}-${version.version}.json`}>{texts.card} (JSON)</a>
          {card.job_id && <a href={`#/jobs/${card.job_id}`}>{texts.jobPage}</a>}
        </div>
        <Figures at={path} kinds={["boundary", "network", ...figuresOf(card.history, card.metrics)]} />
        <p class="small"><CopyCurl call={{ path: `${path}/card`, headers: { Accept: "text/markdown" } }} label={texts.card} /></p>
      </section>
      <CurvesCard setup={{ log }} update={(part) => setLog(part.log)} run={run} shown={null} />
      {card.metrics && <MetricsCard metrics={card.metrics} classes={card.preprocessing?.target.classes} />}
      {card.importance.length > 1 && <Importance of={card.importance} />}
    </>
  );
}

function Importance({ of }: { of: Card["importance"] }) {
  const texts = useTexts();
  const sorted = [...of].sort((a, b) => b.mean - a.mean).slice(0, 15);
  const most = Math.max(1e-9, ...sorted.map(({ mean }) => mean));
  return (
    <section class="card" aria-labelledby="importance-title">
      <h2 id="importance-title">{texts.importance}</h2>
      <p class="small soft">{texts.importanceHint}</p>
      <table class="importance" aria-labelledby="importance-title">
        <tbody>
          {sorted.map(({ feature, mean }) => (
            <tr>
              <th scope="row">{feature}</th>
              <td class="bars"><svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect width={Math.max(0, (100 * mean) / most)} height="10" fill="var(--positive)" /></svg></td>
              <td class="number">{short(mean, 3)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** The features of a version: those of its preprocessing, or numbers by their names. */
function featuresOf(card: Card): Feature[] {
  return card.preprocessing?.features ?? card.feature_names.map((name) => ({ kind: "numeric", name, mean: 0, scale: 1, fill: null }));
}

function initial(feature: Feature): string {
  if (feature.kind === "numeric") return String(Number(feature.mean.toPrecision(4)));
  if (feature.kind === "boolean") return "false";
  return feature.categories[0] ?? "";
}

/** What a field says, as the service takes it: numbers as numbers, nothing as missing. */
export function cellOf(feature: Feature, text: string): number | boolean | string | null {
  if (text === "") return null;
  if (feature.kind === "boolean") return text === "true";
  if (feature.kind === "categorical") return text;
  const number = Number(text);
  return Number.isFinite(number) ? number : text;
}

function PredictForm({ version }: { version: ModelVersion }) {
  const texts = useTexts();
  const features = featuresOf(version.card);
  const [values, setValues] = useState<string[]>(() => features.map(initial));
  const [answer, setAnswer] = useState<Prediction | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const call: Call = {
    path: "/predict",
    body: { model: version.name, version: version.version, inputs: [features.map((feature, at) => cellOf(feature, values[at]!))] },
  };
  const set = (at: number, value: string) => {
    setValues((last) => last.map((old, other) => (other === at ? value : old)));
    setAnswer(null); // it was to other inputs
  };
  const latest = useRef(values);
  latest.current = values;
  const predict = async (event: Event) => {
    event.preventDefault();
    setProblem(null);
    try {
      const { body } = await send<Prediction>(call);
      if (latest.current === values) setAnswer(body); // else it is to other inputs
    } catch (found) {
      setAnswer(null);
      setProblem(found);
    }
  };
  return (
    <section class="card" aria-labelledby="predict-title">
      <h2 id="predict-title">{texts.predict}</h2>
      <form onSubmit={predict} class="predict">
        <div class="fields">
          {features.map((feature, at) => (
            <label class="field">
              <span title={feature.name}>{feature.name}</span>
              {feature.kind === "numeric" ? (
                <input inputMode="decimal" value={values[at]} placeholder={texts.missing} onInput={(event) => set(at, event.currentTarget.value)} />
              ) : (
                <select value={values[at]} onChange={(event) => set(at, event.currentTarget.value)}>
                  <option value="">{texts.missing}</option>
                  {(feature.kind === "boolean" ? ["false", "true"] : feature.categories).map((one) => <option value={one} selected={one === values[at]}>{one}</option>)}
                </select>
              )}
            </label>
          ))}
        </div>
        <div class="row">
          <button type="submit" class="primary">{texts.predict}</button>
          <CopyCurl call={call} label={texts.predict} />
        </div>
      </form>
      <Trouble of={problem} />
      <div role="status">{answer && <Answer answer={answer} />}</div>
    </section>
  );
}

function Answer({ answer }: { answer: Prediction }) {
  const texts = useTexts();
  const [prediction] = answer.predictions;
  const told = answer.probabilities?.[0];
  const shares = told === undefined ? null : Array.isArray(told) ? told : [1 - told, told];
  return (
    <>
      <p class="answer">{texts.prediction}: <strong>{typeof prediction === "number" && !answer.classes ? short(prediction, 6) : spelled(prediction ?? null)}</strong></p>
      {shares && (
        <table class="importance" aria-label={texts.probability}>
          <tbody>
            {shares.map((share, at) => (
              <tr>
                <th scope="row">{spelled(answer.classes?.[at] ?? at)}</th>
                <td class="bars"><svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect width={100 * share} height="10" fill="var(--positive)" /></svg></td>
                <td class="number">{share.toFixed(6)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}
