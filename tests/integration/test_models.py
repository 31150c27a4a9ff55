"""The model registry on both databases."""

from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex

import pytest

from schemas.errors import Conflict, PerceptronError, PreconditionFailed, PreconditionRequired
from schemas.job import JobRequest
from schemas.model import AliasUpdate
from storage import Storage
from storage.models import Publication
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
