/** The curves of one training, as pages show them. */

import { useMemo } from "preact/hooks";
import { Curves } from "./curves";
import { Check } from "./fields";
import { best, type Run } from "./run";
import { useDark, useTexts } from "./shell";
import { Staged } from "./staged";

/** Colours of curves that stand out on either ground. */
export function useLineColours() {
  const dark = useDark();
  return dark ? { train: "#63b8ee", valid: "#f5a94e" } : { train: "#0a5f96", valid: "#b85c00" };
}

export function CurvesCard(props: { setup: { log: boolean }; update: (part: { log: boolean }) => void; run: Run; shown: number | null; onPick?: (epoch: number) => void }) {
  const { setup, update, run, shown, onPick } = props;
  const texts = useTexts();
  const colours = useLineColours();
  const lines = useMemo(() => {
    const { records } = run;
    const valid = records.some((record) => record.valid_loss != null);
    const classes = records.some((record) => record.train_accuracy != null);
    const pair = (train: "train_loss" | "train_accuracy", validation: "valid_loss" | "valid_accuracy") => [
      { label: texts.trainingCurve, colour: colours.train, values: records.map((record) => record[train] ?? null) },
      ...(valid ? [{ label: texts.validationCurve, colour: colours.valid, dashed: true, values: records.map((record) => record[validation] ?? null) }] : []),
    ];
    return {
      epochs: records.map((record) => record.epoch),
      loss: pair("train_loss", "valid_loss"),
      accuracy: classes ? pair("train_accuracy", "valid_accuracy") : null,
    };
  }, [run.records, texts, colours.train]);
  const lowest = useMemo(() => best(run.records), [run.records]);
  if (!run.records.length) return null;
  return (
    <section class="card curves-card" aria-labelledby="curves-title">
      <div class="row between">
        <h2 id="curves-title">{texts.curves}</h2>
        <Check label={texts.logScale} checked={setup.log} onChange={(log) => update({ log })} />
      </div>
      <div class="pair">
        <Staged>
          <Curves title={texts.loss} epochs={lines.epochs} lines={lines.loss} log={setup.log} best={lowest?.epoch ?? null} shown={shown} {...(onPick ? { onPick } : {})} />
        </Staged>
        {lines.accuracy && (
          <Staged>
            <Curves title={texts.accuracy} epochs={lines.epochs} lines={lines.accuracy} range={[0, 1.05]} best={lowest?.epoch ?? null} shown={shown} {...(onPick ? { onPick } : {})} />
          </Staged>
        )}
      </div>
      {lowest && (
        <p class="small soft best">
          <svg width="22" height="10" aria-hidden="true"><line x1="0" y1="5" x2="22" y2="5" stroke="var(--good)" stroke-width="2" stroke-dasharray="5 4" /></svg>{" "}
          {lowest.of === "validation" ? texts.bestEpoch(lowest.epoch) : texts.bestTrainEpoch(lowest.epoch)}
        </p>
      )}
    </section>
  );
}
