"""Shadows that are asked about whole tables: in a process beside, one table at a time."""

from pathlib import Path

import pytest

from cli.deployment import prepare
from schemas.settings import Settings
from service import apart, shadowing
from service.metrics import Metrics
from service.predicting import PredictingRequest
from service.shadowing import Counts, TableComparison
from service.statistics import Statistics
from storage import Storage, open_storage
from tests.deployment import eventually

LIMITS = apart.Limits(seconds=60)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """A store with the built-in models."""
    settings = Settings(data_dir=tmp_path)
    prepare(settings)
    return open_storage(settings)


def comparison(storage: Storage, source: Path, limits: apart.Limits = LIMITS) -> TableComparison:
    """Ask XOR's version about a table, and itself as its shadow."""
    _, card = storage.models.weights("xor", 1)
    asked = PredictingRequest(
        name="xor",
        version=1,
        preprocessing=card.row_preprocessing,
        source=source,
        media_type="text/csv",
        destination=source.with_name("answers"),
        answer_type="text/csv",
        most_rows=100,
        most_columns=10,
        most_bytes=100_000,
    )
    counts = Counts(Metrics(storage), Statistics())
    return TableComparison(asked, [1], storage.models, limits, counts)


def table(tmp_path: Path) -> Path:
    """A table of two rows."""
    source = tmp_path / "rows"
    source.write_text("x1,x2\n0,1\n1,1\n")
    return source


def test_one_table_at_a_time(storage: Storage, tmp_path: Path) -> None:
    """While a table is being compared another one is left alone, and so is its file."""
    source = table(tmp_path)
    compared = comparison(storage, source)
    with shadowing._table:  # noqa: SLF001  # as another comparison has it
        compared.begin()
        assert source.exists()
    compared.begin()
    assert not source.exists()
    (found,) = eventually(lambda: compared.counts.statistics.shadows("xor", 1))
    assert (found.requests, found.rows, found.agreed_rows) == (1, 2, 2)


def test_a_comparison_that_takes_too_long(storage: Storage, tmp_path: Path) -> None:
    """It is given up and counted nowhere, and the next one has its turn."""
    slow = comparison(storage, table(tmp_path), apart.Limits(seconds=0.01))
    slow.begin()
    eventually(lambda: shadowing._table.acquire(blocking=False))  # noqa: SLF001
    shadowing._table.release()  # noqa: SLF001
    assert slow.counts.statistics.shadows("xor", 1) == ()
    compared = comparison(storage, table(tmp_path))
    compared.begin()
    assert eventually(lambda: compared.counts.statistics.shadows("xor", 1))
