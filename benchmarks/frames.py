"""
Frames and long tasks of the playground while a job of 10,001 epochs streams, in a real Chromium.

    .venv/bin/perceptron up &
    .venv/bin/python -m benchmarks.frames

Each round opens the page anew, trains, and watches until the job's last record is shown. Beside the
long tasks that the page sees, which are longer on a busy machine, stand the longest ones by the
processor's time, from Chromium's trace. `--parts` says what each long frame was made of, and
`--trace` writes the trace of the last round.
"""

import argparse
import json
import shutil
import statistics
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright
from rich.console import Console

ADDRESS = (
    "#/playground?data={data}&layers=10-10-10&activation=sigmoid&optimizer=sgd&rate=1&epochs=10001"
    "&validation={validation}&seed={seed}"
)
"""The slides' network."""

WATCH = """
window.tasks = [];
window.frames = [];
window.parts = [];
new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) tasks.push({ startTime, duration });
}).observe({ type: "longtask", buffered: true });
new PerformanceObserver((list) => {
    for (const frame of list.getEntries()) {
        parts.push({
            startTime: frame.startTime, duration: frame.duration, renderStart: frame.renderStart,
            styleAndLayoutStart: frame.styleAndLayoutStart,
            scripts: frame.scripts.map((one) => ({
                invoker: one.invoker, function: one.sourceFunctionName, at: one.sourceCharPosition,
                startTime: one.startTime, duration: one.duration,
                layout: one.forcedStyleAndLayoutDuration,
            })),
        });
    }
}).observe({ type: "long-animation-frame", buffered: true });
let last = performance.now();
requestAnimationFrame(function step(now) {
    frames.push(now - last);
    last = now;
    requestAnimationFrame(step);
});
"""
"""Notes tasks over 50 ms, what they were made of, and the time between frames."""


LONGEST = 4
"""Tasks that are told by the processor's time."""


def longest(trace: bytes, url: str) -> list[float]:
    """Give the longest tasks of the page's main thread, as milliseconds of the processor."""
    events = json.loads(trace)["traceEvents"]
    ours = {event["pid"] for event in events if url in str(event.get("args"))}
    threads = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name"
        and event["args"]["name"] == "CrRendererMain"
        and event["pid"] in ours
    }
    tasks = [
        event.get("tdur", 0) / 1_000
        for event in events
        if event["name"] == "RunTask" and (event["pid"], event["tid"]) in threads
    ]
    return sorted(tasks, reverse=True)[:LONGEST]


def measured(browser: Browser, url: str, address: str, slowdown: float) -> dict[str, Any]:
    """Load the page, train, and tell the two apart."""
    page = browser.new_page(base_url=url, viewport={"width": 1280, "height": 900})
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": slowdown})
    page.add_init_script(WATCH)
    browser.start_tracing(page=page)
    page.goto(f"/{address}")
    page.wait_for_selector(".points path")
    page.wait_for_timeout(1_000)  # what loading does, and no more
    train = page.locator("section", has=page.locator("#network-title")).locator("button.primary")
    loading = browser.stop_tracing()
    browser.start_tracing(page=page)
    began = page.evaluate("frames.length = 0, performance.now()")
    train.click()
    page.wait_for_selector(".verdict", timeout=120_000)
    ended = page.evaluate("performance.now()")
    page.wait_for_timeout(1_000)
    found: dict[str, Any] = page.evaluate("({ tasks, frames, parts })")
    training = browser.stop_tracing()
    page.close()
    tasks = {"loading": longest(loading, url), "training": longest(training, url)}
    return {**found, **tasks, "began": began, "ended": ended, "trace": training}


def told(run: dict[str, Any]) -> str:
    """Write one round as a line."""
    loading = [task["duration"] for task in run["tasks"] if task["startTime"] < run["began"]]
    training = [task["duration"] for task in run["tasks"] if task["startTime"] >= run["began"]]
    frames = sorted(run["frames"])
    late = sum(frame > 25 for frame in frames)
    seconds = sum(frames) / 1_000
    times = run["ended"] - run["began"], len(frames) / seconds, frames[int(0.99 * len(frames))]
    return (
        "{:.1f} s  {:.1f} frames/s  99 % {:.0f} ms".format(times[0] / 1_000, *times[1:])
        + f" ({late} of {len(frames)} over 25 ms, median {statistics.median(frames):.1f})\n"
        f"  long tasks: loading {whole(loading)}, training {whole(training)};"
        f" by processor {whole(run['loading'])}, {whole(run['training'])}"
    )


def whole(numbers: list[float]) -> list[int]:
    """Round milliseconds."""
    return [round(number) for number in numbers]


def parts(run: dict[str, Any]) -> str:
    """Write what each long frame was made of."""
    lines = []
    for frame in run["parts"]:
        since = frame["startTime"] - run["began"]
        end = frame["startTime"] + frame["duration"]
        lines.append(
            f"  at {since:7.0f} ms, {frame['duration']:4.0f} ms, "
            f"rendering {end - frame['renderStart']:.0f}, "
            f"style and layout {end - frame['styleAndLayoutStart']:.0f}"
        )
        lines += [
            f"      {script['duration']:4.0f} ms (layout {script['layout']:.0f}) "
            f"{script['invoker']} {script['function']} @{script['at']}"
            for script in frame["scripts"]
        ]
    return "\n".join(lines)


def main() -> None:
    """Measure, and print a line for each round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--data", default="xor", help="a dataset, or a sample as the address has it"
    )
    parser.add_argument("--validation", default="0")
    parser.add_argument(
        "--slowdown", type=float, default=1.0, help="as if the processor were slower"
    )
    parser.add_argument("--parts", action="store_true", help="what long frames are made of")
    parser.add_argument("--trace", type=Path, help="where to write Chromium's trace")
    options = parser.parse_args()
    console = Console(highlight=False, markup=False, soft_wrap=True)
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for seed in range(options.rounds):
            address = ADDRESS.format(data=options.data, validation=options.validation, seed=seed)
            run = measured(browser, options.url, address, options.slowdown)
            console.print(told(run))
            if options.parts:
                console.print(parts(run))
        if options.trace:
            options.trace.write_bytes(run["trace"])
        browser.close()


if __name__ == "__main__":
    main()
