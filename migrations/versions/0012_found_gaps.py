"""Gaps that were found: their series, who or what ended them, and whether what they show is real."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0010"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "gap_series",
        sa.Column("gap_id", Id, sa.ForeignKey("gap.id"), primary_key=True),
        sa.Column("series_id", Id, sa.ForeignKey("series.id"), primary_key=True),
    )
    op.create_index("ix_gap_series_series_id", "gap_series", ["series_id"])
    op.add_column("gap", sa.Column("real_at", Time, nullable=True))
    op.add_column("gap", sa.Column("ended_by", sa.String(), nullable=True))
