/** What every page needs: the language, the theme, the address, problems, requests as curl. */

import { createContext, type ComponentChildren } from "preact";
import { useCallback, useContext, useEffect, useRef, useState } from "preact/hooks";
import { asCurl, type Call, oneAtATime, Problem, speak } from "./api";
import { inKorean } from "./refusals";
import { type Language, TEXTS, type Texts } from "./texts";

export type Theme = "system" | "light" | "dark";

interface Choices {
  language: Language;
  texts: Texts;
  theme: Theme;
  setLanguage: (language: Language) => void;
  setTheme: (theme: Theme) => void;
}

const Context = createContext<Choices | null>(null);

/** Read what was chosen here before; browsers may refuse to keep anything. */
function remembered(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function remember(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // it is forgotten with the page
  }
}

function firstLanguage(): Language {
  const chosen = remembered("language") ?? document.documentElement.lang;
  return chosen === "ko" ? "ko" : "en";
}

function firstTheme(): Theme {
  const chosen = remembered("theme");
  return chosen === "light" || chosen === "dark" ? chosen : "system";
}

export function Choosing({ children }: { children: ComponentChildren }) {
  const [language, setLanguage] = useState(firstLanguage);
  const [theme, setTheme] = useState(firstTheme);
  document.documentElement.lang = language;
  document.documentElement.dataset.theme = theme;
  speak(language);
  const choices: Choices = {
    language,
    texts: TEXTS[language],
    theme,
    setLanguage: (chosen) => {
      remember("language", chosen);
      setLanguage(chosen);
    },
    setTheme: (chosen) => {
      remember("theme", chosen);
      setTheme(chosen);
    },
  };
  return <Context.Provider value={choices}>{children}</Context.Provider>;
}

export function useChoices(): Choices {
  return useContext(Context)!;
}

export function useTexts(): Texts {
  return useChoices().texts;
}

/** Whether the dark colours are on, also as the system says. */
export function useDark(): boolean {
  const { theme } = useChoices();
  const [system, setSystem] = useState(() => matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const query = matchMedia("(prefers-color-scheme: dark)");
    const changed = () => setSystem(query.matches);
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, []);
  return theme === "system" ? system : theme === "dark";
}

export interface Address {
  page: string;
  rest: string[];
  parameters: URLSearchParams;
}

/** Undo the escapes of an address; one that was cut in the middle of a letter stays as it stands. */
export function unescaped(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Read `#/page/rest?parameters`. */
export function parseAddress(hash: string): Address {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [page = "", ...rest] = path.split("/").map(unescaped);
  return { page: page || "playground", rest: rest.filter(Boolean), parameters: new URLSearchParams(query) };
}

/** Go to an address; in place of the last one, where it is only a setting that changed. */
export function navigate(hash: string, replace = false): void {
  if (hash === location.hash) return;
  if (!replace) {
    location.hash = hash;
    return;
  }
  history.replaceState(null, "", hash);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

export function useAddress(): Address {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = () => setHash(location.hash);
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return parseAddress(hash);
}

/** What says the service's sentences in the language of the page. */
export function useSaid(): (sentence: string) => string {
  const { language } = useChoices();
  return language === "ko" ? inKorean : (sentence) => sentence;
}

/** Why a job failed. */
export function Failure({ of }: { of: { code: string; message: string } }) {
  const said = useSaid();
  return <p class="trouble" role="alert"><strong>{of.code}</strong>: {said(of.message)}</p>;
}

/** Give a problem its place on the page: what is wrong, and where. */
export function Trouble({ of }: { of: unknown }) {
  const texts = useTexts();
  const said = useSaid();
  if (!of) return null;
  if (!(of instanceof Problem)) return <p class="trouble" role="alert">{String(of)}</p>;
  // "#" is the whole of what was sent: it points nowhere.
  const places = of.places.filter((place) => (place.pointer ?? place.parameter ?? "#") !== "#");
  return (
    <div class="trouble" role="alert">
      <p><strong>{of.status === 0 ? texts.unreachable : (texts.refusals[of.status] ?? of.title)}</strong></p>
      {places.length === 0 && of.detail && <p>{said(of.places[0]?.detail ?? of.detail)}</p>}
      {places.length > 0 && (
        <ul>
          {places.slice(0, 10).map((place) => (
            <li><code>{place.pointer ?? place.parameter}</code> {said(place.detail)}</li>
          ))}
        </ul>
      )}
    </div>
  );
}

export function CopyCurl({ call, label }: { call: Call; label?: string }) {
  const texts = useTexts();
  const [state, setState] = useState<"" | "copied" | "shown">("");
  const command = asCurl(call, location.origin);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(command);
      setState("copied");
    } catch {
      setState("shown"); // not allowed, or no secure context
    }
  };
  return (
    <span class="curl">
      <button type="button" class="quiet" onClick={copy} aria-label={label ? `${texts.copyCurl}: ${label}` : undefined}>
        {texts.copyCurl}
      </button>
      <span role="status">{state === "copied" ? ` ${texts.copied}` : ""}</span>
      {state === "shown" && (
        <Dialog title={texts.copyFailed} onClose={() => setState("")}>
          <pre class="command">{command}</pre>
        </Dialog>
      )}
    </span>
  );
}

export function Dialog(props: {
  title: string;
  onClose: () => void;
  onConfirm?: () => void;
  children?: ComponentChildren;
}) {
  const texts = useTexts();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} onClose={props.onClose} aria-label={props.title}>
      <p>{props.title}</p>
      {props.children}
      <div class="row end">
        <button type="button" onClick={() => dialog.current?.close()}>{props.onConfirm ? texts.abort : texts.close}</button>
        {props.onConfirm && (
          <button
            type="button"
            class="primary"
            onClick={() => {
              props.onConfirm?.();
              dialog.current?.close();
            }}
          >
            {texts.confirm}
          </button>
        )}
      </div>
    </dialog>
  );
}

export interface Loaded<Value> {
  value: Value | null;
  problem: unknown;
  again: () => void;
}

/** Load what a page shows, again where a dependency changes; the last value stays meanwhile. */
export function useLoaded<Value>(load: () => Promise<Value>, dependencies: unknown[]): Loaded<Value> {
  const [state, setState] = useState<{ value: Value | null; problem: unknown }>({ value: null, problem: null });
  const ask = useRef<() => void>(() => undefined);
  useEffect(() => {
    let current = true;
    ask.current = oneAtATime(async () => {
      if (!current) return;
      await load().then(
        (value) => current && setState({ value, problem: null }),
        (problem: unknown) => current && setState((last) => ({ ...last, problem })),
      );
    });
    ask.current();
    return () => {
      current = false;
    };
  }, dependencies);
  const again = useCallback(() => ask.current(), []);
  return { ...state, again };
}

export function Waiting<Value>({ on, children }: { on: Loaded<Value>; children: (value: Value) => ComponentChildren }) {
  const texts = useTexts();
  return (
    <>
      {on.problem !== null && (
        <>
          <Trouble of={on.problem} />
          <p><button type="button" onClick={on.again}>{texts.retry}</button></p>
        </>
      )}
      {on.value !== null ? children(on.value) : on.problem === null && <p role="status">{texts.loading}</p>}
    </>
  );
}
