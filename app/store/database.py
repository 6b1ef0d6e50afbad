"""The one database: SQLite in a file or PostgreSQL, with the same promise: committed means synced to disk."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.errors import Unavailable

POOL = {"pool_size": 20, "max_overflow": 30, "pool_timeout": 30}
BUSY_TIMEOUT_MS = 15_000
SQLITE_PASSING_FAULTS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk reports errors",
    sqlite3.SQLITE_BUSY: "another process holds the database",
    sqlite3.SQLITE_LOCKED: "another process holds the database",
    sqlite3.SQLITE_READONLY: "the database file is read-only",
    sqlite3.SQLITE_CANTOPEN: "the database file can't be opened",
}


class Database:
    """Sessions on one database, for many threads. What a `writing` block did is durable once it has ended."""

    def __init__(self, url: str) -> None:
        self.url = _with_driver(url)
        self.engine = _sqlite_engine(self.url) if self.is_sqlite else _postgresql_engine(self.url)
        snapshot: dict[str, Any] = {"heed_reading": True}
        if not self.is_sqlite:
            snapshot |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reading_engine = self.engine.execution_options(**snapshot)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one moment of the database throughout and can't change it."""
        with _faults_told(), Session(self._reading_engine, autoflush=False, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session that commits when the block ends, and leaves no trace if it raises."""
        with _faults_told(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        self.engine.dispose()


def is_among(
    session: Session, column: InstrumentedAttribute[int] | InstrumentedAttribute[int | None], ids: Iterable[int]
) -> sa.ColumnElement[bool]:
    """`column IN ids` with all ids as one parameter: ten thousand of them take longer to compile than to find."""
    plain = [int(each) for each in ids]
    if session.get_bind().dialect.name == "sqlite":
        return column.in_(sa.select(sa.func.json_each(json.dumps(plain)).table_valued("value").c.value))
    return column == sa.any_(sa.cast(plain, ARRAY(sa.BigInteger)))


def _with_driver(url: str) -> sa.URL:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed
    raise ValueError("the database URL must be like sqlite:///data/heed.db or postgresql://user@host/name")


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, **POOL)
    sa.event.listen(engine, "connect", _prepare_sqlite_connection)
    sa.event.listen(engine, "begin", _begin_sqlite_transaction)
    return engine


def _prepare_sqlite_connection(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: the driver's own is never IMMEDIATE
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = FAST")  # Debian's full one writes every folded log row twice


def _begin_sqlite_transaction(connection: sa.Connection) -> None:
    # A deferred read-then-write fails at once under contention, whatever the busy timeout.
    reading = connection.get_execution_options().get("heed_reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _postgresql_engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, pool_pre_ping=True, **POOL)
    sa.event.listen(engine, "handle_error", _leave_a_demoted_primary)
    return engine


def _leave_a_demoted_primary(context: sa.engine.ExceptionContext) -> None:
    # A primary that was demoted still answers SELECT 1, so pre-ping keeps its connections.
    if isinstance(context.original_exception, psycopg.errors.ReadOnlySqlTransaction):
        context.is_disconnect = True


@contextmanager
def _faults_told() -> Iterator[None]:
    """Turn a fault of the disk or the server, which may pass, into `Unavailable`; leave mistakes in queries alone."""
    try:
        yield
    except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
        reason = _passing_fault(error)
        if reason is None:
            raise
        raise Unavailable(
            f"Nothing was stored: {reason}. Send it again later.", headers={"Retry-After": "5"}
        ) from error


def _passing_fault(error: sa.exc.SQLAlchemyError) -> str | None:
    if isinstance(error, sa.exc.TimeoutError):
        return "all database connections are in use"
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else None
    if isinstance(cause, sqlite3.Error):
        # Extended codes such as SQLITE_IOERR_WRITE carry the plain one in their low byte.
        return SQLITE_PASSING_FAULTS.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF)
    if isinstance(cause, psycopg.OperationalError | psycopg.errors.ReadOnlySqlTransaction):
        return "the database server can't take it now"
    return None
