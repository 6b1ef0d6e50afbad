"""Silences, and which of them keeps an alert from being sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "silence",
        sa.Column("id", Id, primary_key=True),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("dimensions", sa.JSON(), nullable=False),
        sa.Column("started_at", Time, nullable=False),
        sa.Column("ended_at", Time, nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("ended_by", sa.String(), nullable=True),
    )
    op.create_index("ix_silence_ended_at", "silence", ["ended_at"])
    op.add_column("alert", sa.Column("silence_id", sa.BigInteger(), nullable=True))
    op.create_index("ix_alert_silence_id", "alert", ["silence_id"])
