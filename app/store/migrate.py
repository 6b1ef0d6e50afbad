"""Bring a database to the tables this release needs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import migrations
from app.store.database import Database

UPGRADE_LOCK = 0x48656564  # "Heed": PostgreSQL's advisory lock while tables change


def upgrade(database: Database) -> None:
    """Apply the migrations that are missing, all or none of them. Several processes may call it at once."""
    if is_current(database):
        return
    with database.engine.begin() as connection:
        if not database.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(UPGRADE_LOCK)))
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def is_current(database: Database) -> bool:
    """Whether the database has the tables of this release."""
    with database.engine.connect() as connection:
        applied = MigrationContext.configure(connection).get_current_heads()
    return set(applied) == _newest()


@cache
def _newest() -> frozenset[str]:
    """The migrations that nothing follows; to find them all are read."""
    return frozenset(ScriptDirectory.from_config(_config()).get_heads())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    return config
