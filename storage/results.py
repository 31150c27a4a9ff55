"""The results of sweeps: sorted, counted, and summed up by what was searched."""

from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Any, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Select, and_, case, false, func, or_, select

from schemas.sweep import (
    DIMENSIONS,
    NUMBERS,
    Range,
    Score,
    Search,
    SweepMarginal,
    SweepMember,
    SweepResult,
)
from storage.database import Database
from storage.tables import AnyRow, results

RANGE_PARTS = 10
"""Parts that a range is divided into, each as wide as the others by its factor."""


class Row(NamedTuple):
    """Which row of the results: a member in a rung."""

    rung: int
    number: int


class Counts(NamedTuple):
    """How far a sweep is."""

    done: int
    diverged: int
    rung: int


class ResultStore:
    """What sweeps found, in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def counts(self, job_id: str) -> Counts:
        """Count the trainings that are done, and name the newest rung that has results."""
        columns = (func.count(), func.count(results.c.diverged_at), func.max(results.c.rung))
        with self._database.read() as connection:
            row = connection.execute(select(*columns).where(results.c.job_id == job_id)).one()
        return Counts(row[0], row[1], row[2] or 0)

    def order(
        self, job_id: str, score: Score, sort: str | None = None, *,
        rung: int | None = None, offset: int = 0, limit: int | None = None,
    ) -> list[Row]:  # fmt: skip
        """Put the rows into an order: the best first, or by a column; `-`: the largest first."""
        rows = _rows(job_id).subquery()
        query = select(rows.c.rung, rows.c.number).order_by(*_order(rows, score, sort))
        if rung is not None:
            query = query.where(rows.c.rung == rung)
        query = query.offset(offset).limit(limit)
        with self._database.read() as connection:
            return [Row(*found) for found in connection.execute(query)]

    def read(
        self, job_id: str, rows: Sequence[Row], *, folds: int | None, first_position: int = 1
    ) -> list[SweepResult]:
        """Read rows in the order that they are named in."""
        numbers: dict[int, list[int]] = {}
        for row in rows:
            numbers.setdefault(row.rung, []).append(row.number)
        at = [(results.c.rung == rung) & results.c.number.in_(own) for rung, own in numbers.items()]
        query = select(results).where(results.c.job_id == job_id, or_(false(), *at))
        found: dict[tuple[int, int], list[AnyRow]] = {}
        with self._database.read() as connection:
            for part in connection.execute(query.order_by(results.c.fold)):
                found.setdefault((part.rung, part.number), []).append(part)
        return [
            _result(found[row], position, folds)
            for position, row in enumerate(rows, first_position)
            if row in found
        ]

    def best(
        self, job_id: str, score: Score, *, rung: int, count: int, folds: int | None
    ) -> list[SweepResult]:
        """Read the best members of a rung; none that diverged is among them."""
        best = self.read(job_id, self.order(job_id, score, rung=rung, limit=count), folds=folds)
        return [result for result in best if result.status == "trained"]

    def marginals(
        self, job_id: str, search: Search, score: Score
    ) -> dict[str, tuple[SweepMarginal, ...]]:
        """Sum up the members by the values of each dimension but the seed."""
        names = [name for name in search.space.dimensions if name != "seed"]
        return {name: self._marginal(job_id, search, score, name) for name in names}

    def _marginal(
        self, job_id: str, search: Search, score: Score, name: str
    ) -> tuple[SweepMarginal, ...]:
        rows = _last_rungs(job_id)
        searched = getattr(search.space, name)
        edges = _edges(searched) if isinstance(searched, Range) else None
        value = rows.c[name] if edges is None else _part(rows.c[name], edges)
        best = func.min(rows.c.score) if score == "loss" else func.max(rows.c.score)
        converged = func.avg(case((rows.c.converged.is_(None), None), else_=rows.c.converged * 1.0))
        sums = (func.count(), converged, func.avg(rows.c.score), best)
        with self._database.read() as connection:
            groups = connection.execute(select(value, *sums).group_by(value)).all()
        found = [_marginal(name, edges, *group) for group in groups]
        if edges is not None:
            return tuple(sorted(found, key=lambda marginal: marginal.low or 0))
        order = list(search.space.values(name))
        return tuple(sorted(found, key=lambda marginal: order.index(marginal.value)))


def _rows(job_id: str) -> Select[Any]:
    """One row for each member in each rung: means over the folds."""
    diverged = func.count(results.c.diverged_at) > 0
    right = func.min(results.c.train_accuracy)
    fixed = (*(results.c[name] for name in DIMENSIONS), results.c.rung, results.c.number)
    means = [_unless(diverged, func.avg(results.c[name])).label(name) for name in NUMBERS]
    converged = case((diverged, 0), (right.is_(None), None), (right == 1, 1), else_=0)
    return (
        select(
            *fixed,
            *means,
            _unless(diverged, func.avg(results.c.score)).label("score"),
            case((diverged, 1), else_=0).label("diverged"),
            converged.label("converged"),
        )
        .where(results.c.job_id == job_id)
        .group_by(*fixed)
    )


def _unless(diverged: ColumnElement[bool], value: Any) -> ColumnElement[Any]:
    return case((diverged, None), else_=value)


def _last_rungs(job_id: str) -> Any:
    """Each member in the last rung that it reached."""
    newest = (
        select(results.c.number, func.max(results.c.rung).label("rung"))
        .where(results.c.job_id == job_id)
        .group_by(results.c.number)
        .subquery()
    )
    rows = _rows(job_id).subquery()
    at = and_(rows.c.number == newest.c.number, rows.c.rung == newest.c.rung)
    return select(rows).join(newest, at).subquery()


def _order(rows: Any, score: Score, sort: str | None) -> list[ColumnElement[Any]]:
    by_number = [rows.c.rung.desc(), rows.c.number]
    if sort is not None:
        column = rows.c[sort.removeprefix("-")]
        nulls_last = case((column.is_(None), 1), else_=0)
        return [nulls_last, column.desc() if sort.startswith("-") else column, *by_number]
    better = rows.c.score if score == "loss" else rows.c.score.desc()
    loss = func.coalesce(rows.c.valid_loss, rows.c.train_loss)
    unknown = case((rows.c.score.is_(None), 1), else_=0)
    return [rows.c.rung.desc(), rows.c.diverged, unknown, better, loss, rows.c.number]


def _result(parts: Sequence[AnyRow], position: int, folds: int | None) -> SweepResult:
    """Sum up what came of a member on its folds."""
    first = parts[0]
    member = {name: getattr(first, name) for name in SweepMember.model_fields}
    diverged = any(part.diverged_at is not None for part in parts)
    scores = [part.score for part in parts]
    is_scored = not diverged and None not in scores
    accuracies = [part.train_accuracy for part in parts]
    is_classified = diverged or None not in accuracies
    return SweepResult(
        **member | {"hidden_layers": tuple(orjson.loads(first.hidden_layers))},
        position=position,
        rung=first.rung,
        status="diverged" if diverged else "trained",
        converged=(not diverged and min(accuracies) == 1) if is_classified else None,
        score=fmean(scores) if is_scored else None,
        score_deviation=pstdev(scores) if folds and is_scored else None,
        fold_scores=tuple(scores) if folds else None,
        **{name: None if diverged else _mean(parts, name) for name in NUMBERS},
    )


def _mean(parts: Sequence[AnyRow], name: str) -> float | None:
    values = [getattr(part, name) for part in parts]
    return None if None in values else fmean(values)


def _edges(found: Range) -> list[float]:
    """Divide a range by equal factors. Shape (RANGE_PARTS + 1,)."""
    factor = found.high / found.low
    inner = [found.low * factor ** (part / RANGE_PARTS) for part in range(1, RANGE_PARTS)]
    return [found.low, *inner, found.high]


def _part(column: Any, edges: Sequence[float]) -> ColumnElement[Any]:
    """Give the number of the part that a value lies in."""
    inner = [(column < edge, part) for part, edge in enumerate(edges[1:-1])]
    return case(*inner, else_=len(inner))


def _marginal(
    name: str, edges: Sequence[float] | None, value: Any, members: int, *sums: float | None
) -> SweepMarginal:
    converged, mean, best = sums
    at: dict[str, Any] = {"value": value}
    if edges is not None:
        at = {"low": edges[value], "high": edges[value + 1]}
    elif name == "hidden_layers":
        at = {"value": tuple(orjson.loads(value))}
    return SweepMarginal(
        **at, members=members, converged=converged, mean_score=mean, best_score=best
    )
