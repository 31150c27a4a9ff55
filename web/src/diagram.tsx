/** A network as units and edges: colour and width tell the weights, pictures what units answer. */

import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { short } from "./curves";
import { clipped, forwardAll, type Layer } from "./network";
import { type Axes, overAxes, paintUnit, type Unit } from "./region";
import type { Inputs } from "./api";
import { useTexts } from "./shell";

const SHOWN = 8;
const PICTURE = 18;
const UNIT = 30;
const GAP = 44;
/** Pixels of the pictures' canvas for each unit of length. */
const SHARPNESS = 2;
/** Room for the names of inputs and outputs. */
const MARGIN = 96;

export interface DiagramProps {
  /** Units of every layer from the input to the output. */
  units: number[];
  inputs: string[];
  outputs: string[];
  layers: Layer[] | null;
  /** Where pictures of the units' answers can be drawn. */
  plane: { inputs: Inputs; axes: Axes } | null;
  /** Told of the unit that is pointed at or focused, and of none. */
  onPoint?: (unit: Unit | null) => void;
  /** The unit that is held; where one can be, units are buttons. */
  pinned?: Unit | null;
  /** Told of the unit that is to be held, and of none; of an edge, its input too. */
  onPin?: (unit: Unit | null, input?: number) => void;
}

/** A unit, or with an input the edge from there to it. */
interface Spot {
  layer: number;
  unit: number;
  input?: number;
}

/** Steps of the arrow keys: layers, units. */
const ARROWS: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

interface Place {
  x: number;
  y: number;
}

/** Name a unit of a hidden layer; layer 0 is the inputs. */
export function unitName(layer: number, unit: number): string {
  return `h${layer}.${unit + 1}`;
}

function places(units: number[], width: number, height: number): Place[][] {
  const last = Math.max(1, units.length - 1);
  return units.map((count, layer) => {
    const shown = Math.min(count, SHOWN);
    const x = MARGIN + (layer * (width - 2 * MARGIN)) / last;
    return Array.from({ length: shown }, (_, unit) => ({ x, y: height / 2 + (unit - (shown - 1) / 2) * GAP }));
  });
}

/** Draw what every input is, and every unit answers, over the plane: into the unit's square. */
function draw(canvas: HTMLCanvasElement, at: Place[][], layers: Layer[], plane: NonNullable<DiagramProps["plane"]>): void {
  const inputs = overAxes(plane.inputs, plane.axes, PICTURE);
  const small = document.createElement("canvas");
  const context = canvas.getContext("2d")!;
  const side = UNIT - 4;
  [inputs, ...forwardAll(layers, inputs)].forEach((values, layer) => {
    const width = values.length / (PICTURE * PICTURE);
    const activation = layers[layer - 1]?.activation;
    const own = new Float32Array(PICTURE * PICTURE);
    at[layer]!.forEach((place, unit) => {
      for (let cell = 0; cell < own.length; cell++) own[cell] = values[cell * width + unit]!;
      paintUnit(small, own, PICTURE, activation);
      context.drawImage(small, SHARPNESS * (place.x - side / 2), SHARPNESS * (place.y - side / 2), SHARPNESS * side, SHARPNESS * side);
    });
  });
}

