"""When the readers of an alert, and of a channel, are there, and what waits for them to be told of together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("alert", sa.Column("digest_at", Time, nullable=True))
    op.add_column("alert", sa.Column("active_hours", sa.JSON(), nullable=True))
    op.add_column("alert", sa.Column("timezone", sa.String(), nullable=True))
    op.add_column("channel", sa.Column("active_hours", sa.JSON(), nullable=True))
    op.add_column("channel", sa.Column("timezone", sa.String(), nullable=True))
    op.add_column("notification", sa.Column("for_digest", sa.Boolean(), nullable=False, server_default=sa.false()))
