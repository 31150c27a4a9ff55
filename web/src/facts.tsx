/** What a training was set to, and how good it came out, as lists and tables. */

import { Several } from "./confusion";
import type { Averages, Card, Evaluation, Job, JobColumns, Label, Metrics } from "./api";
import { short } from "./curves";
import { derivedName, spelled } from "./network";
import { useChoices, useTexts } from "./shell";
import type { Texts } from "./texts";

export function Facts({ of }: { of: (readonly [string, string | number])[] }) {
  return (
    <dl class="facts">
      {of.map(([name, value]) => (
        <>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </>
      ))}
    </dl>
  );
}

/** What a card's network predicts, and from what; null where nothing names its target. */
export function columnsOfCard({ preprocessing }: Pick<Card, "preprocessing">): JobColumns | null {
  if (!preprocessing) return null;
  const { target, features, derived = [] } = preprocessing;
  return { target: target.name, task: target.task, features: features.map((feature) => feature.name), derived };
}

/** Names in a row, as many as are read at a glance; the others are only counted. */
export function listed(names: string[], texts: Texts, most = 30): string {
  const shown = names.slice(0, most).join(", ");
  return names.length > most ? `${shown}, ${texts.hiddenUnits(names.length - most)}` : shown;
}

/** What is learned from what, in words. */
export function columnsOf(columns: JobColumns | null | undefined, texts: Texts): [string, string][] {
  if (!columns) return [];
  const { target, task, features, derived } = columns;
  return [
    [texts.targetColumn, `${target} (${texts.tasks[task]})`],
    [texts.features, listed(features, texts)],
    ...(derived.length ? [[texts.derivedInputs, listed(derived.map(derivedName), texts)] satisfies [string, string]] : []),
  ];
}

export function settingsOf(job: Pick<Job, "network" | "training">, texts: Texts): [string, string][] {
  const { network, training } = job;
  if (!network || !training) return [];
  return [
    [texts.hiddenLayers, network.hidden_layers.join("-") || texts.none],
    [texts.activation, network.activation],
    [texts.optimizer, training.optimizer],
    [texts.learningRate, String(training.learning_rate)],
    [texts.epochs, String(training.epochs)],
    [texts.batchSize, training.batch_size === null ? texts.allRows : String(training.batch_size)],
    [texts.seed, String(training.seed)],
    [texts.validation, training.validation_fraction ? `${short(100 * training.validation_fraction, 3)} %` : texts.none],
    [texts.weightDecay, String(training.weight_decay)],
    [texts.l1Penalty, String(training.l1_penalty)],
  ];
}

const FIGURES = ["loss", "accuracy", "precision", "recall", "f1", "mae", "rmse", "r2"] as const;

export function MetricsCard({ metrics, classes }: { metrics: NonNullable<Job["metrics"]>; classes?: Label[] | null | undefined }) {
  const texts = useTexts();
  const parts = ([["train", texts.trainPoints], ["validation", texts.validPoints], ["test", texts.testPoints]] as const)
    .map(([name, title]) => [title, metrics[name]] as const)
    .filter((part): part is readonly [typeof part[0], Evaluation] => part[1] !== null);
  const names: Partial<Record<(typeof FIGURES)[number], string>> = {
    loss: texts.loss, accuracy: texts.accuracy, precision: texts.precision, recall: texts.recall, f1: texts.f1,
  };
  const macro = Object.keys(metrics.train.macro ?? {});
  const figure = (evaluation: Evaluation, name: (typeof FIGURES)[number]) => evaluation[name] ?? evaluation.macro?.[name as keyof Averages];
  const rows = FIGURES.filter((name) => name in metrics.train || macro.includes(name));
  const title = (name: (typeof FIGURES)[number]) => names[name] ?? (name === "r2" ? "R²" : name.toUpperCase());
  return (
    <section class="card" aria-labelledby="metrics-title">
      <h2 id="metrics-title">{texts.metrics}</h2>
      <table aria-labelledby="metrics-title">
        <thead><tr><td />{parts.map(([title]) => <th scope="col" class="number">{title}</th>)}</tr></thead>
        <tbody>
          {rows.map((name) => (
            <tr>
              <th scope="row">{macro.includes(name) ? texts.overClasses(title(name)) : title(name)}</th>
              {parts.map(([, evaluation]) => <td class="number">{short(figure(evaluation, name))}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
      {parts.map(([title, { confusion_matrix: matrix, classes: several }]) =>
        matrix ? (
          <details>
            <summary>{texts.confusion}: {title}</summary>
            {Array.isArray(matrix) ? (
              <Several matrix={matrix} classes={(several ?? []).map(spelled)} />
            ) : (
              <Several matrix={[[matrix.true_negative, matrix.false_positive], [matrix.false_negative, matrix.true_positive]]} classes={(classes ?? [0, 1]).map(spelled)} />
            )}
          </details>
        ) : null,
      )}
    </section>
  );
}

type Figure = "loss" | "confusion" | "network" | "boundary";

/** Pictures that the service draws, for reports and slides; `at` has them below it. */
export function Figures({ at, kinds }: { at: string; kinds: Figure[] }) {
  const { texts, language } = useChoices();
  const names: Record<Figure, string> = { loss: texts.curves, confusion: texts.confusion, network: texts.network, boundary: texts.region };
  if (!kinds.length) return null;
  return (
    <div class="row small">
      <strong>{texts.figures}</strong>
      {kinds.map((kind) => (
        <span>
          {names[kind]}{" "}
          {(["svg", "png"] as const).map((form) => (
            <><a href={`${at}/figures/${kind}?format=${form}&language=${language}`} aria-label={`${names[kind]} ${form.toUpperCase()}`}>{form.toUpperCase()}</a>{" "}</>
          ))}
        </span>
      ))}
    </div>
  );
}

/** The figures of a training: curves where there are any, matrices of classes. */
export function figuresOf(history: readonly unknown[] | undefined, metrics: Metrics | null): Figure[] {
  return [...(history?.length ? ["loss" as const] : []), ...(metrics?.train.confusion_matrix ? ["confusion" as const] : [])];
}
