"""The model registry on both databases."""

from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from sqlalchemy import insert
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
from schemas.model import AliasUpdate, Share
from schemas.settings import Settings
from storage import Storage, open_storage
from storage.database import Database
from storage.migrations import migrate, upgrade
from storage.models import MOST_STATES, Publication
from storage.tables import aliases
from tests.integration.test_jobs import PROGRESS, claimed, outcome

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
