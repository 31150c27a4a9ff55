"""The model registry: immutable versions, their weights as bytes, and aliases that move."""

import hashlib
import secrets
from collections.abc import Container, Sequence
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Literal, NamedTuple

from pydantic_core import from_json
from sqlalchemy import JSON, Connection, cast, delete, func, insert, select, update

from schemas.errors import (
    BuiltInModel,
    Conflict,
    CorruptModel,
    InvalidField,
    NotFound,
    NothingToRollBackTo,
    PreconditionFailed,
    PreconditionRequired,
)
from schemas.model import (
    CHAMPION,
    AliasUpdate,
    ModelCard,
    ModelSummary,
    ModelVersion,
    Score,
    VersionSummary,
)
from schemas.network import Task
from schemas.training import Part
from storage.database import Database, clock
from storage.notices import Notices
from storage.tables import AnyRow, alias_states, aliases, model_versions, models

LATEST = "latest"
"""The alias that always points at the newest version and cannot be set."""
MOST_STATES = 100
"""Earlier states that are kept of one alias."""


class Publication(NamedTuple):
    """A model to publish as the next version of its name."""

    name: str
    weights: bytes
    card: ModelCard


class StoredAlias(NamedTuple):
    """Where an alias points, and the ETag of that fact."""

    route: AliasUpdate
    etag: str

    @property
    def version(self) -> int:
        """The version that it stands for where one is needed."""
        return self.route.primary


class Routed(NamedTuple):
    """A version to ask."""

    version: int
    sha256: str
    weight: float = 1.0


class Route(NamedTuple):
    """What a number or an alias stands for."""

    shares: tuple[Routed, ...]
    """The versions that answer."""
    sticky_by: str | None = None
    """Header by which one of them is chosen; None: at random."""
    shadows: tuple[Routed, ...] = ()


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
        with self._database.read() as connection:
            query = _with_current(connection).order_by(models.c.name).limit(limit + 1)
            if after is not None:
                query = query.where(models.c.name > after)
            rows = connection.execute(query).all()
            return _summaries(connection, rows[:limit]), len(rows) > limit

    def get(self, name: str) -> ModelSummary:
        """Read one model. Raises: NotFound."""
        with self._database.read() as connection:
            query = _with_current(connection).where(models.c.name == name)
            for summary in _summaries(connection, connection.execute(query).all()):
                return summary
        raise NotFound("model", name)

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

    def route(self, name: str, reference: int | str | None) -> Route:
        """Find every version that a reference stands for. Raises: NotFound."""
        with self._database.read() as connection:
            stored = None
            if isinstance(reference, str) and reference != LATEST:
                stored = _stored_alias(connection, name, reference)
            if stored is None:
                number = _resolve(connection, name, reference)
                stored = StoredAlias(AliasUpdate(version=number), "")
            digests = _digests(connection, name, stored.route)
        for share in stored.route.shares:
            if share.version not in digests:
                raise NotFound("version", f"{name}/{share.version}")
        return Route(
            tuple(Routed(s.version, digests[s.version], s.weight) for s in stored.route.shares),
            stored.route.sticky_by,
            tuple(Routed(v, digests[v]) for v in stored.route.shadows if v in digests),
        )

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
        with self._notices.announced(name), self._database.write() as connection:
            _begin_change(connection, name)
            _resolve(connection, name, None)
            connection.execute(delete(aliases).where(aliases.c.model == name))
            connection.execute(delete(model_versions).where(model_versions.c.name == name))

    def delete_version(self, name: str, version: int) -> None:
        """
        Delete one version; it leaves the aliases' splits, and aliases of it alone are deleted.

        Raises: NotFound, BuiltInModel.
        """
        with self._notices.announced(name), self._database.write() as connection:
            _begin_change(connection, name)
            _take_out(connection, name, version)
            at = (model_versions.c.name == name, model_versions.c.version == version)
            if connection.execute(delete(model_versions).where(*at)).rowcount == 0:
                raise NotFound("version", f"{name}/{version}")

    def alias(self, name: str, alias: str) -> StoredAlias:
        """Read where an alias points. Raises: NotFound."""
        with self._database.read() as connection:
            if alias == LATEST:
                version = _resolve(connection, name, None)
                return StoredAlias(AliasUpdate(version=version), f"latest-{version}")
            stored = _stored_alias(connection, name, alias)
        if stored is None:
            raise NotFound("alias", f"{name}/{alias}")
        return stored

    def set_alias(
        self, name: str, alias: str, route: AliasUpdate, if_match: Container[str] | None
    ) -> tuple[StoredAlias, bool]:
        """
        Point an alias somewhere; returns it and whether it is new. What it was is kept.

        An alias that exists moves only where its ETag is among those of `if_match`.

        Raises: NotFound, BuiltInModel, PreconditionRequired, PreconditionFailed,
        InvalidField for a version that is not there.
        """
        with self._notices.announced(name), self._database.write() as connection:
            _begin_change(connection, name)
            _resolve(connection, name, None)
            stored = _stored_alias(connection, name, alias)
            _check_precondition(stored, if_match)
            _check_versions(connection, name, route)
            if stored is None:
                values = {"model": name, "alias": alias, "version": route.primary, "etag": "new"}
                connection.execute(insert(aliases).values(values))
            else:
                _keep_state(connection, name, alias, stored.route)
            return _point(connection, name, alias, route), stored is None

    def roll_back(self, name: str, alias: str, if_match: Container[str] | None) -> StoredAlias:
        """
        Point an alias at what it was before, which is then no longer kept.

        Raises: NotFound, BuiltInModel, PreconditionRequired, PreconditionFailed,
        NothingToRollBackTo.
        """
        with self._notices.announced(name), self._database.write() as connection:
            _begin_change(connection, name)
            _matched(connection, name, alias, if_match)
            last = connection.execute(_states(name, alias).limit(1)).one_or_none()
            if last is None:
                raise NothingToRollBackTo(f"{name}/{alias} has no earlier state")
            route = AliasUpdate.model_validate_json(last.route)
            try:
                _check_versions(connection, name, route)
            except InvalidField as error:
                raise NothingToRollBackTo(f"{error.detail}, which it was at before") from None
            at = (alias_states.c.model == name, alias_states.c.alias == alias)
            connection.execute(
                delete(alias_states).where(*at, alias_states.c.number == last.number)
            )
            return _point(connection, name, alias, route)

    def alias_states(self, name: str, alias: str) -> list[tuple[AliasUpdate, datetime]]:
        """Read what an alias was before its moves, the last first. Raises: NotFound."""
        with self._database.read() as connection:
            if _stored_alias(connection, name, alias) is None:
                raise NotFound("alias", f"{name}/{alias}")
            rows = connection.execute(_states(name, alias)).all()
        return [
            (AliasUpdate.model_validate_json(row.route), datetime.fromtimestamp(row.ended_at, UTC))
            for row in rows
        ]

    def delete_alias(self, name: str, alias: str, if_match: Container[str] | None) -> None:
        """
        Delete an alias, where its ETag is among those of `if_match`.

        Raises: NotFound, BuiltInModel, PreconditionRequired, PreconditionFailed.
        """
        with self._notices.announced(name), self._database.write() as connection:
            _begin_change(connection, name)
            _matched(connection, name, alias, if_match)
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
    columns = (aliases.c.version, aliases.c.etag, aliases.c.route)
    query = select(*columns).where(aliases.c.model == name, aliases.c.alias == alias)
    row = connection.execute(query).one_or_none()
    return None if row is None else StoredAlias(_route(row), row.etag)


