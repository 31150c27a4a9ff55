"""The rows of a training as people see them: the table's own values, and which part each is in."""

import numpy as np

from perceptron.preparation import Source, encoded, labelled, outline_of
from perceptron.splitting import split
from schemas.job import JobRequest, JobRow, JobRows


def job_rows(request: JobRequest, source: Source, limit: int) -> JobRows:
    """
    Describe the first `limit` rows that a job trains on, validates on or tests on.

    Raises: InvalidField where the rows cannot be prepared.
    """
    found = outline_of(request, source)
    rows = labelled(source.frame, found)
    parts = split(rows.numbers, found.task, request.training)
    prepared = encoded(request, source, found, rows, parts)
    names = np.full(len(rows.numbers), "train", object)
    names[parts.valid], names[parts.test] = "validation", "test"
    shown = rows.frame.take(np.arange(min(limit, len(names))))
    inputs = zip(*(shown.column(name).cells() for name in found.features), strict=True)
    targets = shown.column(found.target).cells()
    return JobRows(
        preprocessing=prepared.preprocessing,
        target_mean=prepared.target_mean,
        target_scale=prepared.target_scale,
        rows=len(names),
        data=tuple(
            JobRow(part=part, inputs=values, target=target)
            for part, values, target in zip(names, inputs, targets, strict=False)
        ),
    )
