"""The model registry: immutable versions, their weights as bytes, and aliases that move."""

import hashlib
import secrets
from collections.abc import Container, Sequence
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update

from schemas.errors import (
    BuiltInModel,
    Conflict,
    CorruptModel,
    InvalidField,
    NotFound,
    PreconditionFailed,
    PreconditionRequired,
)
from schemas.model import ModelCard, ModelSummary, ModelVersion
from storage.database import Database, clock
from storage.notices import Notices
from storage.tables import AnyRow, aliases, model_versions, models

LATEST = "latest"
"""The alias that always points at the newest version and cannot be set."""


class Publication(NamedTuple):
    """A model to publish as the next version of its name."""

    name: str
    weights: bytes
    card: ModelCard


class StoredAlias(NamedTuple):
    """Where an alias points, and the ETag of that fact."""

    version: int
    etag: str


class ModelRegistry:
    """Models, versions and aliases in the database."""

    def __init__(self, database: Database, notices: Notices) -> None:
        self._database = database
        self._notices = notices

    def install_built_in(self, publication: Publication) -> None:
        """
        Store a built-in model as its version 1, unless that is there with the same weights.

        Raises: Conflict when users have a model by that name.
        """
        name, sha256 = publication.name, hashlib.sha256(publication.weights).hexdigest()
        at = (model_versions.c.name == name, model_versions.c.version == 1)
        with self._database.write() as connection:
            built_in = connection.execute(select(models.c.built_in).where(models.c.name == name))
            if built_in.scalar() is False:
                raise Conflict(f"rename or delete the model {name!r}: a built-in one has its name")
            stored = connection.execute(select(model_versions.c.sha256).where(*at)).scalar()
            if stored == sha256:
                return
            connection.execute(delete(model_versions).where(*at))
            _upsert_model(connection, name, built_in=True)
            _insert_version(connection, publication, 1)

    def is_built_in(self, name: str) -> bool:
        """Whether the name belongs to a built-in model."""
        with self._database.read() as connection:
            query = select(models.c.built_in).where(models.c.name == name)
            return bool(connection.execute(query).scalar())

    def page(self, after: str | None, limit: int) -> tuple[list[ModelSummary], bool]:
        """Read up to `limit` models by name, and whether more follow."""
        query = _with_versions().order_by(models.c.name).limit(limit + 1)
        with self._database.read() as connection:
            if after is not None:
                query = query.where(models.c.name > after)
            rows = connection.execute(query).all()
            return [_summary(connection, row) for row in rows[:limit]], len(rows) > limit

    def get(self, name: str) -> ModelSummary:
        """Read one model. Raises: NotFound."""
        with self._database.read() as connection:
            row = connection.execute(_with_versions().where(models.c.name == name)).one_or_none()
            if row is None:
                raise NotFound("model", name)
            return _summary(connection, row)

    def versions(self, name: str, after: int | None, limit: int) -> tuple[list[ModelVersion], bool]:
        """Read up to `limit` versions, newest first, and whether more follow. Raises: NotFound."""
        query = (
            select(*_VERSION_COLUMNS)
            .where(model_versions.c.name == name)
            .order_by(model_versions.c.version.desc())
            .limit(limit + 1)
        )
        with self._database.read() as connection:
            _resolve(connection, name, None)
            if after is not None:
                query = query.where(model_versions.c.version < after)
            rows = connection.execute(query).all()
            pointing = _aliases(connection, name)
        return [_version(row, pointing) for row in rows[:limit]], len(rows) > limit

    def numbers(self) -> list[tuple[str, int]]:
        """List every version of every model, as (name, number) in order."""
        columns = (model_versions.c.name, model_versions.c.version)
        with self._database.read() as connection:
            rows = connection.execute(select(*columns).order_by(*columns)).all()
        return [(row.name, row.version) for row in rows]

    def version(self, name: str, reference: int | str | None) -> ModelVersion:
        """Read one version by number or alias; None: the latest. Raises: NotFound."""
        with self._database.read() as connection:
            number = _resolve(connection, name, reference)
            row = connection.execute(_at(select(*_VERSION_COLUMNS), name, number)).one_or_none()
            if row is None:
                raise NotFound("version", f"{name}/{number}")
            return _version(row, _aliases(connection, name))

    def resolve(self, name: str, reference: int | str | None) -> tuple[int, str]:
        """Find the version that a reference stands for, and its digest. Raises: NotFound."""
        with self._database.read() as connection:
            number = _resolve(connection, name, reference)
            digest = connection.execute(_at(select(model_versions.c.sha256), name, number)).scalar()
        if digest is None:
            raise NotFound("version", f"{name}/{number}")
        return number, str(digest)

    def weights(self, name: str, version: int) -> tuple[bytes, ModelCard]:
        """Read a version's weights and card. Raises: NotFound, CorruptModel."""
        columns = (model_versions.c.weights, model_versions.c.sha256, model_versions.c.card)
        with self._database.read() as connection:
            row = connection.execute(_at(select(*columns), name, version)).one_or_none()
        if row is None:
            raise NotFound("version", f"{name}/{version}")
        if hashlib.sha256(row.weights).hexdigest() != row.sha256:
            raise CorruptModel(f"the stored weights of {name}/{version} do not match their digest")
        return bytes(row.weights), ModelCard.model_validate_json(row.card)

    def delete(self, name: str) -> None:
        """Delete every version and alias. Raises: NotFound, BuiltInModel."""
        self._notices.announce(name)
        with self._database.write() as connection:
            _begin_change(connection, name)
            _resolve(connection, name, None)
            connection.execute(delete(aliases).where(aliases.c.model == name))
            connection.execute(delete(model_versions).where(model_versions.c.name == name))

    def delete_version(self, name: str, version: int) -> None:
        """Delete one version and the aliases that point at it. Raises: NotFound, BuiltInModel."""
        self._notices.announce(name)
        with self._database.write() as connection:
            _begin_change(connection, name)
            pointing = (aliases.c.model == name, aliases.c.version == version)
            connection.execute(delete(aliases).where(*pointing))
            at = (model_versions.c.name == name, model_versions.c.version == version)
            if connection.execute(delete(model_versions).where(*at)).rowcount == 0:
                raise NotFound("version", f"{name}/{version}")

    def alias(self, name: str, alias: str) -> StoredAlias:
        """Read where an alias points. Raises: NotFound."""
        with self._database.read() as connection:
            if alias == LATEST:
                version = _resolve(connection, name, None)
                return StoredAlias(version, f"latest-{version}")
            stored = _stored_alias(connection, name, alias)
        if stored is None:
            raise NotFound("alias", f"{name}/{alias}")
        return stored

    def set_alias(
        self, name: str, alias: str, version: int, if_match: Container[str] | None
    ) -> tuple[StoredAlias, bool]:
        """
        Point an alias at a version; returns it and whether it is new.

        An alias that exists moves only where its ETag is among those of `if_match`.

        Raises: NotFound, BuiltInModel, PreconditionRequired, PreconditionFailed,
        InvalidField for a version that is not there.
        """
        etag = secrets.token_hex(8)
        self._notices.announce(name)
        with self._database.write() as connection:
            _begin_change(connection, name)
            _resolve(connection, name, None)
            stored = _stored_alias(connection, name, alias)
            _check_precondition(stored, if_match)
            found = connection.execute(_at(select(model_versions.c.version), name, version))
            if found.one_or_none() is None:
                raise InvalidField(f"{name} has no version {version}", "version")
            values = {"version": version, "etag": etag}
            if stored is None:
                connection.execute(insert(aliases).values(model=name, alias=alias, **values))
            else:
                at = (aliases.c.model == name, aliases.c.alias == alias)
                connection.execute(update(aliases).where(*at).values(**values))
        return StoredAlias(version, etag), stored is None

    def delete_alias(self, name: str, alias: str, if_match: Container[str] | None) -> None:
        """
        Delete an alias, where its ETag is among those of `if_match`.

        Raises: NotFound, BuiltInModel, PreconditionRequired, PreconditionFailed.
        """
        self._notices.announce(name)
        with self._database.write() as connection:
            _begin_change(connection, name)
            stored = _stored_alias(connection, name, alias)
            if stored is None:
                raise NotFound("alias", f"{name}/{alias}")
            _check_precondition(stored, if_match)
            at = (aliases.c.model == name, aliases.c.alias == alias)
            connection.execute(delete(aliases).where(*at))