def _matched(
    connection: Connection, name: str, alias: str, if_match: Container[str] | None
) -> None:
    """See that an alias is there and as it was read. Raises: as `delete_alias`."""
    stored = _stored_alias(connection, name, alias)
    if stored is None:
        raise NotFound("alias", f"{name}/{alias}")
    _check_precondition(stored, if_match)


def _route(row: AnyRow) -> AliasUpdate:
    if row.route is None:  # as aliases were before they had routes
        return AliasUpdate(version=row.version)
    return AliasUpdate.model_validate_json(row.route)


def _digests(connection: Connection, name: str, route: AliasUpdate) -> dict[int, str]:
    """Find the versions of a route that exist, with their digests."""
    named = [share.version for share in route.shares] + list(route.shadows)
    columns = (model_versions.c.version, model_versions.c.sha256)
    query = select(*columns).where(
        model_versions.c.name == name, model_versions.c.version.in_(named)
    )
    return {row.version: row.sha256 for row in connection.execute(query)}


def _check_versions(connection: Connection, name: str, route: AliasUpdate) -> None:
    known = _digests(connection, name, route)
    for index, share in enumerate(route.shares):
        if share.version not in known:
            at = ("version",) if route.split is None else ("split", index, "version")
            raise InvalidField(f"{name} has no version {share.version}", *at)
    for index, version in enumerate(route.shadows):
        if version not in known:
            raise InvalidField(f"{name} has no version {version}", "shadows", index)


def _point(connection: Connection, name: str, alias: str, route: AliasUpdate) -> StoredAlias:
    values = {"version": route.primary, "etag": secrets.token_hex(8)}
    at = (aliases.c.model == name, aliases.c.alias == alias)
    connection.execute(update(aliases).where(*at).values(**values, route=route.model_dump_json()))
    return StoredAlias(route, str(values["etag"]))


