// Works out a network's outputs as the pages do, for rows of a table: JSON in, JSON out.
import { readFileSync } from "node:fs";
import type { Cell, LayerParameters, Preprocessing } from "../src/api";
import { encode, forward, fromParameters, fromSnapshot, inputWidth, widths } from "../src/network";

interface Case {
  preprocessing: Preprocessing;
  rows: Cell[][];
  layers: LayerParameters[];
  /** The same weights as a snapshot, and the hidden layers that it is of. */
  snapshot: string;
  hidden: number[];
}

const cases = JSON.parse(readFileSync(0, "utf8")) as Case[];
const answers = cases.map(({ preprocessing, rows, layers, snapshot, hidden }) => {
  const { target } = preprocessing;
  const encoded = encode(preprocessing, rows);
  const units = widths(inputWidth(preprocessing), hidden, target);
  return {
    published: [...forward(fromParameters(layers), encoded)],
    recorded: [...forward(fromSnapshot(snapshot, units, layers[0]!.activation, target.task), encoded)],
  };
});
process.stdout.write(JSON.stringify(answers));
