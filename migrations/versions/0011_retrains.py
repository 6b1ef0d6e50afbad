"""Retrains: jobs that build new baselines, what they decided of each series, and what was there before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0019"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "retrain",
        sa.Column("id", Id, primary_key=True),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("dimensions", sa.JSON(), nullable=False),
        sa.Column("series_id", sa.BigInteger(), nullable=True),
        sa.Column("window_start", Time, nullable=True),
        sa.Column("window_end", Time, nullable=True),
        sa.Column("without", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("force", sa.Boolean(), nullable=False),
        sa.Column("cron", sa.String(), nullable=True),
        sa.Column("timezone", sa.String(), nullable=True),
        sa.Column("schedule_id", Id, sa.ForeignKey("retrain.id"), nullable=True),
        sa.Column("due_at", Time, nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("series_count", sa.BigInteger(), nullable=False),
        sa.Column("done_count", sa.BigInteger(), nullable=False),
        sa.Column("promoted", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("skipped", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("once_key", sa.String(), nullable=True, unique=True),
        sa.Column("asked", sa.String(), nullable=True),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("started_at", Time, nullable=True),
        sa.Column("ended_at", Time, nullable=True),
        sa.Column("cancelled_by", sa.String(), nullable=True),
        sa.Column("rolled_back_at", Time, nullable=True),
        sa.Column("rolled_back_by", sa.String(), nullable=True),
        sa.UniqueConstraint("schedule_id", "due_at"),
    )
    op.create_index("ix_retrain_due", "retrain", ["status", "due_at"])
    op.create_table(
        "retrain_part",
        sa.Column("retrain_id", Id, sa.ForeignKey("retrain.id"), primary_key=True),
        sa.Column("number", sa.BigInteger(), primary_key=True),
        sa.Column("partition", sa.BigInteger(), nullable=False),
        sa.Column("first_series", sa.BigInteger(), nullable=False),
        sa.Column("last_series", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", Time, nullable=False),
        sa.Column("decisions", sa.LargeBinary(), nullable=False),
        sa.Column("before", sa.LargeBinary(), nullable=True),
        sa.Column("baseline_version_id", Id, sa.ForeignKey("baseline_version.id"), nullable=True),
        sa.Column("rolled_back", sa.LargeBinary(), nullable=True),
    )
    op.create_index("ix_retrain_part_partition", "retrain_part", ["partition"])