_VERSION_COLUMNS = tuple(c for c in model_versions.c if c.name != "weights")


def publish(connection: Connection, publication: Publication) -> int:
    """Store the next version of a model inside the caller's transaction. Returns its number."""
    version = _upsert_model(connection, publication.name, built_in=False)
    _insert_version(connection, publication, version)
    return version


def _upsert_model(connection: Connection, name: str, *, built_in: bool) -> int:
    # Loaded with the engine; the other database's would be 2 MB that every process goes without.
    dialect = import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
    statement = dialect.insert(models).values(name=name, built_in=built_in, last_version=1)
    bumped = statement.on_conflict_do_update(
        index_elements=[models.c.name], set_={"last_version": models.c.last_version + 1}
    )
    return int(connection.execute(bumped.returning(models.c.last_version)).scalar_one())


def _insert_version(connection: Connection, publication: Publication, version: int) -> None:
    connection.execute(
        insert(model_versions).values(
            name=publication.name,
            version=version,
            job_id=publication.card.job_id,
            weights=publication.weights,
            sha256=hashlib.sha256(publication.weights).hexdigest(),
            size_bytes=len(publication.weights),
            card=publication.card.model_dump_json(),
            created_at=clock(),
        )
    )


def _begin_change(connection: Connection, name: str) -> None:
    """Lock the model's row until the transaction ends, so that changes come one after another."""
    row = select(models.c.built_in).where(models.c.name == name).with_for_update()
    if connection.execute(row).scalar():
        raise BuiltInModel(f"{name!r} is a built-in model and cannot be changed")


