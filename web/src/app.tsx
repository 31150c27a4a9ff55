/** The frame around every page, and which page the address means. */

import type { ComponentChildren } from "preact";
import { useEffect, useErrorBoundary, useRef } from "preact/hooks";
import { Backprop } from "./backprop";
import { Gates } from "./gates";
import { Jobs } from "./jobs";
import { Models } from "./models";
import { Playground } from "./playground";
import { Sweep } from "./sweep";
import { type Address, Choosing, type Theme, Trouble, useAddress, useChoices } from "./shell";
import type { Language, Texts } from "./texts";

const PAGES: Record<string, (address: Address) => preact.JSX.Element> = {
  jobs: (address) => <Jobs {...address} />,
  models: (address) => <Models {...address} />,
  sweep: (address) => <Sweep {...address} />,
  gates: () => <Gates />,
  backprop: (address) => <Backprop {...address} />,
  playground: (address) => <Playground {...address} />,
};
const NAMES = ["playground", "gates", "backprop", "sweep", "jobs", "models"] as const;

export function App() {
  return (
    <Choosing>
      <Frame />
    </Choosing>
  );
}

function Frame() {
  const { texts } = useChoices();
  const address = useAddress();
  const main = useRef<HTMLElement>(null);
  const shown = useRef(address.page);
  const name = NAMES.find((known) => known === address.page);
  useEffect(() => {
    document.title = name ? `${texts[name]} · Perceptron` : "Perceptron";
    if (shown.current !== address.page) main.current?.focus();
    shown.current = address.page;
  }, [address.page, texts]);
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), main.current?.focus())}>{texts.skip}</a>
      <Header page={address.page} />
      <main id="main" ref={main} tabIndex={-1}>
        <Guarded key={address.page}>{name && PAGES[name] ? PAGES[name](address) : <h1>{texts.notFound}</h1>}</Guarded>
      </main>
    </>
  );
}

/** Says what went wrong in a page, whose frame stays. */
function Guarded({ children }: { children: ComponentChildren }) {
  const { texts } = useChoices();
  const [error, reset] = useErrorBoundary((found: unknown) => console.error(found));
  if (error === undefined || error === null) return <>{children}</>;
  return (
    <>
      <Trouble of={error} />
      <button type="button" onClick={reset}>{texts.retry}</button>
    </>
  );
}

function Header({ page }: { page: string }) {
  const { texts } = useChoices();
  return (
    <header>
      <a class="brand" href="#/playground">Perceptron</a>
      <nav aria-label={texts.menu}>
        {NAMES.map((name) => (
          <a href={`#/${name}`} aria-current={name === page ? "page" : undefined}>{texts[name as keyof Texts] as string}</a>
        ))}
        <a href="/docs">API</a>
      </nav>
      <Switches />
    </header>
  );
}

function Switches() {
  const { texts, language, theme, setLanguage, setTheme } = useChoices();
  return (
    <div class="switches">
      <label>
        <span class="hidden">{texts.language}</span>
        <select value={language} onChange={(event) => setLanguage(event.currentTarget.value as Language)}>
          <option value="en" lang="en">English</option>
          <option value="ko" lang="ko">한국어</option>
        </select>
      </label>
      <label>
        <span class="hidden">{texts.theme}</span>
        <select value={theme} onChange={(event) => setTheme(event.currentTarget.value as Theme)}>
          <option value="system">{texts.system}</option>
          <option value="light">{texts.light}</option>
          <option value="dark">{texts.dark}</option>
        </select>
      </label>
    </div>
  );
}
