from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from threading import Barrier

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import Unavailable
from app.store.database import Database, is_among
from app.store.tables import Installation, TileGroup

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def names(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(sa.select(Installation.name).order_by(Installation.name)))


@only_sqlite
def test_every_sqlite_connection_syncs_each_commit_to_disk(database: Database) -> None:
    """Guarantee 1: a connection that slipped through with less would lose acknowledged points when power fails."""
    expected = {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 15_000}
    with ExitStack() as open_sessions:
        for _ in range(8):
            session = open_sessions.enter_context(database.reading())
            found = {name: session.scalar(sa.text(f"PRAGMA {name}")) for name in expected}
            assert found == expected


@only_postgresql
def test_postgresql_syncs_each_commit_to_disk(database: Database) -> None:
    with database.writing() as session:
        assert session.scalar(sa.text("SHOW synchronous_commit")) == "on"


def test_a_block_that_raises_leaves_no_trace(database: Database) -> None:
    with pytest.raises(LookupError), database.writing() as session:
        session.add(Installation(name="half", value="done"))
        session.flush()
        raise LookupError
    assert names(database) == []


def test_a_reading_session_sees_one_moment_throughout(database: Database) -> None:
    with database.reading() as session:
        query = sa.select(sa.func.count()).select_from(Installation)
        assert session.scalar(query) == 0
        with database.writing() as other:
            other.add(Installation(name="new", value="1"))
        assert session.scalar(query) == 0
    assert names(database) == ["new"]


def test_writers_at_once_wait_for_each_other(database: Database) -> None:
    start = Barrier(8)

    def read_then_write(number: int) -> None:
        start.wait()
        with database.writing() as session:
            session.scalars(sa.select(Installation)).all()
            session.add(Installation(name=str(number), value=""))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read_then_write, range(8)))
    assert names(database) == [str(number) for number in range(8)]


def test_any_number_of_ids_may_be_asked_for_at_once(database: Database) -> None:
    with database.writing() as session:
        ids = [row.id for row in new_partition_groups(session, 3)]
        among = is_among(session, TileGroup.id, [ids[0], ids[2], *range(1_000_000, 1_100_000)])
        assert session.scalars(sa.select(TileGroup.id).where(among)).all() == [ids[0], ids[2]]
        assert session.scalars(sa.select(TileGroup.id).where(is_among(session, TileGroup.id, []))).all() == []


def new_partition_groups(session: Session, number: int) -> list[TileGroup]:
    groups = [TileGroup(partition=0, cadence_seconds=60) for _ in range(number)]
    session.add_all(groups)
    session.flush()
    return groups


@only_sqlite
def test_a_full_disk_is_told_loses_nothing_and_passes(database: Database) -> None:
    """Guarantee 3, with SQLite's own limit in place of a disk."""
    largest_pages = 400

    def limit(connection: sa.engine.interfaces.DBAPIConnection, *_: object) -> None:
        connection.cursor().execute(f"PRAGMA max_page_count = {largest_pages}")

    sa.event.listen(database.engine, "checkout", limit)
    stored = []
    with pytest.raises(Unavailable, match="disk is full"):
        for number in range(1000):
            with database.writing() as session:
                session.add(Installation(name=f"{number:04}", value="x" * 10_000))
            stored.append(f"{number:04}")
    assert stored
    assert names(database) == stored

    largest_pages = 10_000
    with database.writing() as session:
        session.add(Installation(name="after", value="x" * 10_000))
    assert names(database) == [*stored, "after"]


def test_a_server_that_does_not_answer_is_told_as_unavailable() -> None:
    with closing(Database("postgresql://heed@127.0.0.1:1/heed")) as database, pytest.raises(Unavailable) as told:
        names(database)
    assert told.value.headers["Retry-After"]


@pytest.mark.parametrize("url", ["mysql://root@localhost/heed", "sqlite://", "sqlite:///:memory:"])
def test_a_database_that_heed_cannot_keep_its_promise_on_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite:///data/heed\.db or postgresql://"):
        Database(url)
