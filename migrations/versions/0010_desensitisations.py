"""New normals: which series have them, how far they have settled, and alerts that offer one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "desensitisation",
        sa.Column("id", Id, primary_key=True),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("dimensions", sa.JSON(), nullable=False),
        sa.Column("series_id", sa.BigInteger(), nullable=True),
        sa.Column("longest_seconds", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("label_id", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", Time, nullable=True),
        sa.Column("ended_by", sa.String(), nullable=True),
        sa.Column("revoked_at", Time, nullable=True),
        sa.Column("revoked_by", sa.String(), nullable=True),
        sa.Column("undone_at", Time, nullable=True),
    )
    op.create_table(
        "desensitised_series",
        sa.Column("desensitisation_id", Id, sa.ForeignKey("desensitisation.id"), primary_key=True),
        sa.Column("series_id", Id, sa.ForeignKey("series.id"), primary_key=True),
        sa.Column("alert_id", sa.BigInteger(), nullable=True),
        sa.Column("started_at", Time, nullable=False),
        sa.Column("until", Time, nullable=False),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("lacks", sa.String(), nullable=False),
        sa.Column("adapted_until", Time, nullable=True),
        sa.Column("ended_at", Time, nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
    )
    op.create_index("ix_desensitised_series_series_id", "desensitised_series", ["series_id"])
    op.add_column("alert", sa.Column("offer", sa.String(), nullable=True))
