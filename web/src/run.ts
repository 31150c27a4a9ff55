/** A job as its stream tells it: curves, weights at each record, and at last what came of it. */

import { useEffect, useState } from "preact/hooks";
import { type EpochRecord, get, isFinal, isGone, type Job, type JobRows, type Snapshot, watch } from "./api";

export interface Run {
  job: Job | null;
  records: EpochRecord[];
  /** Weights by epoch; empty where they are not recorded. */
  snapshots: Map<number, string>;
  rows: JobRows | null;
  connected: boolean;
  /** Whether the stream has told its last event, and what came of the job is here. */
  done: boolean;
  /** Whether it was deleted while it was followed; `job` is as it was last seen. */
  deleted: boolean;
  problem: unknown;
}

const NOTHING: Run = {
  job: null, records: [], snapshots: new Map(), rows: null, connected: true, done: false, deleted: false, problem: null,
};

/** How often a job that waits is looked at. */
const QUEUED_MILLISECONDS = 5_000;

/** Put new records behind those that are known: a later attempt's stand for earlier ones. */
export function follow(known: EpochRecord[], added: EpochRecord[]): EpochRecord[] {
  const first = added[0];
  if (!first) return known;
  let end = known.length;
  while (end > 0 && known[end - 1]!.epoch >= first.epoch) end -= 1;
  return [...known.slice(0, end), ...added];
}

/**
 * Follow a job from its first event, also when the page is loaded anew; an empty id: none.
 *
 * With `wantsRows`, the rows of a training come too.
 */
export function useRun(jobId: string, language: string, wantsRows = true): Run {
  const [run, setRun] = useState<Run>(NOTHING);
  useEffect(() => {
    setRun(NOTHING);
    if (!jobId) return;
    const path = `/jobs/${encodeURIComponent(jobId)}`;
    let ended = false;
    let frame = 0;
    let again = 0;
    let added: EpochRecord[] = [];
    let weights: Snapshot[] = [];
    const change = (part: Partial<Run> | ((last: Run) => Partial<Run>)) => {
      if (!ended) setRun((last) => ({ ...last, ...(typeof part === "function" ? part(last) : part) }));
    };
    /** What arrived since the last frame, at once. */
    const flush = () => {
      frame = 0;
      const [records, snapshots] = [added, weights];
      [added, weights] = [[], []];
      change((last) => ({
        records: follow(last.records, records),
        snapshots: snapshots.length
          ? new Map([...last.snapshots, ...snapshots.map(({ epoch, parameters }) => [epoch, parameters] as const)])
          : last.snapshots,
      }));
    };
    let found = false;
    let asked = 0;
    let shown = 0;
    const look = async (last: boolean) => {
      const turn = ++asked;
      try {
        const job = await get<Job>(path);
        if (turn < shown) return job; // a later answer has come before this one
        shown = turn;
        found = true;
        change({ job });
        if (last) change({ done: isFinal(job.status) });
        // Workers come and go without an event of the job.
        clearTimeout(again);
        if (job.status === "queued" && !ended) again = window.setTimeout(() => void look(false), QUEUED_MILLISECONDS);
        return job;
      } catch (problem) {
        change(found && isGone(problem) ? { deleted: true, done: true } : { problem });
        return null;
      }
    };
    const start = async () => {
      const job = await look(false);
      if (ended || !wantsRows || job?.kind !== "train") return;
      get<JobRows>(`${path}/rows?limit=2000`).then((rows) => change({ rows }), () => change({ rows: null }));
    };
    void start();
    const stop = watch(jobId, {
      event: ({ type, data }) => {
        if (type === "epochs") {
          added = follow(added, data.records ?? []);
          weights.push(...(data.snapshots ?? []));
          frame ||= requestAnimationFrame(flush);
        } else if (type !== "queued") {
          void look(false);
        }
      },
      done: (deleted) => {
        if (frame) cancelAnimationFrame(frame);
        flush();
        if (deleted) change({ deleted, done: true });
        else void look(true);
      },
      connected: (connected) => change({ connected }),
    });
    return () => {
      ended = true;
      clearTimeout(again);
      cancelAnimationFrame(frame);
      stop();
    };
  }, [jobId]);
  // A diagnosis is in the language that it was asked for in.
  useEffect(() => {
    if (!jobId || !run.done || run.deleted) return;
    get<Job>(`/jobs/${encodeURIComponent(jobId)}`).then((job) => setRun((last) => ({ ...last, job })), () => undefined);
  }, [language]);
  return run;
}

/** The record with the lowest validation loss, or training loss where nothing is kept out. */
export function best(records: EpochRecord[]): { epoch: number; of: "validation" | "training" } | null {
  const of = records.some((record) => record.valid_loss != null) ? "validation" : "training";
  const key = of === "validation" ? "valid_loss" : "train_loss";
  let found: EpochRecord | null = null;
  for (const record of records) {
    if (record[key] != null && (!found || record[key]! < found[key]!)) found = record;
  }
  return found && { epoch: found.epoch, of };
}
