"""Asking shadow versions what was asked of another, once that has answered."""

import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog

from perceptron.layers import FloatArray
from perceptron.shadows import agreed_rows
from schemas.errors import PerceptronError
from service import apart
from service.comparing import Comparison, joined
from service.metrics import Metrics
from service.model_cache import ReadyModel
from service.predicting import PredictingRequest
from service.statistics import Statistics
from storage.models import ModelRegistry

Compute = Callable[[ReadyModel], FloatArray]
"""Computes a model's outputs for what was asked. Raises: PerceptronError."""

_table = threading.BoundedSemaphore()
"""One table at a time: of those that come meanwhile shadows are not asked."""

log = structlog.get_logger(__name__)


class Counts(NamedTuple):
    """Where it is counted what came of it."""

    metrics: Metrics
    statistics: Statistics


def ask_shadows(
    model: ReadyModel, shadows: Sequence[ReadyModel], compute: Compute, counts: Counts
) -> None:
    """Have the shadows compute, too, and count whether they agree; returns at once."""
    if shadows:  # under gevent a thread is a greenlet: it begins when the answer is on its way
        asked = (model, shadows, compute, counts)
        threading.Thread(target=compare, args=asked, daemon=True).start()


def compare(
    model: ReadyModel, shadows: Sequence[ReadyModel], compute: Compute, counts: Counts
) -> None:
    """Compute with a model and with its shadows, and count on how many rows they agree."""
    outputs = compute(model)
    target, rows = model.preprocessing.target, len(outputs)
    for shadow in shadows:
        agreed: int | None = None
        try:
            agreed = agreed_rows(target, outputs, shadow.preprocessing.target, compute(shadow))
        except PerceptronError as error:
            log.warning("shadow failed", version=shadow.version, error=error.detail)
        _count((model.name, model.version), shadow.version, rows, agreed, counts)


def _count(
    asked: tuple[str, int], shadow: int, rows: int, agreed: int | None, counts: Counts
) -> None:
    """Count a request to a version, by name and number, that a shadow was asked, too."""
    counts.statistics.shadowed(*asked, shadow, rows, agreed)
    counts.metrics.shadowed(
        "failed" if agreed is None else "agreed" if agreed == rows else "differed"
    )


class TableComparison(NamedTuple):
    """A table that a version has answered, and the shadows that are to be asked about it."""

    asked: PredictingRequest
    """What the version was asked."""
    shadows: Sequence[int]
    """Numbers of versions of the same model."""
    registry: ModelRegistry
    limits: apart.Limits
    counts: Counts

    def begin(self) -> None:
        """
        Have a process of its own predict the table with all of them, and count; returns at once.

        The table's file is taken away. Nothing is done while another table is being compared.
        """
        if not self.shadows or not _table.acquire(blocking=False):
            return
        try:
            directory = tempfile.TemporaryDirectory(prefix="perceptron-")  # outlives the request
            source = self.asked.source.rename(Path(directory.name) / "rows")
            threading.Thread(target=self._compare, args=(directory, source), daemon=True).start()
        except (OSError, RuntimeError) as error:  # no room, no thread: the answer is there
            _table.release()
            log.warning("shadows not asked", model=self.asked.name, error=str(error))

    def _compare(self, directory: "tempfile.TemporaryDirectory[str]", source: Path) -> None:
        name, version = self.asked.name, self.asked.version
        try:
            versions = (self._request(number, source) for number in (version, *self.shadows))
            told = apart.run_beside("service.comparing", joined(list(versions)), self.limits)
        except (PerceptronError, apart.Overrun) as error:
            log.warning("shadows not asked", model=name, version=version, error=str(error))
            return
        finally:
            directory.cleanup()
            _table.release()
        found = Comparison.model_validate_json(told)
        for shadow, compared in zip(self.shadows, found.shadows, strict=True):
            if compared.error is not None:
                log.warning("shadow failed", version=shadow, error=compared.error)
            _count((name, version), shadow, found.rows, compared.agreed_rows, self.counts)

    def _request(self, version: int, source: Path) -> bytes:
        """Ask a version for what the first one was asked. Raises: NotFound, CorruptModel."""
        weights, card = self.registry.weights(self.asked.name, version)
        changes = {
            "version": version,
            "preprocessing": card.row_preprocessing,
            "source": source,
            "keep": (),
        }
        return self.asked.model_copy(update=changes).with_weights(weights)
