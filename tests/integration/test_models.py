"""The model registry on both databases."""

from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from sqlalchemy import event, insert
from werkzeug.datastructures import ETags

from schemas.errors import (
    Conflict,
    InvalidField,
    NotFound,
    NothingToRollBackTo,
    PerceptronError,
    PreconditionFailed,
    PreconditionRequired,
)
from schemas.job import JobRequest
from schemas.model import AliasUpdate, ModelCard, Score, Share, VersionSummary
from schemas.settings import Settings
from storage import Storage, open_storage
from storage.database import Database
from storage.migrations import migrate, upgrade
from storage.models import MOST_STATES, Publication, publish
from storage.tables import aliases
from tests.integration.test_jobs import METRICS, PROGRESS, claimed, outcome

WRITERS = 8


def _published(stored: Storage, versions: int) -> str:
    name = f"model-{token_hex(4)}"
    for _ in range(versions):
        claim = claimed(stored, JobRequest(dataset="xor", model=name))
        stored.leases.succeed(claim, PROGRESS, outcome(claim))
    return name


def _at_once(
    stored: Storage, name: str, if_match: Container[str] | None
) -> list[bool | PerceptronError]:
    def move(number: int) -> bool | PerceptronError:
        try:
            return stored.models.set_alias(
                name, "champion", AliasUpdate(version=1 + number % 2), if_match
            )[1]
        except PerceptronError as error:
            return error

    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(move, range(WRITERS)))


def test_one_of_many_makes_an_alias(stored: Storage) -> None:
    """Of clients that make the same alias at the same moment one does; the others are told so."""
    name = _published(stored, 2)
    answers = _at_once(stored, name, None)
    assert answers.count(True) == 1
    assert sum(isinstance(answer, PreconditionRequired) for answer in answers) == WRITERS - 1


def test_one_of_many_moves_an_alias(stored: Storage) -> None:
    """Of clients that move an alias with the same ETag at the same moment one does."""
    name = _published(stored, 2)
    made, _ = stored.models.set_alias(name, "champion", AliasUpdate(version=1), None)
    answers = _at_once(stored, name, {made.etag})
    assert answers.count(False) == 1
    assert sum(isinstance(answer, PreconditionFailed) for answer in answers) == WRITERS - 1


def test_versions_count_up_whatever_is_deleted(stored: Storage) -> None:
    """The number of a deleted version, or of a deleted model's, is not given again."""
    name = _published(stored, 2)
    stored.models.delete_version(name, 2)
    claim = claimed(stored, JobRequest(dataset="xor", model=name))
    stored.leases.succeed(claim, PROGRESS, outcome(claim))
    assert stored.models.get(name).versions == (1, 3)
    assert stored.models.version(name, 3).aliases == ("latest",)
    stored.models.delete(name)
    claim = claimed(stored, JobRequest(dataset="xor", model=name))
    stored.leases.succeed(claim, PROGRESS, outcome(claim))
    assert stored.models.get(name).versions == (4,)


AVERAGES = {"precision": 0.5, "recall": 0.5, "f1": 0.5}
EVALUATIONS: dict[str, dict[str, Any]] = {
    "binary": METRICS.train.model_dump(),
    "multiclass": {
        "task": "multiclass",
        "loss": 1,
        "macro": AVERAGES,
        "weighted": AVERAGES,
        "classes": (),
        "confusion_matrix": (),
        "baseline": {"loss": 1, "accuracy": 0.5},
    },
    "regression": {
        "task": "regression",
        "loss": 1,
        "mae": 1,
        "rmse": 1,
        "baseline": {"mae": 1, "rmse": 1},
    },
}


def _card(task: str, **scores: float | None) -> ModelCard:
    """A card of a task whose main metric has these values on the parts."""
    metric = "r2" if task == "regression" else "accuracy"
    metrics = {part: {**EVALUATIONS[task], metric: value} for part, value in scores.items()}
    target = {"name": "y", "task": task, "classes": None}
    return ModelCard.model_validate(
        {
            **dict.fromkeys(ModelCard.model_fields),
            "parameters": {"weights": 2, "biases": 1, "total": 3},
            "feature_names": ("x\0",),
            "library_versions": {},
            "history": (),
            "importance": (),
            "preprocessing": {"features": (), "target": target},
            "dataset": f"table of {task}",
            "metrics": metrics or None,
        }
    )


