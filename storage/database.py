"""The SQL database, which holds the truth: SQLite on one host, PostgreSQL for many."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url, select
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import Double
from tenacity import Retrying, retry_if_exception_message, stop_after_delay, wait_random

from schemas.errors import InvalidField, Unavailable
from storage.tables import jobs

ANSWER_SECONDS = 10.0
"""How long a transaction waits to begin: for another writer, a free connection, a host."""

_BLOCKING_SECONDS = 0.02
"""How long SQLite itself may wait; it blocks the whole process, so the rest is waited outside."""


class clock(FunctionElement[float]):  # noqa: N801  # an SQL function
    """The database's own clock, so that hosts need not agree on the time. Seconds since 1970."""

    type = Double()
    inherit_cache = True


@compiles(clock, "sqlite")
def _sqlite_clock(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(clock, "postgresql")
def _postgresql_clock(*_: Any, **__: Any) -> str:
    return "(extract(epoch from clock_timestamp())::double precision)"


class Database:
    """
    Short transactions on one database; nothing connects before the first of them.

    `pooled=False` keeps no connection between transactions: for processes that fork.
    Raises: Unavailable, from every transaction, when the database does not answer; InvalidField
    for a URL that is none.
    """

    def __init__(self, url: str, *, pooled: bool = True) -> None:
        self._engine = _engine(url, pooled=pooled)
        self._rehearsed: Connection | None = None
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._unsynced = self._engine.execution_options(is_synced=False)

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """
        Run the block's transactions as one that is undone at its end.

        What SQLAlchemy compiles for them stays compiled, also in processes that are forked later.
        """
        with _unavailable_when_down(), self._engine.connect() as connection:
            self._rehearsed = connection
            try:
                with connection.begin() as transaction:
                    yield
                    transaction.rollback()
            finally:
                self._rehearsed = None

    def read(self) -> AbstractContextManager[Connection]:
        """Run single statements, each seeing what is committed."""
        return self._opened(self._autocommit.connect)

    def write(self) -> AbstractContextManager[Connection]:
        """Run one transaction: all of it is stored at the end of the block, or nothing."""
        return self._opened(self._engine.begin)

    def note(self) -> AbstractContextManager[Connection]:
        """
        Run one transaction that may be undone where the host loses its power soon after.

        Where the database is SQLite: nobody waits for the disk. No process that dies undoes it,
        and a power cut only together with all that came after it.
        """
        return self._opened(self._unsynced.begin)

    @contextmanager
    def _opened(
        self, connect: Callable[[], AbstractContextManager[Connection]]
    ) -> Iterator[Connection]:
        if self._rehearsed is not None:
            yield self._rehearsed
            return
        with _unavailable_when_down(), connect() as connection:
            yield connection

    def ping(self) -> None:
        """Ask the database for an answer that needs our tables. Raises: Unavailable."""
        with self.read() as connection:
            connection.execute(select(jobs.c.seq).limit(1))

    def close(self) -> None:
        """Close the pooled connections."""
        self._engine.dispose()


@contextmanager
def _unavailable_when_down() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout, ProgrammingError) as error:
        if "no such table" in str(error) or "UndefinedTable" in str(error):
            raise Unavailable("the database has no tables yet: run `perceptron migrate`") from error
        if isinstance(error, ProgrammingError):
            raise
        raise Unavailable("the database does not answer: try again") from error


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidField("not an SQLAlchemy URL", parameter="PERCEPTRON_DATABASE_URL") from None


def _engine(url: str, *, pooled: bool) -> Engine:
    pool: dict[str, Any] = {"pool_timeout": ANSWER_SECONDS} if pooled else {"poolclass": NullPool}
    if _parsed(url).get_backend_name() != "sqlite":
        waits = {
            "connect_timeout": int(ANSWER_SECONDS),
            "tcp_user_timeout": int(ANSWER_SECONDS * 1000),  # a host that vanished answers nothing
        }
        return create_engine(url, pool_pre_ping=True, connect_args=waits, **pool)
    engine = create_engine(url, connect_args={"timeout": _BLOCKING_SECONDS}, **pool)
    event.listen(engine, "connect", _prepare_sqlite_connection)
    event.listen(engine, "begin", _begin_sqlite_transaction)
    return engine


def prepare_directory(url: str) -> None:
    """Make the directory of a SQLite file, readable by its owner only."""
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def _prepare_sqlite_connection(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the transactions are ours: see _begin_sqlite_transaction
    for pragma in ("journal_mode=WAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite_transaction(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("isolation_level") == "AUTOCOMMIT":
        return
    level = "FULL" if options.get("is_synced", True) else "NORMAL"
    if connection.info.get("synchronous") != level:
        connection.info.pop("synchronous", None)
        connection.exec_driver_sql(f"PRAGMA synchronous={level}")
        connection.info["synchronous"] = level
    # Take the write lock at once: a reader that turns writer would fail without waiting.
    _while_locked(connection.exec_driver_sql, "BEGIN IMMEDIATE")


_while_locked = Retrying(
    retry=retry_if_exception_message(match=".*database is locked"),
    wait=wait_random(0.001, 0.03),
    stop=stop_after_delay(ANSWER_SECONDS),
    reraise=True,
)
"""Waits without blocking the other requests of a gevent process."""