def _resolve(connection: Connection, name: str, reference: int | str | None) -> int:
    """Find the version; a number is taken as it is, for the caller to look up."""
    if isinstance(reference, int):
        return reference
    if reference not in (None, LATEST):
        stored = _stored_alias(connection, name, str(reference))
        if stored is not None:
            return stored.version
    latest = _latest(connection, name)
    if reference not in (None, LATEST):
        raise NotFound("alias", f"{name}/{reference}")
    return latest


def _latest(connection: Connection, name: str) -> int:
    newest = select(func.max(model_versions.c.version)).where(model_versions.c.name == name)
    version = connection.execute(newest).scalar()
    if version is None:
        raise NotFound("model", name)
    return int(version)


def _stored_alias(connection: Connection, name: str, alias: str) -> StoredAlias | None:
    query = select(aliases.c.version, aliases.c.etag).where(
        aliases.c.model == name, aliases.c.alias == alias
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else StoredAlias(row.version, row.etag)


def _check_precondition(stored: StoredAlias | None, if_match: Container[str] | None) -> None:
    if stored is not None and if_match is None:
        raise PreconditionRequired
    if if_match is not None and (stored is None or stored.etag not in if_match):
        raise PreconditionFailed


def _with_versions() -> Any:
    latest = func.max(model_versions.c.version).label("latest_version")
    return (
        select(models.c.name, models.c.built_in, latest)
        .join(model_versions, model_versions.c.name == models.c.name)
        .group_by(models.c.name, models.c.built_in)
    )


def _summary(connection: Connection, row: AnyRow) -> ModelSummary:
    numbers = select(model_versions.c.version).where(model_versions.c.name == row.name)
    return ModelSummary(
        name=row.name,
        built_in=bool(row.built_in),
        latest_version=row.latest_version,
        versions=tuple(connection.execute(numbers.order_by(model_versions.c.version)).scalars()),
        aliases=dict(_aliases(connection, row.name)),
    )


def _aliases(connection: Connection, name: str) -> Sequence[tuple[str, int]]:
    """Read the aliases by name, `latest` last."""
    query = select(aliases.c.alias, aliases.c.version).where(aliases.c.model == name)
    stored = connection.execute(query.order_by(aliases.c.alias)).all()
    return [(row.alias, row.version) for row in stored] + [(LATEST, _latest(connection, name))]


def _at(query: Any, name: str, version: int) -> Any:
    return query.where(model_versions.c.name == name, model_versions.c.version == version)


def _version(row: AnyRow, pointing: Sequence[tuple[str, int]]) -> ModelVersion:
    return ModelVersion(
        name=row.name,
        version=row.version,
        aliases=tuple(alias for alias, version in pointing if version == row.version),
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        card=ModelCard.model_validate_json(row.card),
    )
