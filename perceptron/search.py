"""The members of a search, and how they are divided into shards."""

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from math import ceil, exp, log
from typing import Any, Literal, NamedTuple

from perceptron.engines.costs import Work
from perceptron.engines.simd import LANES
from perceptron.preparation import Outline
from schemas.job import JobRequest
from schemas.network import NetworkConfig
from schemas.sweep import (
    DIMENSIONS,
    Range,
    Search,
    Shard,
    ShardGroup,
    SweepMember,
    SweepResult,
)
from schemas.training import TrainingConfig

SHARD_SECONDS = 0.35
"""About how long a shard takes, where there is enough to do."""
LEAST_SHARD_SECONDS = 0.05
"""A shard that is shorter costs more than it gives another worker to do."""
SHARDS_PER_WORKER = 2
MAX_SHARDS = 5_000
STACK = 512
"""Most networks of one stack of tensors."""

# What is searched


def members(search: Search, network: NetworkConfig, training: TrainingConfig) -> list[SweepMember]:
    """List the members; a random search draws them, by its seed."""
    fixed: dict[str, Any] = {
        name: getattr(network, name, None) for name in ("hidden_layers", "activation")
    }
    fixed |= {name: getattr(training, name) for name in DIMENSIONS if name not in fixed}
    return [
        SweepMember.model_construct(None, number=number, **(fixed | point))
        for number, point in enumerate(_points(search))
    ]


def _points(search: Search) -> Iterator[dict[str, Any]]:
    points, count = search.space.points, search.members
    generator = random.Random(search.seed)  # noqa: S311  # no secret
    if points is None:
        for _ in range(count):
            yield _draw(search, generator)
        return
    values = {name: search.space.values(name) for name in search.space.dimensions}
    chosen: Iterable[int] = range(points)
    if count < points:
        chosen = sorted(generator.sample(range(points), count))
    for index in chosen:
        yield _decoded(index, values)


def _decoded(index: int, values: dict[str, Sequence[Any]]) -> dict[str, Any]:
    """Give the point of a grid by its number; the last dimension changes fastest."""
    point = {}
    for name, choices in reversed(values.items()):
        index, place = divmod(index, len(choices))
        point[name] = choices[place]
    return point


def _draw(search: Search, generator: random.Random) -> dict[str, Any]:
    point = {}
    for name in search.space.dimensions:
        found = getattr(search.space, name)
        if isinstance(found, Range):
            drawn = exp(generator.uniform(log(found.low), log(found.high)))
            point[name] = min(max(drawn, found.low), found.high)
        else:
            choices = search.space.values(name)
            point[name] = choices[generator.randrange(len(choices))]
    return point


def network_of(member: SweepMember) -> NetworkConfig:
    """Give the shape of a member."""
    return NetworkConfig(hidden_layers=member.hidden_layers, activation=member.activation)


def training_of(member: SweepMember, training: TrainingConfig) -> TrainingConfig:
    """Give a member's training; `training` says what the search does not vary."""
    names = (name for name in DIMENSIONS if name in TrainingConfig.model_fields)
    return training.model_copy(update={name: getattr(member, name) for name in names})


def member_of(result: SweepResult) -> SweepMember:
    """Say which member a result is of."""
    return SweepMember(**{name: getattr(result, name) for name in SweepMember.model_fields})


def request_of(member: SweepMember, request: JobRequest) -> JobRequest:
    """Describe the training of one member as a job."""
    training = training_of(member, request.training)
    return request.model_copy(update={"network": network_of(member), "training": training})


def refit_of(best: SweepResult, request: JobRequest, folds: int | None) -> JobRequest:
    """
    Describe the last training of a sweep, of its best member, as a job.

    Where folds stopped it early, no rows are kept out to do so again: it is trained for as many
    epochs as were best in them, on average.
    """
    found = request_of(member_of(best), request)
    if folds is None or best.best_epoch is None:
        return found
    update = {"early_stopping": None, "epochs": round(best.best_epoch) + 1}
    return found.model_copy(update={"training": found.training.model_copy(update=update)})


