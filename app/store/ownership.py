"""One owner at a time: two services on one database would each score half of what they should."""

from __future__ import annotations

import fcntl
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import sqlalchemy as sa

from app.errors import Conflict
from app.store.database import Database

OWNER_LOCK = 0x4F776E72  # "Ownr": PostgreSQL's advisory lock of whoever owns the partitions


class Ownership:
    """Held from `with` until its end, or until the process dies however it dies."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._file: IO[str] | None = None
        self._connection: sa.Connection | None = None

    def __enter__(self) -> Self:
        if self._database.is_sqlite:
            self._lock_file(Path(f"{self._database.url.database}.owner"))
        else:
            self._lock_in_database()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()
        if self._connection:
            self._connection.invalidate()
            self._connection.close()

    def _lock_file(self, path: Path) -> None:
        self._file = path.open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise _taken() from None

    def _lock_in_database(self) -> None:
        self._connection = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if not self._connection.scalar(sa.select(sa.func.pg_try_advisory_lock(OWNER_LOCK))):
            self._connection.close()
            raise _taken()


def _taken() -> Conflict:
    return Conflict(
        "Another Heed runs on this database. Stop it first, or give this one a HEED_DATA_DIR or HEED_DATABASE_URL"
        " of its own."
    )
