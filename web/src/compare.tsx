/** Jobs side by side: their curves on the same axes, and what differs. */

import { useMemo, useState } from "preact/hooks";
import { type EpochRecord, get, isGone, type Job } from "./api";
import { Curves, type Line, short } from "./curves";
import { columnsOf, settingsOf } from "./facts";
import { Check } from "./fields";
import { useChoices, useDark, useLoaded, useTexts, Waiting } from "./shell";

const LIGHT = ["#0a5f96", "#b85c00", "#00754f", "#9b3c78", "#5b5b5b", "#7a6a00"];
const DARK = ["#63b8ee", "#f5a94e", "#5fd3a8", "#e59ac4", "#b9b9b9", "#e6d75a"];

/** A job; null: it is gone. */
async function jobOf(id: string): Promise<Job | null> {
  try {
    return await get<Job>(`/jobs/${encodeURIComponent(id)}`);
  } catch (problem) {
    if (isGone(problem)) return null;
    throw problem;
  }
}

export function Compare({ ids }: { ids: string[] }) {
  const { texts, language } = useChoices();
  const colours = useDark() ? DARK : LIGHT;
  const [log, setLog] = useState(true);
  const loaded = useLoaded(async () => {
    const known = await Promise.all(ids.slice(0, 6).map(jobOf));
    return { jobs: known.filter((job) => job !== null), gone: ids.filter((_, at) => known[at] === null) };
  }, [ids.join(), language]);
  return (
    <>
      <p><a href="#/jobs">← {texts.jobs}</a></p>
      <h1>{texts.compare}</h1>
      <Waiting on={loaded}>
        {({ jobs, gone }) => (
          <>
            {gone.length > 0 && <p class="trouble" role="alert">{texts.goneJobs(gone.join(", "))}</p>}
            {jobs.length > 0 && (
              <>
                <section class="card" aria-label={texts.curves}>
                  <Check label={texts.logScale} checked={log} onChange={setLog} />
                  <Overlaid jobs={jobs} colours={colours} log={log} />
                </section>
                <Differences jobs={jobs} colours={colours} />
              </>
            )}
          </>
        )}
      </Waiting>
    </>
  );
}

/** Lines of several jobs need one row of epochs: that of all of them together. */
export function overlay(histories: EpochRecord[][], key: "train_loss" | "valid_loss" | "train_accuracy" | "valid_accuracy") {
  const epochs = [...new Set(histories.flatMap((records) => records.map((record) => record.epoch)))].sort((a, b) => a - b);
  const values = histories.map((records) => {
    const known = new Map(records.map((record) => [record.epoch, record[key] ?? null]));
    return epochs.map((epoch) => known.get(epoch) ?? null);
  });
  return { epochs, values };
}

function Overlaid({ jobs, colours, log }: { jobs: Job[]; colours: string[]; log: boolean }) {
  const texts = useTexts();
  const found = useMemo(() => {
    const histories = jobs.map((job) => job.history ?? []);
    const lines = (key: Parameters<typeof overlay>[1]): { epochs: number[]; lines: Line[] } => {
      const { epochs, values } = overlay(histories, key);
      return { epochs, lines: values.map((own, at) => ({ label: jobs[at]!.id.slice(4, 10), colour: colours[at]!, values: own })) };
    };
    const has = (key: "valid_loss" | "train_accuracy") => histories.some((records) => records.some((record) => record[key] != null));
    return {
      loss: lines("train_loss"),
      valid: has("valid_loss") ? lines("valid_loss") : null,
      accuracy: has("train_accuracy") ? lines("train_accuracy") : null,
    };
  }, [jobs, colours]);
  return (
    <div class="pair">
      <Curves title={`${texts.loss} (${texts.trainingCurve})`} {...found.loss} log={log} />
      {found.valid && <Curves title={`${texts.loss} (${texts.validationCurve})`} {...found.valid} log={log} />}
      {found.accuracy && <Curves title={texts.accuracy} {...found.accuracy} range={[0, 1.05]} />}
    </div>
  );
}

function Differences({ jobs, colours }: { jobs: Job[]; colours: string[] }) {
  const texts = useTexts();
  const columns = jobs.map((job): [string, string][] => [
    [texts.dataset, job.dataset],
    ...columnsOf(job.columns, texts),
    ...settingsOf(job, texts),
    [texts.loss, short(job.metrics?.train.loss)],
    [texts.accuracy, short(job.metrics?.train.accuracy)],
    [`${texts.loss} (${texts.validationCurve})`, short(job.metrics?.validation?.loss)],
    [`${texts.accuracy} (${texts.validationCurve})`, short(job.metrics?.validation?.accuracy)],
    [texts.diagnosis, job.diagnosis?.message ?? "–"],
  ]);
  const fullest = columns.reduce((most, column) => (column.length > most.length ? column : most), []);
  const names = [...new Set([...fullest, ...columns.flat()].map(([name]) => name))];
  const value = (at: number, name: string) => columns[at]!.find(([own]) => own === name)?.[1] ?? "–";
  return (
    <div class="card scroll tall" tabIndex={0} role="region" aria-label={texts.difference}>
      <table class="compared">
        <thead>
          <tr>
            <td />
            {jobs.map((job, at) => (
              <th scope="col">
                <svg width="14" height="10" aria-hidden="true"><rect width="14" height="10" rx="2" fill={colours[at]} /></svg>{" "}
                <a href={`#/jobs/${job.id}`}><code>{job.id.slice(4, 10)}</code></a>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {names.map((name) => {
            const differs = new Set(jobs.map((_, at) => value(at, name))).size > 1;
            return (
              <tr class={differs ? "differs" : ""}>
                <th scope="row">{name}</th>
                {jobs.map((_, at) => <td>{value(at, name)}</td>)}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
