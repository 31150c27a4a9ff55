"""Cross-validation: the same rows prepared several times, each part judging what others train."""

from functools import lru_cache

from perceptron.preparation import (
    Labelled,
    Outline,
    Prepared,
    Source,
    encoded,
    labelled,
    outline_of,
)
from perceptron.splitting import Parts, folds, split
from schemas.job import JobRequest


class CrossValidation:
    """
    The folds of a table; the rows of the test are in none of them.

    What preprocessing learns, each fold learns from its own training rows.
    """

    def __init__(self, request: JobRequest, source: Source, count: int) -> None:
        """Divide the rows by `training.seed`. Raises: InvalidField."""
        self._request = request
        self._source = source
        self._found: Outline = outline_of(request, source)
        self._rows: Labelled = labelled(source.frame, self._found)
        task, training = self._found.task, request.training
        kept = split(self._rows.numbers, task, training)
        self._parts = tuple(
            Parts(kept.train[part.train], kept.train[part.valid], kept.test)
            for part in folds(self._rows.numbers[kept.train], task, count, training.seed)
        )
        self.prepared = lru_cache(maxsize=1)(self._prepared)

    def _prepared(self, fold: int) -> Prepared:
        """Encode the rows of a fold; `valid` judges."""
        return encoded(self._request, self._source, self._found, self._rows, self._parts[fold])