def test_lists_tell_of_the_champion_or_the_latest_version(stored: Storage) -> None:
    """Table, task and score are its; those of the test rows where there are any, whatever it is."""
    name = f"told-{token_hex(4)}"
    cards = [
        _card("binary", train=0.9, validation=0.8, test=0.7),
        _card("multiclass", train=0.5, validation=0.25),
        _card("regression", train=0.125),
        _card("regression", train=None),
        _card("binary"),
    ]
    expected = [
        ("binary", Score(metric="accuracy", part="test", value=0.7)),
        ("multiclass", Score(metric="accuracy", part="validation", value=0.25)),
        ("regression", Score(metric="r2", part="train", value=0.125)),
        ("regression", Score(metric="r2", part="train", value=None)),
        ("binary", None),
    ]
    for number, (card, (task, score)) in enumerate(zip(cards, expected, strict=True), 1):
        with stored.database.write() as connection:
            assert publish(connection, Publication(name, b"weights", card)) == number
        told = stored.models.get(name).current
        assert told == VersionSummary(
            version=number, dataset=f"table of {task}", task=task, score=score
        )
    stored.models.set_alias(name, "champion", AliasUpdate(version=2), None)
    stored.models.set_alias(name, "challenger", AliasUpdate(version=3), None)
    (summary,) = [model for model in stored.models.page(None, 100)[0] if model.name == name]
    assert (summary.current.version, summary.latest_version) == (2, 5)
    assert summary.versions == (1, 2, 3, 4, 5)
    assert summary.aliases == {"challenger": 3, "champion": 2, "latest": 5}
    stored.models.delete_version(name, 2)
    assert stored.models.get(name).current.version == 5


