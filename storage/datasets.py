"""The dataset store: tables as bytes, beside what is known of them."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from schemas.dataset import Dataset, DatasetSummary
from schemas.errors import BuiltInDataset, Conflict, CorruptModel, DatasetExists, NotFound
from storage.database import Database, clock
from storage.tables import AnyRow, datasets

_OWN_COLUMNS = {"object", "name", "built_in", "sha256", "size_bytes", "created_at"}
"""Fields of a dataset that are columns, or always the same."""
_DETAILS = {"columns", "records"}
"""Fields of a dataset that its summary lacks."""

_INSERT = insert(datasets).values(created_at=clock())
"""Takes the rest as parameters: SQLAlchemy keeps the values of the first statement of a kind."""

_SUMMARY_COLUMNS = tuple(c for c in datasets.c if c.name not in ("details", "data"))


class DatasetStore:
    """Datasets in the database; one is never changed, only deleted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, dataset: Dataset, data: bytes) -> Dataset:
        """
        Store a dataset, whose `sha256` is that of the bytes.

        Raises: DatasetExists.
        """
        values = _values(dataset, data)
        try:
            with self._database.write() as connection:
                connection.detach()  # closed at the end: SQLite's keeps the bytes until then
                statement = _INSERT.returning(datasets.c.created_at)
                created = connection.execute(statement, values).scalar_one()
        except IntegrityError:
            raise _exists(dataset.name) from None
        return dataset.model_copy(update={"created_at": _time(created)})

    def check_is_free(self, name: str) -> None:
        """See that no dataset has the name yet. Raises: DatasetExists."""
        with self._database.read() as connection:
            query = select(datasets.c.name).where(datasets.c.name == name)
            if connection.execute(query).one_or_none() is not None:
                raise _exists(name)

    def install_built_in(self, dataset: Dataset, data: bytes) -> None:
        """
        Store a built-in dataset, unless it is there with the same rows and description.

        Raises: Conflict when users have a dataset by that name.
        """
        try:
            self._install(dataset, data)
        except IntegrityError:  # another host was first
            self._install(dataset, data)

    def _install(self, dataset: Dataset, data: bytes) -> None:
        values = _values(dataset.model_copy(update={"built_in": True}), data)
        columns = (datasets.c.built_in, datasets.c.sha256, datasets.c.summary, datasets.c.details)
        at = datasets.c.name == dataset.name
        with self._database.write() as connection:
            stored = connection.execute(select(*columns).where(at)).one_or_none()
            if stored is not None:
                if not stored.built_in:
                    raise Conflict(
                        f"delete the dataset {dataset.name!r}: a built-in one has its name"
                    )
                if all(getattr(stored, column.name) == values[column.name] for column in columns):
                    return
                connection.execute(delete(datasets).where(at))
            connection.execute(_INSERT, values)

    def built_in_names(self) -> frozenset[str]:
        """Name the built-in datasets that are there."""
        with self._database.read() as connection:
            query = select(datasets.c.name).where(datasets.c.built_in)
            return frozenset(connection.execute(query).scalars())

    def page(self, after: str | None, limit: int) -> tuple[list[DatasetSummary], bool]:
        """Read up to `limit` datasets by name, without their rows, and whether more follow."""
        query = select(*_SUMMARY_COLUMNS).order_by(datasets.c.name).limit(limit + 1)
        if after is not None:
            query = query.where(datasets.c.name > after)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [DatasetSummary(**_fields(row)) for row in rows[:limit]], len(rows) > limit

    def get(self, name: str) -> Dataset:
        """Read what is known of a dataset, and its first rows. Raises: NotFound."""
        query = select(*_SUMMARY_COLUMNS, datasets.c.details).where(datasets.c.name == name)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("dataset", name)
        return Dataset(**_fields(row) | orjson.loads(row.details))

    def data(self, name: str) -> tuple[bytes, str]:
        """Read a dataset's bytes and their SHA-256. Raises: NotFound, CorruptModel."""
        query = select(datasets.c.data, datasets.c.sha256).where(datasets.c.name == name)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("dataset", name)
        if hashlib.sha256(row.data).hexdigest() != row.sha256:
            raise CorruptModel(f"the stored rows of {name!r} do not match their digest")
        return bytes(row.data), str(row.sha256)

    def delete(self, name: str) -> None:
        """Delete a dataset. Raises: NotFound, BuiltInDataset."""
        at = datasets.c.name == name
        with self._database.write() as connection:
            if connection.execute(delete(datasets).where(at, ~datasets.c.built_in)).rowcount:
                return
            if connection.execute(select(datasets.c.name).where(at)).one_or_none() is None:
                raise NotFound("dataset", name)
        raise BuiltInDataset(f"{name!r} is a built-in dataset and cannot be deleted")


def _exists(name: str) -> DatasetExists:
    return DatasetExists(f"there is a dataset {name!r}: delete it, or choose another name")


def _values(dataset: Dataset, data: bytes) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "built_in": dataset.built_in,
        "sha256": dataset.sha256,
        "size_bytes": dataset.size_bytes,
        "summary": dataset.model_dump_json(exclude=_OWN_COLUMNS | _DETAILS),
        "details": dataset.model_dump_json(include=_DETAILS),
        "data": data,
    }


def _fields(row: AnyRow) -> Mapping[str, Any]:
    return {
        **orjson.loads(row.summary),
        "name": row.name,
        "built_in": bool(row.built_in),
        "sha256": row.sha256,
        "size_bytes": row.size_bytes,
        "created_at": _time(row.created_at),
    }


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
