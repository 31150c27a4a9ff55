/** A job as its stream tells it: curves, weights at each record, and at last what came of it. */

import { useEffect, useRef, useState } from "preact/hooks";
import { type EpochRecord, get, isFinal, isGone, isPassing, type Job, type JobEvent, type JobRows, oneAtATime, RETRY_MILLISECONDS, type Snapshot, watch } from "./api";

export interface Run {
  job: Job | null;
  records: EpochRecord[];
  /** Weights by epoch; empty where they are not recorded. */
  snapshots: Map<number, string>;
  /** How long workers have had it, by its events so far; null before one began. */
  seconds: number | null;
  rows: JobRows | null;
  connected: boolean;
  /** Whether the stream has told its last event, and what came of the job is here. */
  done: boolean;
  /** Whether it was deleted while it was followed; `job` is as it was last seen. */
  deleted: boolean;
  problem: unknown;
}

/** Before anything is known of a job. */
export const NOTHING: Run = {
  job: null, records: [], snapshots: new Map(), seconds: null, rows: null, connected: true, done: false, deleted: false, problem: null,
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

/** Adds up how long workers have had a job, in seconds, by its events in turn; null before one began. */
export function stopwatch(): (event: Pick<JobEvent, "id" | "type" | "created_at">) => number | null {
  let seconds: number | null = null;
  /** The moment up to which it is counted; null while no worker has the job. */
  let until: number | null = null;
  let lastId = 0;
  return ({ id, type, created_at }) => {
    if (id <= lastId) return seconds; // a stream that was opened anew tells everything again
    lastId = id;
    const now = Date.parse(created_at) / 1_000;
    if (seconds !== null && until !== null) seconds += now - until;
    if (type === "started") seconds ??= 0;
    if (type === "started" || until !== null) until = type === "paused" || type === "requeued" ? null : now;
    return seconds;
  };
}

/**
 * Follow a job from its first event, also when the page is loaded anew; an empty id: none.
 *
 * With `wantsRows`, the rows of a training come too.
 */
export function useRun(jobId: string, language: string, wantsRows = true): Run {
  const [state, setState] = useState({ of: "", run: NOTHING });
  // Until the effect has run, what is there is of another job.
  const run = state.of === jobId ? state.run : NOTHING;
  const again = useRef<() => void>(() => undefined);
  useEffect(() => {
    setState({ of: jobId, run: NOTHING });
    if (!jobId) return;
    const path = `/jobs/${encodeURIComponent(jobId)}`;
    let ended = false;
    let frame = 0;
    let timer = 0;
    let added: EpochRecord[] = [];
    let weights: Snapshot[] = [];
    const time = stopwatch();
    let seconds: number | null = null;
    const change = (part: Partial<Run> | ((last: Run) => Partial<Run>)) => {
      if (!ended) setState(({ of, run: last }) => ({ of, run: { ...last, ...(typeof part === "function" ? part(last) : part) } }));
    };
    /** What arrived since the last frame, at once. */
    const flush = () => {
      cancelAnimationFrame(frame);
      frame = 0;
      const [records, snapshots] = [added, weights];
      [added, weights] = [[], []];
      change((last) => ({
        records: follow(last.records, records),
        snapshots: snapshots.length
          ? new Map([...last.snapshots, ...snapshots.map(({ epoch, parameters }) => [epoch, parameters] as const)])
          : last.snapshots,
        seconds,
      }));
    };
    let found = false;
    let isOver = false;
    let isWanting = wantsRows;
    const look = oneAtATime(async () => {
      if (ended) return;
      const isLast = isOver;
      clearTimeout(timer);
      try {
        const job = await get<Job>(path);
        found = true;
        change({ job, problem: null, ...(isLast && { done: isFinal(job.status) }) });
        if (isWanting && job.kind === "train") {
          isWanting = false;
          get<JobRows>(`${path}/rows?limit=2000`).then((rows) => change({ rows }), (problem) => (isWanting = isPassing(problem)));
        }
        // Workers come and go without an event of the job.
        if (job.status === "queued" && !isOver && !ended) timer = window.setTimeout(look, QUEUED_MILLISECONDS);
      } catch (problem) {
        change(found && isGone(problem) ? { deleted: true, done: true } : { problem });
        if (isPassing(problem) && !ended) timer = window.setTimeout(look, RETRY_MILLISECONDS);
      }
    });
    again.current = look;
    look();
    const stop = watch(jobId, {
      event: (event) => {
        const { type, data } = event;
        seconds = time(event);
        if (type === "epochs") {
          added = follow(added, data.records ?? []);
          weights.push(...(data.snapshots ?? []));
          frame ||= requestAnimationFrame(flush);
        } else if (type !== "queued") {
          flush(); // what came before it is shown before it
          look();
        }
      },
      done: (deleted) => {
        isOver = true;
        clearTimeout(timer);
        flush();
        if (deleted) change({ deleted, done: true });
        else look();
      },
      connected: (connected) => change({ connected }),
    });
    return () => {
      ended = true;
      again.current = () => undefined;
      clearTimeout(timer);
      cancelAnimationFrame(frame);
      stop();
    };
  }, [jobId]);
  // A diagnosis is in the language that it was asked for in.
  const spoken = useRef(language);
  useEffect(() => {
    if (spoken.current !== language && !run.deleted) again.current();
    spoken.current = language;
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
