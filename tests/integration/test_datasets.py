"""The dataset store on both databases, and the way from an older schema to it."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from secrets import token_bytes, token_hex

import pytest
from sqlalchemy import create_engine, text, update

from schemas.dataset import Dataset
from schemas.errors import BuiltInDataset, Conflict, CorruptModel, DatasetExists, NotFound
from schemas.job import JobRequest
from schemas.settings import Settings
from storage import Storage, open_storage
from storage.database import Database
from storage.jobs import Subject
from storage.leases import Claim, Progress
from storage.migrations import migrate, upgrade
from storage.tables import datasets

WRITERS = 8
PROGRESS = Progress(1, (), "torch", "cpu")


def dataset(name: str, data: bytes) -> Dataset:
    """Describe a table; what the bytes hold is nothing to the store."""
    return Dataset(
        name=name,
        description="with a \0 that PostgreSQL's text cannot hold",
        built_in=False,
        rows=2,
        feature_names=("größe", "x\0"),
        target="ja",
        task="binary",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        created_at=None,
        columns=(),
        records=(
            {"größe": 1, "x\0": "1", "ja": True},
            {"größe": 0.5, "x\0": None, "ja": False},
        ),
    )


def claimed(stored: Storage, name: str, sha256: str | None = None) -> Claim:
    """Submit a job and claim it."""
    stored.jobs.submit(JobRequest(dataset=name), subject=Subject(sha256))
    claim = stored.leases.claim("train", "tester")
    assert claim is not None
    return claim


@pytest.fixture
def name() -> str:
    """Give a name that no other test has: PostgreSQL's server is shared."""
    return f"data-{token_hex(4)}"


def test_a_dataset_is_read_as_it_was_stored(stored: Storage, name: str) -> None:
    """What is known of a dataset comes back to the type of each cell, and its bytes to the bit."""
    data = token_bytes(3_000_000)
    created = stored.datasets.create(dataset(name, data), data)
    assert created.created_at is not None
    assert created == dataset(name, data).model_copy(update={"created_at": created.created_at})
    read = stored.datasets.get(name)
    assert read == created
    assert read.model_dump_json() == created.model_dump_json()
    assert stored.datasets.data(name) == (data, hashlib.sha256(data).hexdigest())


def test_a_name_is_taken_once(stored: Storage, name: str) -> None:
    """Of clients that store under one name at the same moment one does; the others are told so."""
    tables = [token_bytes(100) for _ in range(WRITERS)]

    def create(data: bytes) -> bool:
        try:
            stored.datasets.create(dataset(name, data), data)
        except DatasetExists:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        done = list(pool.map(create, tables))
    assert done.count(True) == 1
    assert stored.datasets.data(name)[0] == tables[done.index(True)]
    with pytest.raises(DatasetExists, match=name):
        stored.datasets.check_is_free(name)


def test_a_deleted_dataset_is_gone(stored: Storage, name: str) -> None:
    """After a deletion nothing is found by the name, which is free again."""
    stored.datasets.create(dataset(name, b"old"), b"old")
    stored.datasets.delete(name)
    for look in (stored.datasets.get, stored.datasets.data, stored.datasets.delete):
        with pytest.raises(NotFound, match=name):
            look(name)
    stored.datasets.check_is_free(name)
    stored.datasets.create(dataset(name, b"new"), b"new")
    assert stored.datasets.data(name)[0] == b"new"


def test_pages_go_by_the_characters_of_the_names(stored: Storage, name: str) -> None:
    """The order is that of the characters' numbers, whatever the database's language."""
    names = sorted(f"{name}{end}" for end in ("-b", "_a", "a", "0", "-a"))
    for each in reversed(names):
        stored.datasets.create(dataset(each, b"rows"), b"rows")
    seen: list[str] = []
    after, more = name, True
    while more:
        page, more = stored.datasets.page(after, 2)
        seen += [item.name for item in page if item.name.startswith(name)]
        after = page[-1].name
    assert seen == names
    (summary,), _ = stored.datasets.page(name, 1)
    assert summary.model_dump() == stored.datasets.get(names[0]).model_dump(
        exclude={"columns", "records"}
    )


