"""Asking shadow versions what was asked of another, once that has answered."""

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from perceptron.layers import FloatArray
from perceptron.shadows import agreed_rows
from schemas.errors import PerceptronError
from service.metrics import Metrics
from service.model_cache import ReadyModel
from service.statistics import Statistics

Compute = Callable[[ReadyModel], FloatArray]
"""Computes a model's outputs for what was asked. Raises: PerceptronError."""

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
        counts.statistics.shadowed(model.name, model.version, shadow.version, rows, agreed)
        counts.metrics.shadowed(
            "failed" if agreed is None else "agreed" if agreed == rows else "differed"
        )
