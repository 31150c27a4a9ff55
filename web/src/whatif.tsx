/** What if a weight were another one: numbers of the network, changed in the page only. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { NumberField } from "./fields";
import { type Edit, edited, type Layer } from "./network";
import type { Unit } from "./region";
import { useTexts } from "./shell";

const NONE: Edit[] = [];

/** The network with what was changed of it; another trained one begins without changes. */
export function useWhatIf(trained: Layer[] | null) {
  const [made, setMade] = useState<{ of: Layer[]; edits: Edit[] } | null>(null);
  const edits = made !== null && made.of === trained ? made.edits : NONE;
  const layers = useMemo(() => trained && (edits.length ? edited(trained, edits) : trained), [trained, edits]);
  const change = (edit: Edit) => {
    if (!trained) return;
    setMade((last) => {
      const others = (last?.of === trained ? last.edits : NONE).filter(
        ({ layer, unit, input }) => layer !== edit.layer || unit !== edit.unit || input !== edit.input,
      );
      return { of: trained, edits: [...others, edit] };
    });
  };
  return { layers, edits, change, restore: () => setMade(null) };
}

/** A unit of more inputs than these has only the first ones to be changed. */
const MOST_INPUTS = 64;
/** How far a slider goes at least, to either side of 0. */
const REACH = 5;

interface Props {
  /** A unit behind the inputs. */
  unit: Unit;
  /** Names of what feeds the unit. */
  inputs: string[];
  trained: Layer[];
  layers: Layer[];
  edits: Edit[];
  /** The input whose slider is to be focused. */
  focus: number | null;
  onChange: (edit: Edit) => void;
  onRestore: () => void;
  onClose: () => void;
}

export function WhatIf({ unit, inputs, trained, layers, edits, focus, onChange, onRestore, onClose }: Props) {
  const texts = useTexts();
  const box = useRef<HTMLElement>(null);
  const at = unit.layer - 1;
  const layer = layers[at]!;
  const known = trained[at]!;
  useEffect(() => {
    if (focus !== null) box.current?.querySelector<HTMLElement>(`[data-input="${focus}"]`)?.focus();
  }, [focus, unit.layer, unit.unit]);
  const shown = Math.min(layer.inputs, MOST_INPUTS);
  const place = (input: number) => unit.unit * layer.inputs + input;
  const set = (input: number | null) => (value: number) => onChange({ layer: at, unit: unit.unit, input, value });
  return (
    <section class="what-if" aria-labelledby="what-if-title" ref={box} onKeyDown={(event) => event.key === "Escape" && onClose()}>
      <div class="row between">
        <h3 id="what-if-title">{texts.whatIfOf(unit.name)}</h3>
        <button type="button" class="quiet" onClick={onClose}>{texts.unpin}</button>
      </div>
      <div class="weights">
        {Array.from({ length: shown }, (_, input) => (
          <Weight
            key={input}
            at={input}
            short={inputs[input] ?? `x${input + 1}`}
            label={`${texts.weight} ${inputs[input] ?? `x${input + 1}`} → ${unit.name}`}
            value={layer.weight[place(input)]!}
            trained={known.weight[place(input)]!}
            onChange={set(input)}
          />
        ))}
        <Weight short={texts.bias} label={`${texts.bias} ${unit.name}`} value={layer.bias[unit.unit]!} trained={known.bias[unit.unit]!} onChange={set(null)} />
      </div>
      {layer.inputs > shown && <p class="small soft">{texts.hiddenUnits(layer.inputs - shown)}</p>}
      <p role="status" class="small">{edits.length ? texts.whatIfNote(edits.length) : texts.whatIfHint}</p>
      <button type="button" aria-disabled={!edits.length} onClick={onRestore}>{texts.restore}</button>
    </section>
  );
}

/** One number: a slider for trying, a field for what is known. */
function Weight(props: { at?: number; short: string; label: string; value: number; trained: number; onChange: (value: number) => void }) {
  const { at, short, label, trained, onChange } = props;
  // As many digits as a float32 holds.
  const value = Number(props.value.toPrecision(6));
  const reach = Math.max(REACH, Math.ceil(1.5 * Math.abs(trained)));
  return (
    <div class="weight">
      <span class="small" aria-hidden="true">{short}</span>
      <input
        type="range"
        aria-label={label}
        data-input={at}
        min={-reach}
        max={reach}
        step="any"
        value={value}
        aria-valuetext={String(value)}
        onInput={(event) => onChange(Number(Number(event.currentTarget.value).toFixed(3)))}
      />
      <NumberField label={label} isNamedBeside value={value} low={-1e6} high={1e6} onChange={(typed) => onChange(typed!)} />
    </div>
  );
}
