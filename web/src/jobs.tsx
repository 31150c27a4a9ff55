/** Jobs: a table that the streams keep fresh, and a job's page. */

import type { RefObject } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get, isFinal, type Job, type JobEvent, type ModelVersion, oneAtATime, type Page, send, watch } from "./api";
import { Compare } from "./compare";
import { short } from "./curves";
import { columnsOf, Facts, Figures, figuresOf, MetricsCard, settingsOf } from "./facts";
import { Scroll } from "./fields";
import { CurvesCard } from "./history";
import { setupOf, useTableOf } from "./opening";
import { useRun } from "./run";
import { toAddress } from "./setup";
import { type Address, CopyCurl, Dialog, Failure, navigate, parseAddress, Trouble, useChoices, useLoaded, useSaid, useTexts, Waiting } from "./shell";
import { sweepAddress } from "./sweep";
import type { Texts } from "./texts";

const PAGE = 20;
/** Browsers open six connections to a host at most: some are left for everything else. */
const WATCHED = 3;
export const REFRESH_MILLISECONDS = 5_000;

export function Jobs(address: Address) {
  const heading = useRef<HTMLHeadingElement>(null);
  const id = address.rest[0];
  const compared = address.parameters.get("compare");
  const isList = !id && !compared;
  const wasList = useRef(isList);
  useEffect(() => {
    // What had the focus went with its page.
    if (isList && !wasList.current && document.activeElement === document.body) heading.current?.focus();
    wasList.current = isList;
  }, [isList]);
  if (id) return <JobPage key={id} id={id} />;
  if (compared) return <Compare ids={compared.split("~").filter(Boolean)} />;
  return <JobList heading={heading} chosen={(address.parameters.get("chosen") ?? "").split("~").filter(Boolean)} />;
}

/** The moment in the reader's own way. */
function useMoment(): (time: string | null) => string {
  const { language } = useChoices();
  return (time) => (time ? new Date(time).toLocaleString(language, { dateStyle: "short", timeStyle: "medium" }) : "–");
}

function progressOf(job: Job): number {
  const [done, all] = "epochs" in job.progress ? [job.progress.epoch, job.progress.epochs] : [job.progress.rows_done, job.progress.rows];
  return all ? done / all : 0;
}

function useJobs() {
  const { language } = useChoices();
  const [state, setState] = useState<{ jobs: Job[] | null; more: boolean; problem: unknown }>({ jobs: null, more: false, problem: null });
  const count = useRef(PAGE);
  const load = useMemo(() => oneAtATime(async () => {
    try {
      const jobs: Job[] = [];
      let more = true;
      while (more && jobs.length < count.current) {
        const after = jobs.length ? `&after=${jobs.at(-1)!.id}` : "";
        const page = await get<Page<Job>>(`/jobs?limit=${PAGE}${after}`);
        jobs.push(...page.data);
        more = page.has_more;
      }
      setState({ jobs, more, problem: null });
    } catch (problem) {
      setState((last) => ({ ...last, problem }));
    }
  }), []);
  const later = useRef(0);
  const soon = () => {
    later.current ||= window.setTimeout(() => {
      later.current = 0;
      load();
    }, 250);
  };
  useEffect(() => {
    load();
    // New jobs have no stream yet: look for them now and then, while somebody looks.
    const timer = setInterval(() => document.visibilityState === "visible" && load(), REFRESH_MILLISECONDS);
    return () => {
      clearInterval(timer);
      clearTimeout(later.current);
    };
  }, [language]);
  const open = (state.jobs ?? []).filter((job) => !isFinal(job.status) && job.status !== "paused").slice(0, WATCHED).map((job) => job.id);
  useEffect(() => {
    const stops = open.map((id) => watch(id, { event: soon, done: soon }));
    return () => stops.forEach((stop) => stop());
  }, [open.join()]);
  const showMore = () => {
    count.current += PAGE;
    load();
  };
  return { ...state, again: load, showMore };
}

