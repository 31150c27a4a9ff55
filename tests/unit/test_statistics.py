"""Statistics that several processes keep together."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.counting import DIRECTORY
from service.statistics import Spent, Statistics, told

PROGRAM = """
import os
from service.statistics import Spent, Statistics
mine = Statistics()
for _ in range(1_000):
    mine.succeeded("한글", 2, 3, 10, Spent(1, 2, 3))
mine.failed("한글", 2, 5)
if os.fork():
    os.wait()
else:
    mine.failed("한글", 2, 5)
    os._exit(0)
"""


@pytest.fixture
def together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for all processes, which is not there yet."""
    directory = tmp_path / "new" / "statistics"
    monkeypatch.setenv(DIRECTORY, str(directory))
    return directory


def test_every_process_counts(together: Path) -> None:
    """Four processes at once, each with a fork, lose nothing; what has ended counts on."""
    running = [subprocess.Popen([sys.executable, "-c", PROGRAM]) for _ in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    before = time.time_ns() // 1_000_000
    mine = Statistics()
    mine.succeeded("한글", 2, 5, 10, Spent(1, 2, 3))
    found = told("한글", "2", mine.read()["한글", "2"])
    stats = found.inference_stats
    assert (found.inference_count, found.execution_count) == (12_005, 4_001)
    assert (stats.success.count, stats.success.ns) == (4_001, 40_010)
    assert (stats.fail.count, stats.fail.ns) == (8, 40)
    assert (stats.queue.count, stats.queue.ns) == (4_001, 0)
    assert (stats.compute_input.count, stats.compute_input.ns) == (4_001, 4_001)
    assert (stats.compute_infer.count, stats.compute_infer.ns) == (4_001, 8_002)
    assert (stats.compute_output.count, stats.compute_output.ns) == (4_001, 12_003)
    assert found.last_inference >= before
    assert len(list(together.iterdir())) == 9


def test_many_models(together: Path) -> None:
    """The file grows with its keys, and what was counted stays."""
    mine = Statistics()
    for number in range(1, 2_001):
        mine.failed("m", number, number)
    found = Statistics().read()
    assert {key: sums["fail"] for key, sums in found.items()} == {
        ("m", str(number)): (1, number) for number in range(1, 2_001)
    }
    assert together.is_dir()


def test_a_process_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a directory a process counts for itself, and leaves nothing behind."""
    monkeypatch.delenv(DIRECTORY, raising=False)
    program = (
        "import json; from service.statistics import Statistics; mine = Statistics();"
        "mine.failed('m', 1, 2); print(json.dumps([str(mine._directory), mine.read()['m', '1']]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, env={**os.environ}
    )
    directory, sums = json.loads(run.stdout)
    assert sums == {"fail": [1, 2]}
    assert not Path(directory).exists()
    assert Statistics().read() == {}


def test_a_version_that_was_never_asked() -> None:
    """A version without requests has zeros."""
    found = told("m", "1", {})
    assert (found.last_inference, found.inference_stats.success.count) == (0, 0)
