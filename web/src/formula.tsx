/** Formulas, set by KaTeX, which is loaded when the first one is shown. */

import { useEffect, useRef } from "preact/hooks";

type Katex = typeof import("katex");
let loading: Promise<Katex> | null = null;

function load(): Promise<Katex> {
  loading ??= new Promise((resolve, reject) => {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = FORMULAS_CSS;
    style.onload = () => import("katex").then(resolve, reject);
    style.onerror = reject;
    document.head.append(style);
  });
  return loading;
}

export function Formula({ tex }: { tex: string }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    let current = true;
    load().then(
      ({ default: katex }) => {
        if (current && place.current) katex.render(tex, place.current, { throwOnError: false, displayMode: false });
      },
      () => undefined, // the source stays, which can be read too
    );
    return () => {
      current = false;
    };
  }, [tex]);
  return <div class="formula" ref={place} tabIndex={0} role="math" aria-label={tex} />;
}
