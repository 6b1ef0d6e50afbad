"""Which detector a training chose for a series, and why."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "detector_choice",
        sa.Column("series_id", Id, sa.ForeignKey("series.id"), primary_key=True),
        sa.Column("detector", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("chosen_at", sa.DateTime(timezone=True)),
        sa.Column("fell_back", sa.String()),
    )
