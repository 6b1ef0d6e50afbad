"""Known happenings and lost data, and which alerts an event or a gap explains."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "event",
        sa.Column("id", Id, primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        *_concerned(),
        sa.Column("started_at", Time, nullable=False),
        sa.Column("ended_at", Time, nullable=False),
        sa.Column("timezone", sa.String(), nullable=False),
        sa.Column("rrule", sa.String(), nullable=True),
        sa.Column("also_on", sa.JSON(), nullable=False),
        sa.Column("not_on", sa.JSON(), nullable=False),
        sa.Column("calendar", sa.String(), nullable=True),
        sa.Column("uid", sa.String(), nullable=True),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("label_id", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", Time, nullable=True),
        sa.Column("revoked_by", sa.String(), nullable=True),
        sa.Column("learned_until", Time, nullable=True),
        sa.Column("learned", sa.LargeBinary(), nullable=True),
    )
    op.create_table(
        "gap",
        sa.Column("id", Id, primary_key=True),
        *_concerned(),
        sa.Column("token_id", sa.BigInteger(), nullable=True),
        sa.Column("started_at", Time, nullable=False),
        sa.Column("ended_at", Time, nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("label_id", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", Time, nullable=True),
        sa.Column("revoked_by", sa.String(), nullable=True),
        sa.Column("retrain_when_backfilled", sa.Boolean(), nullable=False),
        sa.Column("known_points", sa.BigInteger(), nullable=False),
        sa.Column("filled_at", Time, nullable=True),
        sa.Column("retrained_at", Time, nullable=True),
    )
    op.add_column("alert", sa.Column("event_id", sa.BigInteger(), nullable=True))
    op.add_column("alert", sa.Column("gap_id", sa.BigInteger(), nullable=True))
    op.create_index("ix_alert_gap_id", "alert", ["gap_id"])
    op.create_index("ix_alert_event_id", "alert", ["event_id"])


def _concerned() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("dimensions", sa.JSON(), nullable=False),
        sa.Column("series_id", sa.BigInteger(), nullable=True),
    )