def _states(name: str, alias: str) -> Any:
    at = (alias_states.c.model == name, alias_states.c.alias == alias)
    return select(alias_states).where(*at).order_by(alias_states.c.number.desc())


def _keep_state(connection: Connection, name: str, alias: str, route: AliasUpdate) -> None:
    """Put what an alias was on the stack, from which the oldest falls off."""
    last = connection.execute(_states(name, alias).limit(1)).one_or_none()
    number = 1 if last is None else last.number + 1
    at = (alias_states.c.model == name, alias_states.c.alias == alias)
    oldest = alias_states.c.number <= number - MOST_STATES
    connection.execute(delete(alias_states).where(*at, oldest))
    values = {"number": number, "route": route.model_dump_json(), "ended_at": clock()}
    connection.execute(insert(alias_states).values(model=name, alias=alias, **values))


def _take_out(connection: Connection, name: str, version: int) -> None:
    """Take a version out of every alias; an alias that would be left with none is deleted."""
    rows = connection.execute(select(aliases).where(aliases.c.model == name)).all()
    for row in rows:
        route = _route(row)
        left = route.without(version)
        if left is None:
            at = (aliases.c.model == name, aliases.c.alias == row.alias)
            connection.execute(delete(aliases).where(*at))
        elif left != route:
            _point(connection, name, row.alias, left)


def _check_precondition(stored: StoredAlias | None, if_match: Container[str] | None) -> None:
    if stored is not None and if_match is None:
        raise PreconditionRequired
    if if_match is not None and (stored is None or stored.etag not in if_match):
        raise PreconditionFailed


def _with_current(connection: Connection) -> Any:
    """Select models that have versions, with what their lists tell of one: in a single query."""
    latest = (
        select(model_versions.c.name, func.max(model_versions.c.version).label("version"))
        .group_by(model_versions.c.name)
        .subquery()
    )
    champion = (aliases.c.model == models.c.name) & (aliases.c.alias == CHAMPION)
    is_current = (model_versions.c.name == models.c.name) & (
        model_versions.c.version == func.coalesce(aliases.c.version, latest.c.version)
    )
    columns = (
        models.c.name,
        models.c.built_in,
        latest.c.version.label("latest_version"),
        model_versions.c.version,
        _in_card(connection, "dataset").label("dataset"),
        _in_card(connection, "preprocessing", "target", "task").label("task"),
        _in_card(connection, "metrics").label("metrics"),
    )
    tables = models.join(latest, latest.c.name == models.c.name).outerjoin(aliases, champion)
    return select(*columns).select_from(tables.join(model_versions, is_current))


def _in_card(connection: Connection, *path: str) -> Any:
    """Select a value of the card as a text; what is no text is JSON. The rest is not read out."""
    card = model_versions.c.card
    if connection.dialect.name == "sqlite":
        return func.json_extract(card, f"$.{'.'.join(path)}")
    readable = func.replace(card, r"\u0000", r"\ufffd")  # of which PostgreSQL makes no text
    return func.json_extract_path_text(cast(readable, JSON), *path)


def _summaries(connection: Connection, rows: Sequence[AnyRow]) -> list[ModelSummary]:
    """Tell of models; all their versions and aliases are read at once."""
    names = [row.name for row in rows]
    versions: dict[str, list[int]] = {name: [] for name in names}
    pointing: dict[str, dict[str, int]] = {name: {} for name in names}
    numbers = select(model_versions.c.name, model_versions.c.version)
    ordered = numbers.order_by(model_versions.c.version)
    for version in connection.execute(ordered.where(model_versions.c.name.in_(names))):
        versions[version.name].append(version.version)
    stored = select(aliases.c.model, aliases.c.alias, aliases.c.version).order_by(aliases.c.alias)
    for alias in connection.execute(stored.where(aliases.c.model.in_(names))):
        pointing[alias.model][alias.alias] = alias.version
    return [
        ModelSummary(
            name=row.name,
            built_in=bool(row.built_in),
            latest_version=row.latest_version,
            versions=tuple(versions[row.name]),
            aliases={**pointing[row.name], LATEST: row.latest_version},
            current=_current(row),
        )
        for row in rows
    ]


def _current(row: AnyRow) -> VersionSummary:
    task: Task = row.task or "binary"  # as where there is no preprocessing
    return VersionSummary(
        version=row.version, dataset=row.dataset, task=task, score=_score(task, row.metrics)
    )


def _score(task: Task, metrics: str | None) -> Score | None:
    if metrics is None:
        return None
    measured = from_json(metrics)
    metric: Literal["accuracy", "r2"] = "r2" if task == "regression" else "accuracy"
    parts: tuple[Part, ...] = ("test", "validation", "train")
    part = next(part for part in parts if measured.get(part) is not None)
    return Score(metric=metric, part=part, value=measured[part][metric])


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
