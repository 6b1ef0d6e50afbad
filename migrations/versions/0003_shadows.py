"""Candidate detectors that run beside the live ones, and what they would have told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "shadow",
        sa.Column("id", Id, primary_key=True),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("dimensions", sa.JSON(), nullable=False),
        sa.Column("detector", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("counted_from", Time, nullable=False),
        sa.Column("counted_until", Time, nullable=False),
        sa.Column("series_count", sa.BigInteger(), nullable=False),
        sa.Column("would_be_alerts", sa.BigInteger(), nullable=False),
        sa.Column("live_alerts", sa.BigInteger(), nullable=False),
    )
