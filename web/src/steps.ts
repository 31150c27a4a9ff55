/** One step of gradient descent as a row of formulas with their numbers. */

import type { Activation, BackpropRequest, BackpropTrace, Named } from "./api";

export interface Step {
  kind: "sums" | "outputs" | "loss" | "gradients" | "hidden" | "after";
  layer: number;
  formulas: string[];
}

/** Write a name of the trace, such as `z1`, `E_o1` or `∂E/∂z3·∂z3/∂h1`, in TeX. */
export function tex(name: string): string {
  if (name.includes("·")) return name.split("·").map(tex).join(" \\cdot ");
  if (name.includes("/")) {
    const [above = "", below = ""] = name.split("/");
    return `\\frac{${tex(above)}}{${tex(below)}}`;
  }
  if (name.startsWith("∂")) return `\\partial ${tex(name.slice(1))}`;
  const [head, tail] = name.split("_");
  if (tail !== undefined) return `${head}_{${tex(tail)}}`;
  const found = /^([A-Za-z]+)(\d+)$/.exec(name);
  return found ? `${found[1]}_{${found[2]}}` : name;
}

/** Write a number with up to eight digits behind the point, as the slides do. */
export function numeral(value: number): string {
  if (value !== 0 && (Math.abs(value) < 1e-6 || Math.abs(value) >= 1e7)) {
    const [digits, power] = value.toExponential(4).split("e");
    return `${digits} \\times 10^{${Number(power)}}`;
  }
  return String(Number(value.toFixed(8)));
}

function inBrackets(value: number): string {
  return value < 0 ? `(${numeral(value)})` : numeral(value);
}

const FUNCTIONS: Partial<Record<Activation, (z: string) => string>> = {
  sigmoid: (z) => `\\frac{1}{1 + e^{-${z}}}`,
  tanh: (z) => `\\tanh ${z}`,
  relu: (z) => `\\max(0, ${z})`,
  leaky_relu: (z) => `\\max(0.01\\,${z}, ${z})`,
  gelu: (z) => `${z}\\,\\Phi(${z})`,
  identity: (z) => z,
};

function product(factors: Named[]): string {
  return factors.map(({ value }) => inBrackets(value)).join(" \\times ");
}

function sums(request: BackpropRequest, trace: BackpropTrace, layer: number): string[] {
  const { weights, biases } = request.layers[layer]!;
  const inputs = layer === 0 ? trace.inputs : trace.forward[layer - 1]!.outputs;
  const named = trace.parameters.filter((parameter) => parameter.layer === layer);
  const biasNames = named.slice(weights.length * inputs.length);
  return trace.forward[layer]!.z.map((z, unit) => {
    const own = named.slice(unit * inputs.length, (unit + 1) * inputs.length);
    const letters = own.map((weight, at) => `${tex(weight.name)} ${tex(inputs[at]!.name)}`);
    const numbers = own.map((weight, at) => `${inBrackets(weight.value)} \\times ${inBrackets(inputs[at]!.value)}`);
    if (biases) {
      letters.push(tex(biasNames[unit]!.name));
      numbers.push(inBrackets(biases[unit]!));
    }
    return `${tex(z.name)} = ${letters.join(" + ")} = ${numbers.join(" + ")} = ${numeral(z.value)}`;
  });
}

function outputs(request: BackpropRequest, trace: BackpropTrace, layer: number): string[] {
  const { activation } = request.layers[layer]!;
  const apply = FUNCTIONS[activation] ?? ((z: string) => `f(${z})`);
  const { z, outputs: values } = trace.forward[layer]!;
  return values.map((output, unit) => {
    const sum = z[unit]!;
    return `${tex(output.name)} = ${apply(tex(sum.name))} = ${apply(`${inBrackets(sum.value)}`)} = ${numeral(output.value)}`;
  });
}

function loss(request: BackpropRequest, trace: BackpropTrace): string[] {
  const last = trace.forward.at(-1)!.outputs;
  const terms = trace.loss.terms.map((term, unit) => {
    const output = last[unit]!;
    const target = `t_{${unit + 1}}`;
    return `${tex(term.name)} = \\tfrac{1}{2}(${target} - ${tex(output.name)})^2 = \\tfrac{1}{2}(${numeral(request.targets[unit]!)} - ${inBrackets(output.value)})^2 = ${numeral(term.value)}`;
  });
  return [...terms, `E = ${trace.loss.terms.map(({ name }) => tex(name)).join(" + ")} = ${numeral(trace.loss.total)}`];
}

function gradients(trace: BackpropTrace, layer: number): string[] {
  return trace.parameters
    .filter((parameter) => parameter.layer === layer)
    .flatMap(({ name, value, factors, gradient, updated }) => [
      `${tex(`∂E/∂${name}`)} = ${factors.map((factor) => tex(factor.name)).join(" \\cdot ")} = ${product(factors)} = ${numeral(gradient)}`,
      `${tex(name)}^{+} = ${tex(name)} - \\eta\\,${tex(`∂E/∂${name}`)} = ${numeral(value)} - ${numeral(trace.learning_rate)} \\times ${inBrackets(gradient)} = ${numeral(updated)}`,
    ]);
}

function hidden(trace: BackpropTrace, layer: number): string[] {
  const names = new Set(trace.forward[layer]!.outputs.map(({ name }) => `∂E/∂${name}`));
  return trace.hidden_gradients
    .filter(({ name }) => names.has(name) || names.has(`∂E/∂${name}`))
    .map(({ name, value, terms }) => {
      const whole = name.startsWith("∂") ? name : `∂E/∂${name}`;
      return `${tex(whole)} = ${terms.map((term) => tex(term.name)).join(" + ")} = ${terms.map((term) => inBrackets(term.value)).join(" + ")} = ${numeral(value)}`;
    });
}

/** All steps, forward and then backward, from the last layer to the first. */
export function steps(request: BackpropRequest, trace: BackpropTrace): Step[] {
  const count = request.layers.length;
  const forward = request.layers.flatMap((_, layer): Step[] => [
    { kind: "sums", layer, formulas: sums(request, trace, layer) },
    { kind: "outputs", layer, formulas: outputs(request, trace, layer) },
  ]);
  const backward = Array.from({ length: count }, (_, at) => count - 1 - at).flatMap((layer): Step[] => [
    ...(layer < count - 1 ? [{ kind: "hidden" as const, layer, formulas: hidden(trace, layer) }] : []),
    { kind: "gradients", layer, formulas: gradients(trace, layer) },
  ]);
  const after = [
    ...trace.after.terms.map((term) => `${tex(term.name)}^{+} = ${numeral(term.value)}`),
    `E = ${numeral(trace.loss.total)} \\;\\to\\; E^{+} = ${numeral(trace.after.total)}`,
  ];
  return [...forward, { kind: "loss", layer: count - 1, formulas: loss(request, trace) }, ...backward, { kind: "after", layer: count - 1, formulas: after }];
}
