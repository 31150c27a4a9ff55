/** A file of one's own on its way to a dataset: its name, its encoding, what it looks like. */

import type { Ref } from "preact";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { all, type Call, type Column, type Dataset, type DatasetSummary, Problem, send } from "./api";
import { Choice, Scroll } from "./fields";
import { CopyCurl, Trouble, useTexts } from "./shell";

/** What CSV is in: UTF-8, or what Excel saves in Korea, as “CSV” and as “Unicode text”. */
export const ENCODINGS = ["utf-8", "cp949", "utf-16"] as const;
export type Encoding = (typeof ENCODINGS)[number];
export type Kinds = Record<string, Column["kind"]>;

/** A table as the page sends it. */
export interface Source {
  file: File;
  encoding: Encoding;
  kinds: Kinds;
  name: string;
}

/** The pattern of a dataset's name. */
export const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;
/** Room for a number behind it. */
const ROOM = 56;

/** A name that a dataset may have, from a file's; Hangul as it is spelled in Latin letters. */
export async function nameOf(file: string): Promise<string> {
  const whole = file.normalize("NFC"); // macOS takes syllables apart
  const isHangul = /\p{Script=Hangul}/u.test(whole);
  const latin = isHangul ? await import("es-hangul").then(({ romanize }) => romanize(whole), () => whole) : whole;
  const name = latin.toLowerCase().replace(/\.[a-z]+$/, "").replace(/[^a-z0-9_-]+/g, "-").replace(/^[-_]+|[-_]+$/g, "");
  return name.slice(0, ROOM) || "table";
}

/** The name itself, or the first free one like it. */
export function freeName(name: string, taken: Iterable<string>): string {
  const names = new Set(taken);
  let free = name;
  for (let turn = 2; names.has(free); turn++) free = `${name.slice(0, ROOM)}-${turn}`;
  return free;
}

export function uploadCall({ file, encoding, kinds, name }: Source): Call {
  const columns = Object.keys(kinds).length ? `&columns=${encodeURIComponent(JSON.stringify(kinds))}` : "";
  const type = encoding === "utf-8" ? "text/csv" : `text/csv; charset=${encoding}`;
  return { path: `/datasets?name=${encodeURIComponent(name)}${columns}`, file: { blob: file, type, name: file.name } };
}

export async function datasetNames(): Promise<string[]> {
  return (await all<DatasetSummary>("/datasets")).map((one) => one.name);
}

export function isTaken(problem: unknown): boolean {
  return problem instanceof Problem && problem.status === 409;
}

/** Store a table under its name, or the first free one like it. */
export async function storeAnew(source: Source): Promise<Dataset> {
  const taken = await datasetNames();
  for (let refusals = 0; ; ) {
    const name = freeName(source.name, taken);
    try {
      return (await send<Dataset>(uploadCall({ ...source, name }))).body;
    } catch (problem) {
      if (!isTaken(problem) || ++refusals >= 50) throw problem;
      taken.push(name);
    }
  }
}

/** The browser's name of an encoding; UTF-16 begins with the order of its bytes. */
function label(encoding: Encoding, head: Uint8Array): string {
  if (encoding === "cp949") return "euc-kr";
  return encoding === "utf-16" && head[0] === 0xfe && head[1] === 0xff ? "utf-16be" : encoding;
}

async function isUtf8(file: Blob): Promise<boolean> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const reader = file.stream().getReader();
  try {
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      decoder.decode(piece.value, { stream: true });
    }
    decoder.decode();
    return true;
  } catch (problem) {
    if (!(problem instanceof TypeError)) throw problem;
    await reader.cancel();
    return false;
  }
}

const HEAD_BYTES = 4_096;

async function headOf(file: Blob): Promise<Uint8Array> {
  return new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer());
}

/** Guess what a file is in: text has no zero bytes but in UTF-16. */
export async function guessEncoding(file: Blob): Promise<Encoding> {
  const head = await headOf(file);
  const mark = head[0]! * 256 + head[1]!;
  if (mark === 0xfffe || mark === 0xfeff || head.includes(0)) return "utf-16";
  return (await isUtf8(file)) ? "utf-8" : "cp949";
}