def test_a_list_takes_as_many_queries_as_it_has_parts(stored: Storage) -> None:
    """A page of many models asks the database no more often than a page of one."""
    for _ in range(4):
        _published(stored, 1)
    asked: list[str] = []
    engine = stored.database._engine  # noqa: SLF001
    event.listen(engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    counted = []
    for limit in (1, 4):
        asked.clear()
        assert len(stored.models.page(None, limit)[0]) == limit
        counted.append(len([query for query in asked if query.startswith("SELECT")]))
    assert counted == [3, 3]


def test_a_built_in_model_takes_nobodys_name(stored: Storage) -> None:
    """A model of users is never replaced by a built-in one of a later release."""
    name = _published(stored, 1)
    weights, card = stored.models.weights(name, 1)
    with pytest.raises(Conflict, match=name):
        stored.models.install_built_in(Publication(name, weights + b"other", card))
    assert stored.models.weights(name, 1)[0] == weights
    assert not stored.models.get(name).built_in


# Routes

ANY = ETags(star_tag=True)
"""What a client names that moves an alias whatever it is."""


def _split(*weights: float, **others: Any) -> AliasUpdate:
    shares = (Share(version=1 + i, weight=weight) for i, weight in enumerate(weights))
    return AliasUpdate(split=tuple(shares), **others)


def test_a_route_is_kept(stored: Storage) -> None:
    """What was set is what is read, and what requests follow."""
    name = _published(stored, 3)
    route = _split(1, 3, sticky_by="X-User", shadows=(3,))
    stored.models.set_alias(name, "champion", route, None)
    assert stored.models.alias(name, "champion").route == route
    followed = stored.models.route(name, "champion")
    assert [(share.version, share.weight) for share in followed.shares] == [(1, 1), (2, 3)]
    assert followed.sticky_by == "X-User"
    assert [shadow.version for shadow in followed.shadows] == [3]
    assert stored.models.resolve(name, "champion")[0] == 2, "the greater part stands for it"
    assert stored.models.version(name, 2).aliases == ("champion",)


def test_a_route_to_nowhere_is_refused(stored: Storage) -> None:
    """Each place that names a version which is not there is pointed at, and nothing moves."""
    name = _published(stored, 2)
    stored.models.set_alias(name, "champion", AliasUpdate(version=1), None)
    for route, at in (
        (AliasUpdate(version=9), ("version",)),
        (_split(1, 1, 1), ("split", 2, "version")),
        (_split(1, 1, shadows=(7,)), ("shadows", 0)),
    ):
        with pytest.raises(InvalidField) as raised:
            stored.models.set_alias(name, "champion", route, ANY)
        assert raised.value.at == at
    assert stored.models.alias(name, "champion").route == AliasUpdate(version=1)
    assert stored.models.alias_states(name, "champion") == []


def test_rolling_back_goes_all_the_way(stored: Storage) -> None:
    """Each roll back leads one state further back; then there is nothing more."""
    name = _published(stored, 3)
    routes = [AliasUpdate(version=1), _split(3, 1, sticky_by="X"), AliasUpdate(version=3)]
    for route in routes:
        stored.models.set_alias(name, "champion", route, ANY if route != routes[0] else None)
    states = [route for route, _ in stored.models.alias_states(name, "champion")]
    assert states == [routes[1], routes[0]]
    for earlier in (routes[1], routes[0]):
        assert stored.models.roll_back(name, "champion", ANY).route == earlier
        assert stored.models.alias(name, "champion").route == earlier
    with pytest.raises(NothingToRollBackTo):
        stored.models.roll_back(name, "champion", ANY)


def test_one_of_many_rolls_back(stored: Storage) -> None:
    """Of clients that roll back with the same ETag at the same moment one does: one state back."""
    name = _published(stored, 2)
    stored.models.set_alias(name, "champion", AliasUpdate(version=1), None)
    for version in (2, 1, 2):
        moved, _ = stored.models.set_alias(name, "champion", AliasUpdate(version=version), ANY)

    def roll_back(_: int) -> int | PerceptronError:
        try:
            return stored.models.roll_back(name, "champion", {moved.etag}).version
        except PerceptronError as error:
            return error

    with ThreadPoolExecutor(WRITERS) as pool:
        answers = list(pool.map(roll_back, range(WRITERS)))
    assert answers.count(1) == 1
    assert sum(isinstance(answer, PreconditionFailed) for answer in answers) == WRITERS - 1
    assert len(stored.models.alias_states(name, "champion")) == 2


def test_a_deleted_version_leaves_the_routes(stored: Storage) -> None:
    """Splits and shadows go on without it; what it alone answered is gone."""
    name = _published(stored, 3)
    for alias, route in (
        ("split", _split(2, 1, shadows=(3,))),
        ("shadowed", AliasUpdate(version=1, shadows=(2,))),
        ("alone", AliasUpdate(version=2)),
        ("before", AliasUpdate(version=2)),
    ):
        stored.models.set_alias(name, alias, route, None)
    stored.models.set_alias(name, "before", AliasUpdate(version=3), ANY)
    stored.models.delete_version(name, 2)
    assert stored.models.alias(name, "split").route == _split(2, shadows=(3,))
    assert stored.models.alias(name, "shadowed").route == AliasUpdate(version=1)
    with pytest.raises(NotFound):
        stored.models.alias(name, "alone")
    with pytest.raises(NothingToRollBackTo, match="no version 2"):
        stored.models.roll_back(name, "before", ANY)
    assert stored.models.alias(name, "before").version == 3
    stored.models.delete_version(name, 1)
    stored.models.delete_version(name, 3)
    with pytest.raises(NotFound):
        stored.models.alias(name, "before")


def test_a_hundred_states_are_kept(stored: Storage) -> None:
    """The oldest fall off; they go with the alias, and with the model."""
    name = _published(stored, 2)
    stored.models.set_alias(name, "champion", AliasUpdate(version=2), None)
    for number in range(MOST_STATES + 5):
        stored.models.set_alias(name, "champion", AliasUpdate(version=1 + number % 2), ANY)
    states = stored.models.alias_states(name, "champion")
    assert len(states) == MOST_STATES
    assert states[0][0].version != states[1][0].version
    assert states == sorted(states, key=lambda state: state[1], reverse=True)
    stored.models.delete_alias(name, "champion", ANY)
    stored.models.set_alias(name, "champion", AliasUpdate(version=2), None)
    assert stored.models.alias_states(name, "champion") == []


def test_aliases_of_before_are_routes(tmp_path: Path) -> None:
    """An alias of a database that knew no routes points where it did."""
    url = f"sqlite:///{tmp_path / 'perceptron.db'}"
    database = Database(url, pooled=False)
    upgrade(database, "0005")
    database.close()
    settings = Settings.model_validate({"database_url": url, "data_dir": tmp_path})
    migrate(url)
    stored = open_storage(settings)
    name = _published(stored, 2)
    with stored.database.write() as connection:
        values = {"model": name, "alias": "champion", "version": 1, "etag": "old"}
        connection.execute(insert(aliases).values(values))
    assert stored.models.alias(name, "champion").route == AliasUpdate(version=1)
    assert stored.models.route(name, "champion").shares[0].version == 1
    stored.models.set_alias(name, "champion", AliasUpdate(version=2), ("old",))
    assert stored.models.roll_back(name, "champion", ANY).version == 1
    stored.database.close()
