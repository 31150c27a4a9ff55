/** How a job is opened: the playground's setting that makes it again. */

import { type Dataset, get, type Job, type JobColumns } from "./api";
import { datasetName, DEFAULTS, fromDatasetName, type Setup } from "./setup";
import { type Loaded, useLoaded } from "./shell";

/** The columns of a job, as the playground chooses them from its table. */
export function chosenColumns({ target, features, derived }: JobColumns, dataset: Dataset): Pick<Setup, "target" | "without" | "derived"> {
  const known = new Set([target, ...features]);
  return {
    target: target === dataset.target ? "" : target,
    without: dataset.columns.filter(({ name, kind }) => kind !== "text" && !known.has(name)).map(({ name }) => name),
    derived,
  };
}

/** The playground's setting that makes this job again; its table, where it is there yet, tells what was left out. */
export function setupOf(job: Job, dataset: Dataset | null): Setup {
  const training = job.training;
  if (!training || !job.network) return DEFAULTS;
  return {
    ...DEFAULTS,
    ...fromDatasetName(job.dataset),
    ...(dataset && job.columns && chosenColumns(job.columns, dataset)),
    layers: job.network.hidden_layers,
    activation: job.network.activation,
    optimizer: training.optimizer,
    rate: training.learning_rate,
    epochs: training.epochs,
    batch: training.batch_size,
    seed: training.seed,
    validation: training.validation_fraction,
    decay: training.weight_decay,
    l1: training.l1_penalty,
    patience: training.early_stopping?.patience ?? null,
    job: job.id,
  };
}

const COMPARED = ["activation", "optimizer", "rate", "epochs", "batch", "seed", "validation", "decay", "l1", "patience"] as const;

/** Whether a job was made with other settings than these, as far as it tells without its table. */
export function isOfOthers(setup: Setup, job: Job): boolean {
  if (!job.training) return false;
  const own = setupOf(job, null);
  const isAlike = COMPARED.every((name) => own[name] === setup[name]) && own.layers.join() === setup.layers.join();
  return !isAlike || job.dataset !== datasetName(setup);
}

/** The table that a job is about; null: of none. */
export function useTableOf(job: Job | null): Loaded<Dataset | null> {
  return useLoaded(async () => (job ? get<Dataset>(`/datasets/${encodeURIComponent(job.dataset)}`) : null), [job?.dataset]);
}