const LINES = 4;
const LINE_LENGTH = 120;

/** The first lines of a file; what the encoding does not have is `�`. */
export async function firstLines(file: Blob, encoding: Encoding): Promise<string> {
  const head = await headOf(file);
  const text = new TextDecoder(label(encoding, head)).decode(head, { stream: true });
  const lines = text.split(/\r?\n/).slice(0, LINES);
  return lines.map((line) => (line.length > LINE_LENGTH ? `${line.slice(0, LINE_LENGTH)}…` : line)).join("\n").trimEnd();
}

/** As many bytes as the service takes of a file; it says so in the page. */
function mostBytes(): number {
  return Number(document.querySelector<HTMLMetaElement>("meta[name=max-upload-bytes]")?.content ?? Infinity);
}

/** Write a size in bytes as people read it. */
function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toLocaleString("en", { maximumSignificantDigits: 3 })} MiB`;
}

interface UploadProps {
  /** The dataset that is chosen. */
  chosen: string;
  /** Names of datasets, as far as they are known. */
  taken: string[];
  /** What was stored last: as which dataset, and how many rows it has. */
  stored: (Source & { rows: number }) | null;
  /** Says that a table is being stored, until what it gives is called. */
  onStoring: (name: string) => () => void;
  /** It is to be chosen unless another file was dropped meanwhile. */
  onStored: (source: Source, dataset: Dataset, isNewest: boolean) => void;
}

/** A place to drop a file, and what is asked about it before it is stored. */
export function Upload({ chosen, taken, stored, onStoring, onStored }: UploadProps) {
  const texts = useTexts();
  /** What was dropped last, and the names that are taken. */
  const [staged, setStaged] = useState<{ source: Source; names: string[] } | null>(null);
  const input = useRef<HTMLInputElement>(null);
  /** The file that was dropped last: what is found of an earlier one comes too late. */
  const newest = useRef<File | null>(null);
  const [looking, setLooking] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  // A refusal is of the file, not of what is chosen next.
  useEffect(() => setProblem(null), [chosen]);
  const take = async (file: File | undefined) => {
    if (!file) return;
    newest.current = file;
    setStaged(null);
    setProblem(null);
    setLooking(false);
    if (file.size > mostBytes()) {
      setProblem(new Problem(413, "", texts.fileTooLarge(file.name, megabytes(file.size), megabytes(mostBytes()))));
      return;
    }
    setLooking(true);
    try {
      const [encoding, names, name] = await Promise.all([guessEncoding(file), datasetNames(), nameOf(file.name)]);
      if (newest.current !== file) return;
      setStaged({ source: { file, encoding, kinds: {}, name: freeName(name, names) }, names });
    } catch (reason) {
      if (newest.current === file) setProblem(reason);
    }
    if (newest.current === file) setLooking(false);
  };
  const leave = () => {
    setStaged(null);
    input.current?.focus();
  };
  return (
    <>
      <Drop input={input} onFile={take} />
      <Trouble of={problem} />
      {staged && (
        <Staged
          key={staged.source.file}
          source={staged.source}
          names={staged.names}
          onStoring={onStoring}
          onStored={(source, dataset) => {
            const isNewest = newest.current === source.file;
            if (isNewest) leave();
            onStored(source, dataset, isNewest);
          }}
          onLeave={leave}
        />
      )}
      <p role="status" class="small good">{looking ? texts.uploading : stored && !staged && !problem ? texts.uploaded(stored.name, stored.rows) : ""}</p>
      {stored && !looking && !staged && !problem && (
        <p class="small"><CopyCurl call={uploadCall({ ...stored, name: freeName(stored.name, [...taken, stored.name]) })} label={stored.file.name} /></p>
      )}
    </>
  );
}

function Drop({ input, onFile }: { input: Ref<HTMLInputElement>; onFile: (file: File | undefined) => Promise<void> }) {
  const texts = useTexts();
  const [over, setOver] = useState(false);
  useEffect(() => {
    // A file that misses the place would be opened instead of the page.
    const ignore = (event: DragEvent) => event.preventDefault();
    addEventListener("dragover", ignore);
    addEventListener("drop", ignore);
    return () => {
      removeEventListener("dragover", ignore);
      removeEventListener("drop", ignore);
    };
  }, []);
  return (
    <label
      class={`drop ${over ? "over" : ""}`}
      onDragOver={(event) => (event.preventDefault(), setOver(true))}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        void onFile(event.dataTransfer?.files[0]);
      }}
    >
      <span>{texts.dropHere}</span>
      <input
        ref={input}
        type="file"
        class="hidden"
        accept=".csv,text/csv"
        aria-label={texts.upload}
        onChange={(event) => {
          const { currentTarget } = event;
          void onFile(currentTarget.files?.[0]).then(() => (currentTarget.value = ""));
        }}
      />
    </label>
  );
}

interface StagedProps {
  source: Source;
  /** Names that are taken. */
  names: string[];
  onStoring: UploadProps["onStoring"];
  onStored: (source: Source, dataset: Dataset) => void;
  onLeave: () => void;
}

/** A file that was chosen: its name as a dataset, its encoding and its first lines. */
function Staged({ source, names, onStoring, onStored, onLeave }: StagedProps) {
  const texts = useTexts();
  const { file } = source;
  const [name, setName] = useState(source.name);
  const [encoding, setEncoding] = useState(source.encoding);
  const [lines, setLines] = useState("");
  const [taken, setTaken] = useState(names);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const note = useId();
  useEffect(() => {
    let current = true;
    firstLines(file, encoding).then((found) => current && setLines(found), setProblem);
    return () => {
      current = false;
    };
  }, [file, encoding]);
  // It ends with this form, too: what is stored after another file came is not chosen.
  useLayoutEffect(() => (busy ? onStoring(name) : undefined), [busy]);
  const change = (next: string) => {
    setName(next);
    setProblem(null);
  };
  const next = freeName(name, taken);
  const wrong = !NAME.test(name) ? texts.nameRule : next === name ? "" : texts.nameTaken(name);
  const chosen: Source = { ...source, name, encoding };
  const store = async () => {
    setBusy(true);
    setProblem(null);
    try {
      onStored(chosen, (await send<Dataset>(uploadCall(chosen))).body);
    } catch (reason) {
      if (isTaken(reason)) setTaken([...(await datasetNames().catch(() => taken)), name]);
      else setProblem(reason);
      setBusy(false);
    }
  };
  return (
    <form
      class="staged"
      aria-label={file.name}
      onSubmit={(event) => {
        event.preventDefault();
        if (!wrong && !busy) void store();
      }}
    >
      <strong>{file.name}</strong>
      {source.encoding !== "utf-8" && (
        <>
          <p class="small" role="status">{texts.notUtf8(file.name)}</p>
          <Choice label={texts.encoding} value={encoding} among={ENCODINGS.map((one) => [one, texts.encodings[one]] as const)} onChoose={(one) => (setEncoding(one), setProblem(null))} />
        </>
      )}
      {lines && <Scroll label={texts.firstLines}><pre class="first-lines">{lines}</pre></Scroll>}
      <label class="field">
        <span>{texts.datasetName}</span>
        <input value={name} maxLength={64} spellcheck={false} autocapitalize="off" autoComplete="off" aria-invalid={wrong !== ""} aria-describedby={wrong ? note : undefined} onInput={(event) => change(event.currentTarget.value)} />
      </label>
      {wrong && (
        <p id={note} class="small bad refused" role="alert">
          {wrong} {next !== name && <button type="button" onClick={() => change(next)}>{texts.useName(next)}</button>}
        </p>
      )}
      <Trouble of={problem} />
      <div class="row">
        <button type="submit" class="primary" disabled={busy || wrong !== ""}>{busy ? texts.uploading : texts.store}</button>
        <button type="button" onClick={onLeave} disabled={busy}>{texts.abort}</button>
        <CopyCurl call={uploadCall(chosen)} label={file.name} />
      </div>
    </form>
  );
}
