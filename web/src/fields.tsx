/** Labelled fields. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useTexts } from "./shell";

interface Named {
  label: string;
}

export function Choice<Value extends string>(
  props: Named & { value: Value; among: readonly (readonly [Value, string])[]; onChoose: (value: Value) => void; disabled?: boolean },
) {
  return (
    <label class="field">
      <span>{props.label}</span>
      <select value={props.value} disabled={props.disabled} onChange={(event) => props.onChoose(event.currentTarget.value as Value)}>
        {props.among.map(([value, name]) => <option value={value} selected={value === props.value}>{name}</option>)}
      </select>
    </label>
  );
}

export function NumberField(
  props: Named & {
    value: number | null;
    low?: number;
    high?: number;
    whole?: boolean;
    /** What no number means, where there need be none. */
    empty?: string;
    /** Whether the label is for screen readers only: what it is stands beside. */
    isNamedBeside?: boolean;
    onChange: (value: number | null) => void;
  },
) {
  const texts = useTexts();
  const written = props.value === null ? "" : String(props.value);
  const [text, setText] = useState(written);
  /** What was typed last could not be used: it is said until something else is typed. */
  const [isRefused, setRefused] = useState(false);
  // What is being typed stays as it is ("0.") while it means the same.
  useEffect(() => setText((last) => (last.trim() !== "" && Number(last) === props.value ? last : written)), [written]);
  const valid = (value: string) => {
    if (value.trim() === "") return props.empty !== undefined;
    const number = Number(value);
    const fits = number >= (props.low ?? -Infinity) && number <= (props.high ?? Infinity);
    return Number.isFinite(number) && fits && (!props.whole || Number.isInteger(number));
  };
  return (
    <div>
      <label class="field">
        <span class={props.isNamedBeside ? "hidden" : ""}>{props.label}</span>
        <input
          inputMode={props.whole ? "numeric" : "decimal"}
          value={text}
          placeholder={props.empty}
          aria-invalid={!valid(text)}
          onInput={(event) => {
            const typed = event.currentTarget.value;
            setText(typed);
            setRefused(!valid(typed));
            if (valid(typed)) props.onChange(typed.trim() === "" ? null : Number(typed));
          }}
          onBlur={() => !valid(text) && setText(written)}
        />
      </label>
      {isRefused && <p class="small bad refused" role="alert">{texts.needsNumber(props)} {texts.stays(written || (props.empty ?? ""))}</p>}
    </div>
  );
}

const SETTLED_MS = 250;

/** A number that is dragged, or moved by keys; what it is goes on when it has been let be, or is left. */
export function Slider(
  props: Named & { value: number; low: number; high: number; step: number; spell?: (value: number) => string; onChange: (value: number) => void },
) {
  const { label, value, low, high, step, spell = String, onChange } = props;
  const [shown, setShown] = useState(value);
  const moved = useRef<{ to: number; timer: number } | null>(null);
  const settle = () => {
    if (!moved.current) return;
    const { to, timer } = moved.current;
    clearTimeout(timer);
    moved.current = null;
    onChange(to);
  };
  const latest = useRef(settle);
  latest.current = settle;
  useEffect(() => {
    if (!moved.current) setShown(value);
  }, [value]);
  useEffect(() => () => clearTimeout(moved.current?.timer), []);
  return (
    <label class="field">
      <span>{label} <strong class="number">{spell(shown)}</strong></span>
      <input
        type="range"
        min={low}
        max={high}
        step={step}
        value={shown}
        aria-valuetext={spell(shown)}
        onInput={(event) => setShown(Number(event.currentTarget.value))}
        onChange={(event) => {
          clearTimeout(moved.current?.timer);
          const timer = window.setTimeout(() => latest.current(), SETTLED_MS);
          moved.current = { to: Number(event.currentTarget.value), timer };
        }}
        onBlur={settle}
      />
    </label>
  );
}

export function TextField(props: Named & { value: string; placeholder?: string; onChange: (value: string) => void }) {
  return (
    <label class="field">
      <span>{props.label}</span>
      <input value={props.value} placeholder={props.placeholder} onInput={(event) => props.onChange(event.currentTarget.value)} />
    </label>
  );
}

export function Check(props: Named & { checked: boolean; onChange: (checked: boolean) => void }) {
  return (
    <label class="check small">
      <input type="checkbox" checked={props.checked} onChange={(event) => props.onChange(event.currentTarget.checked)} />
      {props.label}
    </label>
  );
}

/** A table that scrolls where it is too large, also with the keyboard. */
export function Scroll({ label, children }: Named & { children: ComponentChildren }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      {children}
    </div>
  );
}