function JobList({ heading, chosen }: { heading: RefObject<HTMLHeadingElement | null>; chosen: string[] }) {
  const texts = useTexts();
  const moment = useMoment();
  const { jobs, more, problem, again, showMore } = useJobs();
  // In the address, so that they are chosen yet when one comes back from what they are compared in.
  const choose = (ids: string[]) => navigate(`#/jobs${ids.length ? `?chosen=${ids.join("~")}` : ""}`, true);
  const toggle = (id: string, is: boolean) => choose(is ? [...chosen, id] : chosen.filter((other) => other !== id));
  return (
    <>
      <div class="row between">
        <h1 ref={heading} tabIndex={-1}>{texts.jobs}</h1>
        <div class="row">
          <span class="small soft">{texts.compareHint}</span>
          {chosen.length > 0 && (
            <button
              type="button"
              class="quiet"
              onClick={() => {
                heading.current?.focus(); // the button goes
                choose([]);
              }}
            >
              {texts.chooseNone}
            </button>
          )}
          <button type="button" class="primary" disabled={chosen.length < 2} onClick={() => navigate(`#/jobs?compare=${chosen.join("~")}`)}>
            {texts.compare} ({chosen.length})
          </button>
          <CopyCurl call={{ path: "/jobs" }} />
        </div>
      </div>
      <Trouble of={problem} />
      {jobs === null && !problem && <p role="status">{texts.loading}</p>}
      {jobs?.length === 0 && <p>{texts.noJobs}</p>}
      {jobs !== null && jobs.length > 0 && (
        <div class="card scroll tall" tabIndex={0} role="region" aria-label={texts.jobs}>
          <table class="list cards">
            <thead>
              <tr>
                <td />
                <th scope="col">{texts.jobs}</th><th scope="col">{texts.progress}</th><th scope="col">{texts.kind}</th>
                <th scope="col">{texts.dataset}</th><th scope="col">{texts.network}</th><th scope="col" class="number">{texts.loss}</th>
                <th scope="col" class="number">{texts.accuracy}</th><th scope="col">{texts.created}</th><td />
              </tr>
            </thead>
            <tbody>
              {jobs.map((job) => (
                <tr key={job.id}>
                  <td>{job.kind === "train" && <input type="checkbox" aria-label={texts.select(job.id)} checked={chosen.includes(job.id)} onChange={(event) => toggle(job.id, event.currentTarget.checked)} />}</td>
                  <td><a href={`#/jobs/${job.id}`}><code>{job.id.slice(0, 12)}</code></a></td>
                  <td><StatusBar job={job} brief /></td>
                  <td>{texts.jobKinds[job.kind]}</td>
                  <td><span class="name" title={job.dataset}>{job.dataset}</span></td>
                  <td class="number left"><span class="name" title={shape(job)}>{shape(job)}</span></td>
                  <td class="number" data-label={texts.loss}>{short(job.metrics?.train.loss)}</td>
                  <td class="number" data-label={texts.accuracy}>{short(job.metrics?.train.accuracy, 3)}</td>
                  <td class="nowrap">{moment(job.created_at)}</td>
                  <td><Actions
                      job={job}
                      onDone={() => {
                        if (isFinal(job.status)) {
                          heading.current?.focus(); // it is deleted: its row goes
                          if (chosen.includes(job.id)) toggle(job.id, false);
                        }
                        again();
                      }}
                    /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {more && <p><button type="button" onClick={showMore}>{texts.loadMore}</button></p>}
    </>
  );
}

function shape(job: Job): string {
  return job.network?.hidden_layers.length ? `${job.network.hidden_layers.join("-")} ${job.network.activation}` : "–";
}

function lackOf({ code, queue, message }: NonNullable<Job["waiting_for"]>, texts: Texts): string {
  return texts.lacking[code]?.(queue) ?? message;
}

/** Where a job stands, or that it is about to pause. */
export function Status({ job }: { job: Job }) {
  const texts = useTexts();
  return <span class={`badge status ${job.status}`}>{job.pause_requested ? texts.pausing : texts.status[job.status]}</span>;
}

/** How far a job is; in brief also what it lacks. */
function StatusBar({ job, brief = false }: { job: Job; brief?: boolean }) {
  const texts = useTexts();
  return (
    <span class="status-bar">
      <Status job={job} />
      {brief && job.waiting_for ? (
        <span class="bad lack" title={lackOf(job.waiting_for, texts)}>{texts.lackingInShort[job.waiting_for.code]?.(job.waiting_for.queue) ?? job.waiting_for.message}</span>
      ) : (
        !isFinal(job.status) && <progress max="1" value={progressOf(job)} aria-label={texts.progress} />
      )}
    </span>
  );
}

const STARTING_MILLISECONDS = 3_000;

/** Why a job does not run yet: it is starting, or there is no worker for it. */
export function Lacking({ job }: { job: Job }) {
  const texts = useTexts();
  const [fresh, setFresh] = useState(true);
  useEffect(() => {
    setFresh(true);
    const timer = setTimeout(() => setFresh(false), STARTING_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [job.id]);
  if (job.status !== "queued") return null;
  if (job.waiting_for) return <span class="bad">{lackOf(job.waiting_for, texts)}</span>;
  return fresh ? <span class="soft">{texts.starting}</span> : null;
}

/** Pauses a training, or has it go on: one button, which keeps the focus of who pressed it. */
export function PauseButton({ job }: { job: Job }) {
  const texts = useTexts();
  const [problem, setProblem] = useState<unknown>(null);
  const isPaused = job.status === "paused" || job.pause_requested;
  useEffect(() => setProblem(null), [isPaused]);
  if (job.kind !== "train" || isFinal(job.status) || job.cancel_requested) return null;
  const press = () => send({ method: "POST", path: `/jobs/${job.id}/${isPaused ? "resume" : "pause"}` }).then(() => setProblem(null), setProblem);
  return (
    <>
      <button type="button" onClick={press}>{isPaused ? texts.resumeTraining : texts.pauseTraining}</button>
      <Trouble of={problem} />
    </>
  );
}

function Actions({ job, onDone }: { job: Job; onDone: () => void }) {
  const texts = useTexts();
  const [asking, setAsking] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const run = async (call: Parameters<typeof send>[0]) => {
    try {
      await send(call);
      onDone();
    } catch (found) {
      setProblem(found);
    }
  };
  const cancel = { method: "POST", path: `/jobs/${job.id}/cancel` } as const;
  const remove = { method: "DELETE", path: `/jobs/${job.id}` } as const;
  return (
    <>
      {isFinal(job.status) ? (
        <button type="button" class="quiet danger" onClick={() => setAsking(true)}>{texts.remove}</button>
      ) : (
        <button type="button" class="quiet" disabled={job.cancel_requested} onClick={() => run(cancel)}>{job.cancel_requested ? texts.cancelling : texts.cancel}</button>
      )}
      {asking && (
        <Dialog title={texts.removeJob(job.id)} onClose={() => setAsking(false)} onConfirm={() => run(remove)}>
          <CopyCurl call={remove} />
        </Dialog>
      )}
      <Trouble of={problem} />
    </>
  );
}

function JobPage({ id }: { id: string }) {
  const { texts, language } = useChoices();
  const moment = useMoment();
  const run = useRun(id, language, false);
  const [log, setLog] = useState(true);
  const job = run.job;
  const isOpened = job?.kind === "train" && job.dataset !== "inline" && !run.deleted;
  const dataset = useTableOf(isOpened ? job : null);
  const modelPath = job?.columns?.task === "binary" && job.kind !== "predict" ? job.links.model : null;
  const model = useLoaded(async () => (modelPath ? get<ModelVersion>(modelPath) : null), [modelPath]);
  if (!job) return run.problem ? <><h1>{texts.jobs}</h1><Trouble of={run.problem} /></> : <p role="status">{texts.loading}</p>;
  const span = job.started_at && job.finished_at ? (Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000 : null;
  // A training's is what workers have had it for, without its pauses, once all of its events so far are here.
  const seconds = job.kind !== "train" ? span : run.done || !isFinal(job.status) ? run.seconds : null;
  return (
    <>
      <p><a href="#/jobs">← {texts.jobs}</a></p>
      <div class="row between">
        <h1><code>{job.id}</code></h1>
        <div class="row">
          {!run.deleted && <><StatusBar job={job} /><Lacking job={job} /></>}
          {isOpened && (dataset.value || dataset.problem !== null) && <a href={toAddress(setupOf(job, dataset.value))}>{texts.openInPlayground}</a>}
          {!run.deleted && job.kind === "sweep" && <a href={sweepAddress(job)}>{texts.sweep}</a>}
          {job.model && <a href={`#/models/${encodeURIComponent(job.model.name)}/${job.model.version}`}>{texts.openModel}</a>}
          {!run.deleted && <PauseButton job={job} />}
          {!run.deleted && <Actions job={job} onDone={() => isFinal(job.status) && parseAddress(location.hash).rest[0] === id && navigate("#/jobs")} />}
          {!run.deleted && <CopyCurl call={{ path: `/jobs/${job.id}` }} />}
        </div>
      </div>
      {run.deleted && <p class="trouble" role="alert">{texts.jobDeleted}</p>}
      {!run.connected && <p class="bad">{texts.reconnecting}</p>}
      {job.error && <Failure of={job.error} />}
      <div class="two">
        <div>
          <section class="card" aria-labelledby="configuration-title">
            <h2 id="configuration-title">{texts.configuration}</h2>
            <Facts
              of={[
                [texts.kind, texts.jobKinds[job.kind]],
                [texts.dataset, job.dataset],
                ...columnsOf(job.columns, texts),
                ...settingsOf(job, texts),
                [texts.created, moment(job.created_at)],
                [texts.duration, seconds === null ? "–" : `${short(seconds, 3)} ${texts.seconds}`],
                [texts.engine, [job.engine, job.device].filter(Boolean).join(", ") || "–"],
              ]}
            />
            {!run.deleted && <Figures at={`/jobs/${job.id}`} kinds={figuresOf(run.records, job.metrics)} />}
          </section>
          {job.diagnosis && (
            <section class={`card verdict ${job.diagnosis.code}`} aria-labelledby="diagnosis-title">
              <h2 id="diagnosis-title">{texts.diagnosis}</h2>
              <p>{job.diagnosis.message}</p>
            </section>
          )}
          <Events id={job.id} status={job.status} />
        </div>
        <div>
          <CurvesCard setup={{ log }} update={(part) => setLog(part.log)} run={run} shown={null} />
          {job.metrics && <MetricsCard metrics={job.metrics} classes={model.value?.card.preprocessing?.target.classes} />}
        </div>
      </div>
    </>
  );
}

function Events({ id, status }: { id: string; status: string }) {
  const texts = useTexts();
  const said = useSaid();
  const moment = useMoment();
  const [open, setOpen] = useState(false);
  const events = useLoaded(async () => (open ? (await get<Page<JobEvent>>(`/jobs/${id}/events?limit=200`)).data : []), [id, open, status]);
  return (
    <section class="card">
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>{texts.events}</summary>
        <Waiting on={events}>
          {(found) => (
            <Scroll label={texts.events}>
              <table>
                <thead><tr><th scope="col">#</th><th scope="col">{texts.event}</th><th scope="col">{texts.at}</th><td /></tr></thead>
                <tbody>
                  {found.map((event) => (
                    <tr>
                      <td>{event.id}</td><td>{texts.eventTypes[event.type]}</td><td class="nowrap">{moment(event.created_at)}</td>
                      <td class="small soft">{event.data.records ? texts.recordCount(event.data.records.length) : said(event.data.message ?? "")}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scroll>
          )}
        </Waiting>
        <CopyCurl call={{ path: `/jobs/${id}/events`, headers: { Accept: "text/event-stream" } }} label={texts.events} />
      </details>
    </section>
  );
}
