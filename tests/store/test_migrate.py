from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from app.store.database import Database
from app.store.migrate import is_current, upgrade
from app.store.tables import Base


def test_migrations_make_the_tables_that_the_code_declares(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_an_empty_database_is_not_current_until_it_is_upgraded(database: Database) -> None:
    assert is_current(database)
    with database.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM alembic_version"))
    assert not is_current(database)


def test_processes_that_start_at_once_upgrade_once(database: Database) -> None:
    with database.engine.begin() as connection:
        Base.metadata.drop_all(connection)
        connection.execute(sa.text("DROP TABLE alembic_version"))

    with ThreadPoolExecutor(4) as starting:
        list(starting.map(_start, [database.url.render_as_string()] * 4))

    assert is_current(database)


def _start(url: str) -> None:
    with closing(Database(url)) as database:
        upgrade(database)