# How the work is divided


class _Unit(NamedTuple):
    """What is not divided any further."""

    seconds: float
    group: ShardGroup


def shards(
    found: Sequence[SweepMember], request: JobRequest, outline: Outline, *,
    rung: int, folds: int | None, workers: int,
) -> list[Shard]:  # fmt: skip
    """
    Divide a rung's members into shards of about equal length, the longest first.

    There are as many as keep each near `SHARD_SECONDS`, and some for every worker.
    """
    training = request.training
    kept = 1 - training.validation_fraction - training.test_fraction - (1 / folds if folds else 0)
    rows = max(1, round(kept * outline.rows))
    units = [
        unit
        for _, alike in groupby(sorted(found, key=_shape), _shape)
        for unit in _units(list(alike), training, rows, outline, folds)
    ]
    total = sum(unit.seconds for unit in units)
    some = min(SHARDS_PER_WORKER * workers, ceil(total / LEAST_SHARD_SECONDS))
    count = min(max(ceil(total / SHARD_SECONDS), some, 1), MAX_SHARDS)
    return [Shard(rung=rung, groups=_merged(part)) for part in _parts(units, total / count)]


def _shape(member: SweepMember) -> tuple[Any, ...]:
    """What networks that are trained together have in common."""
    return (
        member.hidden_layers, member.activation, member.optimizer, member.batch_size or 0,
        member.epochs,
    )  # fmt: skip


def _units(
    alike: Sequence[SweepMember], training: TrainingConfig, rows: int, outline: Outline,
    folds: int | None,
) -> Iterator[_Unit]:  # fmt: skip
    first = alike[0]
    widths = network_of(first).widths(outline.inputs, outline.outputs)
    work = Work.of(training_of(first, training), widths, rows)
    for fold in range(folds) if folds else (None,):
        for group in _groups(alike, training, work, fold):
            yield _Unit(_seconds(group, training, work), group)


def _groups(
    alike: Sequence[SweepMember], training: TrainingConfig, work: Work, fold: int | None
) -> Iterator[ShardGroup]:
    """Choose for members of one shape how each of them is trained."""
    is_stacked = training.engine == "torch" or training.device.startswith("cuda")
    size = STACK if is_stacked else LANES
    for start in range(0, len(alike), size):
        part = tuple(alike[start : start + size])
        way: Literal["lanes", "stack", "alone"] = "stack" if is_stacked else "lanes"
        if way == "lanes" and len(part) < work.lanes_are_worth:
            way = "alone"
        for chosen in [(member,) for member in part] if way == "alone" else [part]:
            yield ShardGroup.model_construct(None, way=way, fold=fold, members=chosen)


def _seconds(group: ShardGroup, training: TrainingConfig, work: Work) -> float:
    if group.way == "stack":
        device = "cuda" if training.device.startswith("cuda") else "cpu"
        return work.stacked(len(group.members), device)
    return work.lanes if group.way == "lanes" else len(group.members) * work.alone


def _parts(units: Sequence[_Unit], seconds: float) -> list[list[_Unit]]:
    """Cut units in their order into parts of about so many seconds; the longest part first."""
    parts: list[list[_Unit]] = []
    lengths: list[float] = []
    for unit in units:
        if not parts or lengths[-1] + unit.seconds / 2 > seconds:
            parts.append([])
            lengths.append(0.0)
        parts[-1].append(unit)
        lengths[-1] += unit.seconds
    order = sorted(range(len(parts)), key=lambda place: -lengths[place])
    return [parts[place] for place in order]


def _merged(units: Sequence[_Unit]) -> tuple[ShardGroup, ...]:
    """Put members of one shape, fold and way together."""

    def likeness(unit: _Unit) -> tuple[Any, ...]:
        return (unit.group.way, unit.group.fold, _shape(unit.group.members[0]))

    return tuple(
        ShardGroup(
            way=way,
            fold=fold,
            members=tuple(member for unit in alike for member in unit.group.members),
        )
        for (way, fold, _), alike in groupby(units, likeness)
    )