def test_damage_is_noticed(stored: Storage, name: str) -> None:
    """Bytes that are not those that were stored are not handed out."""
    stored.datasets.create(dataset(name, b"rows"), b"rows")
    with stored.database.write() as connection:
        change = update(datasets).where(datasets.c.name == name).values(data=b"rowz")
        connection.execute(change)
    with pytest.raises(CorruptModel, match=name):
        stored.datasets.data(name)


def test_built_in_datasets(stored: Storage, name: str) -> None:
    """A built-in dataset is stored anew only where it differs, and cannot be deleted."""
    stored.datasets.install_built_in(dataset(name, b"rows"), b"rows")
    first = stored.datasets.get(name)
    assert first.built_in
    stored.datasets.install_built_in(dataset(name, b"rows"), b"rows")
    assert stored.datasets.get(name) == first
    stored.datasets.install_built_in(dataset(name, b"more"), b"more")
    assert stored.datasets.data(name)[0] == b"more"
    with pytest.raises(BuiltInDataset, match=name):
        stored.datasets.delete(name)
    assert stored.datasets.get(name).built_in
    with stored.database.write() as connection:
        connection.execute(datasets.delete().where(datasets.c.name == name))


def test_a_built_in_dataset_takes_nobodys_name(stored: Storage, name: str) -> None:
    """A dataset of users is never replaced by a built-in one of a later release."""
    stored.datasets.create(dataset(name, b"mine"), b"mine")
    with pytest.raises(Conflict, match=name):
        stored.datasets.install_built_in(dataset(name, b"other"), b"other")
    assert stored.datasets.data(name)[0] == b"mine"
    assert not stored.datasets.get(name).built_in


def test_a_job_keeps_the_digest_that_it_was_accepted_with(stored: Storage, name: str) -> None:
    """The claim of a job on a stored dataset carries the digest; others carry none."""
    assert claimed(stored, name, "5" * 64).dataset_sha256 == "5" * 64
    assert claimed(stored, "xor").dataset_sha256 is None


def test_a_jobs_checkpoint_goes_with_it(stored: Storage) -> None:
    """The newest checkpoint is kept, and none is left of a job that was deleted."""
    claim = claimed(stored, "xor")
    for epochs in (1, 2):
        progress = PROGRESS._replace(epochs=epochs, checkpoint=b"%d" % epochs)
        stored.leases.record(claim, progress)
    assert stored.leases.checkpoint(claim) == b"2"
    stored.jobs.delete(claim.job_id)
    assert stored.leases.checkpoint(claim) is None


@pytest.fixture(params=["sqlite", "postgresql"])
def first_schema(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of a database of the first schema."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'first.db'}"
    else:
        server = str(request.getfixturevalue("postgresql_url"))
        engine = create_engine(server, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE first_{tmp_path.name.lower()[:40]}"))
        engine.dispose()
        url = server.replace("/postgres?", f"/first_{tmp_path.name.lower()[:40]}?")
    database = Database(url, pooled=False)
    upgrade(database, "0001")
    yield url
    database.close()


def test_an_older_database_is_upgraded(first_schema: str, tmp_path: Path, name: str) -> None:
    """A database of the first schema keeps its jobs, and takes datasets and checkpoints then."""
    job = (
        "INSERT INTO jobs (id, request, request_sha256, kind, queue, dataset, network, training,"
        " model, status, epochs, created_at)"
        " VALUES ('job_old', :request, '', 'train', 'train', 'xor', '{}', '{}', 'm', 'queued',"
        " 5, 0)"
    )
    request = JobRequest(dataset="xor").model_dump_json()
    database = Database(first_schema, pooled=False)
    with database.write() as connection:
        connection.execute(text(job), {"request": request})
    database.close()
    migrate(first_schema)
    migrate(first_schema)  # once more does nothing
    opened = open_storage(
        Settings.model_validate({"database_url": first_schema, "data_dir": tmp_path}), pooled=False
    )
    claim = opened.leases.claim("train", "tester")
    assert claim is not None
    assert (claim.job_id, claim.dataset_sha256) == ("job_old", None)
    opened.leases.record(claim, PROGRESS._replace(checkpoint=b"state"))
    assert opened.leases.checkpoint(claim) == b"state"
    opened.datasets.create(dataset(name, b"rows"), b"rows")
    assert opened.datasets.data(name)[0] == b"rows"
    opened.database.close()
