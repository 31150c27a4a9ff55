"""/jobs/<id>/results: what a sweep found; and what the sweeps among the jobs report."""

import csv
from collections.abc import Iterator
from functools import lru_cache
from io import StringIO

from flask import Response, stream_with_context
from flask_openapi3 import Tag

from perceptron.preparation import Outline
from schemas.errors import InvalidField, NotFound
from schemas.job import JobPath, SweepRequest
from schemas.media_types import CSV
from schemas.settings import Settings
from schemas.sweep import (
    DEFAULT_SCORES,
    ResultPage,
    ResultQuery,
    Score,
    Search,
    SweepMarginal,
    SweepReport,
    SweepResult,
)
from service.context import storage
from service.openapi import Blueprint, answers, headers
from service.problems import documented
from service.requests import wants
from service.responses import page_response
from storage import Storage
from storage.jobs import JobRecord
from storage.results import Counts

CSV_COLUMNS = tuple(name for name in SweepResult.model_fields if name != "fold_scores")
BATCH = 500
"""Rows that are read and written at a time."""

blueprint = Blueprint(
    "sweeps", __name__, abp_tags=[Tag(name="sweeps", description="Results of searches")]
)


@blueprint.get(
    "/jobs/<job_id>/results",
    responses={200: ResultPage, **documented(404)},
    openapi_extensions=answers(
        {200: {**headers("Link"), "content": {CSV: {"schema": {"type": "string"}}}}}
    ),
)
def list_results(path: JobPath, query: ResultQuery) -> Response:
    """
    List what a sweep has found so far, the best first or sorted by a column.

    With `Accept: text/csv`, all of it as one table.
    """
    record = storage().jobs.get(path.job_id)
    if record.search is None:
        raise NotFound("sweep", path.job_id)
    if wants(CSV):
        return _csv(storage(), record.id, record.search, query.sort)
    return page_response(_page(storage(), record.id, record.search, query))


def _page(stored: Storage, job_id: str, search: Search, query: ResultQuery) -> ResultPage:
    rows = stored.results.order(
        job_id, score_of(search), query.sort, offset=query.after, limit=query.limit + 1
    )
    shown = stored.results.read(
        job_id, rows[: query.limit], folds=search.folds, first_position=query.after + 1
    )
    has_more = len(rows) > query.limit
    return ResultPage.of(shown, lambda result: result.position, has_more=has_more)


def _csv(stored: Storage, job_id: str, search: Search, sort: str | None) -> Response:
    content = {"Content-Disposition": f'attachment; filename="{job_id}.csv"'}
    lines = stream_with_context(_lines(stored, job_id, search, sort))
    return Response(lines, headers=content, content_type=f"{CSV}; charset=utf-8; header=present")


def _lines(stored: Storage, job_id: str, search: Search, sort: str | None) -> Iterator[str]:
    """Write the table, a batch of rows at a time."""
    folds = [f"fold_{fold}" for fold in range(search.folds or 0)]
    yield _written([[*CSV_COLUMNS, *folds]])
    rows = stored.results.order(job_id, score_of(search), sort)
    for start in range(0, len(rows), BATCH):
        found = stored.results.read(
            job_id, rows[start : start + BATCH], folds=search.folds, first_position=start + 1
        )
        yield _written([_cells(result) for result in found])


def _cells(result: SweepResult) -> list[object]:
    fields = result.model_dump(mode="json")
    fields["hidden_layers"] = " ".join(map(str, result.hidden_layers))
    return [*(fields[name] for name in CSV_COLUMNS), *(result.fold_scores or ())]


def _written(rows: list[list[object]]) -> str:
    text = StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def score_of(search: Search) -> Score:
    """Give what a sweep is judged by, which `checked` has filled in."""
    return search.score or "loss"


def report(stored: Storage, record: JobRecord) -> SweepReport | None:
    """Say how far a sweep is, and what it has found; None for a training."""
    search = record.search
    if search is None or record.training is None:
        return None
    counts = stored.results.counts(record.id)
    best, marginals = _found(stored, record.id, search, counts)
    return SweepReport(
        search=search,
        members=search.members,
        rung=counts.rung,
        rungs=len(search.rungs(record.training.epochs)),
        trainings=search.trainings(record.training.epochs),
        done=counts.done,
        diverged=counts.diverged,
        best=best,
        by=marginals,
    )


@lru_cache(maxsize=64)
def _found(
    stored: Storage, job_id: str, search: Search, counts: Counts
) -> tuple[SweepResult | None, dict[str, tuple[SweepMarginal, ...]]]:
    """Give the best result and the marginals; they are the same until there are more results."""
    score = score_of(search)
    best = stored.results.best(job_id, score, rung=counts.rung, count=1, folds=search.folds)
    return (best[0] if best else None), stored.results.marginals(job_id, search, score)


def checked(request: SweepRequest, outline: Outline, limits: Settings) -> SweepRequest:
    """
    Refuse what this deployment or the data cannot do, and fill in the score.

    Raises: InvalidField.
    """
    search = request.search
    if search.folds is not None and search.folds > outline.rows:
        raise InvalidField(f"{search.folds} folds of {outline.rows} rows", "search", "folds")
    unsuited = "accuracy" if outline.task == "regression" else "r2"
    if search.score == unsuited:
        raise InvalidField(f"{unsuited} suits no {outline.task} task", "search", "score")
    _check_shapes(request, outline, limits)
    score = search.score or DEFAULT_SCORES[outline.task]
    return request.model_copy(update={"search": search.model_copy(update={"score": score})})


def _check_shapes(request: SweepRequest, outline: Outline, limits: Settings) -> None:
    space, training = request.search.space, request.training
    shapes = space.hidden_layers or (request.network.hidden_layers,)
    sizes = space.batch_size or (training.batch_size,)
    rows = max(min(size or outline.rows, outline.rows) for size in sizes)
    for place, hidden in enumerate(shapes):
        shape = request.network.model_copy(update={"hidden_layers": hidden})
        at: tuple[str | int, ...] = ("search", "space", "hidden_layers", place)
        if (
            space.hidden_layers is None
        ):  # as `network` has it, which is checked: the batches may not
            at = ("search", "space", "batch_size")
        count = shape.parameter_count(outline.inputs, outline.outputs)
        if count > limits.max_parameters:
            raise InvalidField(
                f"{count} weights and biases; at most {limits.max_parameters} are allowed", *at
            )
        units = sum(hidden) + outline.outputs
        if rows * units > limits.max_activations:
            raise InvalidField(
                f"a step of {rows} rows through {units} units is too large: at most "
                f"{limits.max_activations} outputs; set a smaller batch size",
                *at,
            )