export function Diagram({ units, inputs, outputs, layers, plane, onPoint, pinned = null, onPin }: DiagramProps) {
  const texts = useTexts();
  const [spot, setSpot] = useState<Spot | null>(null);
  /** The unit that Tab comes to: arrows lead to the others. */
  const [stop, setStop] = useState<Spot>({ layer: 0, unit: 0 });
  const drawing = useRef<SVGSVGElement>(null);
  const fits = layers !== null && layers.length === units.length - 1 && layers.every((layer, at) => layer.outputs === units[at + 1]);
  const known = fits ? layers : null;
  const most = Math.min(SHOWN, Math.max(...units));
  const width = Math.max(440, 118 * units.length + 40);
  const height = most * GAP + 40;
  const found = useMemo(() => places(units, width, height), [units.join("-"), width, height]);
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    canvas.current?.getContext("2d")?.clearRect(0, 0, SHARPNESS * width, SHARPNESS * height);
    if (canvas.current && known && plane) draw(canvas.current, found, known, plane);
  }, [known, plane, found]);
  const name = (layer: number, unit: number) =>
    layer === 0 ? (inputs[unit] ?? `x${unit + 1}`) : layer === units.length - 1 ? (outputs[unit] ?? "y") : unitName(layer, unit);
  const tell = ({ layer, unit, input }: Spot) => {
    const own = known?.[layer - 1];
    if (!own) return name(layer, unit);
    if (input === undefined) return `${name(layer, unit)} · ${texts.bias} ${short(own.bias[unit], 5)}`;
    return `${texts.weight} ${name(layer - 1, input)} → ${name(layer, unit)}: ${short(own.weight[unit * own.inputs + input], 5)}`;
  };
  const point = (unit: Unit | null) => {
    setSpot(unit);
    if (known || !unit) onPoint?.(unit);
  };
  const last = found.length - 1;
  const within = ({ layer, unit }: Spot): Spot => {
    const column = Math.min(last, Math.max(0, layer));
    return { layer: column, unit: Math.min(found[column]!.length - 1, Math.max(0, unit)) };
  };
  const reached = within(stop);
  /** What makes a unit a button, where it can be held. */
  const button = (own: Unit) => {
    // One that had the focus loses it when it is no button any more.
    if (!known || !onPin) return { onBlur: () => point(null) };
    const { layer, unit } = own;
    const isPinned = pinned?.layer === layer && pinned.unit === unit;
    const toggle = () => onPin(isPinned ? null : own);
    return {
      role: "button" as const,
      class: `unit-button ${isPinned ? "pinned" : ""}`,
      // In small letters: in SVG another spelling is another attribute.
      tabindex: reached.layer === layer && reached.unit === unit ? 0 : -1,
      "aria-label": own.name,
      "aria-pressed": isPinned,
      "data-unit": `${layer}.${unit}`,
      onClick: () => {
        setStop({ layer, unit });
        toggle();
      },
      // Pointers point by themselves.
      onFocus: (event: FocusEvent) => (event.currentTarget as Element).matches(":focus-visible") && point(own),
      onBlur: () => point(null),
      onKeyDown: (event: KeyboardEvent) => {
        const arrow = ARROWS[event.key];
        if (arrow) {
          const next = within({ layer: layer + arrow[0], unit: unit + arrow[1] });
          setStop(next);
          drawing.current?.querySelector<SVGElement>(`[data-unit="${next.layer}.${next.unit}"]`)?.focus();
        } else if (event.key === "Enter" || event.key === " ") toggle();
        else if (event.key === "Escape" && pinned) onPin(null);
        else return;
        event.preventDefault();
      },
    };
  };
  return (
    <div class="diagram">
      <div class="scroll-x" tabIndex={0} role="group" aria-label={texts.network}>
        <div class="drawing" style={{ aspectRatio: `${width} / ${height}`, maxWidth: `${(430 * width) / height}px`, minWidth: `${Math.min(width, 82 * units.length)}px` }}>
        <svg ref={drawing} viewBox={`0 0 ${width} ${height}`} role={known && onPin ? "toolbar" : "img"} aria-label={`${texts.network}: ${units.join("–")}`}>
          {found.slice(1).map((targets, at) =>
            targets.map((to, unit) =>
              found[at]!.map((from, input) => {
                const layer = known?.[at];
                const weight = layer ? layer.weight[unit * layer.inputs + input]! : null;
                const middle = (from.x + to.x) / 2;
                return (
                  <path
                    d={`M${from.x + UNIT / 2},${from.y}C${middle},${from.y} ${middle},${to.y} ${to.x - UNIT / 2},${to.y}`}
                    fill="none"
                    stroke={weight === null ? "var(--line)" : weight < 0 ? "var(--negative)" : "var(--positive)"}
                    stroke-width={weight === null ? 1 : Math.min(9, 0.5 + 1.6 * Math.abs(weight))}
                    stroke-opacity={weight === null ? 1 : 0.8}
                    class={known && onPin ? "edge" : ""}
                    onPointerEnter={() => weight !== null && setSpot({ layer: at + 1, unit, input })}
                    onPointerLeave={() => setSpot(null)}
                    onClick={() => known && onPin?.({ layer: at + 1, unit, name: name(at + 1, unit) }, input)}
                  />
                );
              }),
            ),
          )}
          {found.map((column, layer) => (
            <g>
              {column.map(({ x, y }, unit) => {
                const own = { layer, unit, name: name(layer, unit) };
                return (
                  <g
                    transform={`translate(${x - UNIT / 2} ${y - UNIT / 2})`}
                    onPointerEnter={() => point(own)}
                    onPointerLeave={() => point(null)}
                  >
                    <g {...button(own)}>
                      <rect width={UNIT} height={UNIT} rx="5" fill="var(--field)" stroke="var(--soft)" stroke-width="1.5" />
                    </g>
                    {layer === 0 && <text x={-6} y={UNIT / 2 + 4} text-anchor="end" class="unit">{clipped(name(0, unit))}</text>}
                    {layer === units.length - 1 && layer > 0 && (
                      <text x={UNIT + 6} y={UNIT / 2 + 4} class="unit">{clipped(name(layer, unit))}</text>
                    )}
                  </g>
                );
              })}
              {units[layer]! > SHOWN && (
                <text x={column[0]!.x} y={height - 6} text-anchor="middle" class="unit">{texts.hiddenUnits(units[layer]! - SHOWN)}</text>
              )}
            </g>
          ))}
        </svg>
        <canvas ref={canvas} width={SHARPNESS * width} height={SHARPNESS * height} aria-hidden="true" />
        </div>
      </div>
      <p class="readout small soft" aria-hidden="true">{spot ?? pinned ? tell((spot ?? pinned)!) : known && onPin ? texts.unitHint : texts.edgeHint}</p>
      {known && known.every((layer) => layer.weight.length <= 400) && <Numbers layers={known} name={name} />}
    </div>
  );
}

function Numbers({ layers, name }: { layers: Layer[]; name: (layer: number, unit: number) => string }) {
  const texts = useTexts();
  const [open, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{texts.parameters}</summary>
      {open &&
        layers.map((layer, at) => (
          <div class="scroll" tabIndex={0} role="region" aria-label={`${texts.parameters} ${at + 1}`}>
            <table>
              <thead>
                <tr>
                  <td />
                  {Array.from({ length: layer.inputs }, (_, input) => <th scope="col" class="number">{name(at, input)}</th>)}
                  <th scope="col" class="number">{texts.bias}</th>
                </tr>
              </thead>
              <tbody>
                {Array.from({ length: layer.outputs }, (_, unit) => (
                  <tr>
                    <th scope="row">{name(at + 1, unit)}</th>
                    {Array.from({ length: layer.inputs }, (_, input) => (
                      <td class="number">{short(layer.weight[unit * layer.inputs + input])}</td>
                    ))}
                    <td class="number">{short(layer.bias[unit])}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        ))}
    </details>
  );
}
