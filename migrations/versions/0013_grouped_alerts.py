"""Alerts of several series: what groups them, what a message said of them, and labels that reach all of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0011"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("alert", sa.Column("group_key", sa.String(), nullable=True))
    op.add_column("alert", sa.Column("newest_start", Time, nullable=True))
    op.add_column("alert", sa.Column("lead_series_id", sa.BigInteger(), nullable=True))
    op.add_column("alert", sa.Column("series_count", sa.BigInteger(), nullable=False, server_default="1"))
    op.add_column("alert", sa.Column("growth_to_repeat", sa.Double(), nullable=False, server_default="1"))
    op.create_index("ix_alert_group", "alert", ["group_key", "newest_start"])
    op.add_column("notification", sa.Column("said", sa.JSON(), nullable=True))
    op.add_column("label", sa.Column("of_whole_alert", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute("UPDATE label SET of_whole_alert = (alert_id IS NOT NULL)")
    op.create_table(
        "labelled_series",
        sa.Column("label_id", Id, sa.ForeignKey("label.id"), primary_key=True),
        sa.Column("series_id", Id, sa.ForeignKey("series.id"), primary_key=True),
        sa.Column("started_at", Time, nullable=False),
        sa.Column("ended_at", Time, nullable=False),
        sa.Column("direction", sa.BigInteger(), nullable=False),
        sa.Column("rarity", sa.Double(), nullable=True),
        sa.Column("evidence", sa.JSON(), nullable=True),
    )
    op.create_index("ix_labelled_series_series_id", "labelled_series", ["series_id"])
