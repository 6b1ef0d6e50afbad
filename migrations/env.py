"""How Alembic reaches the database: the connection `app.store.migrate` hands over, else HEED_DATABASE_URL."""

from __future__ import annotations

import os

import sqlalchemy as sa
from alembic import context

from app.store.database import Database
from app.store.tables import Base


def migrate_with(connection: sa.Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    migrate_with(given)
else:
    with Database(os.environ["HEED_DATABASE_URL"]).engine.begin() as own:
        migrate_with(own)
