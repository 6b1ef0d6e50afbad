"""The first tables: tokens, series, points, baselines, alerts, channels, notifications, labels, job slots."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite gives out ids only to a plain INTEGER
Time = sa.DateTime(timezone=True)
COMPRESSED = {"log_batch": ("columns",), "tile": ("values", "scores"), "state_block": ("arrays",)}


def upgrade() -> None:
    op.create_table(
        "installation",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("value", sa.String(), nullable=False),
    )
    op.create_table(
        "token",
        sa.Column("id", Id, primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False, unique=True),
        sa.Column("new_series_limit", sa.BigInteger(), nullable=False),
        sa.Column("new_series_count", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("revoked_at", Time),
    )
    op.create_table(
        "series",
        sa.Column("id", Id, primary_key=True),
        sa.Column("key", sa.LargeBinary(16), nullable=False, unique=True),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("dimensions", sa.JSON(), nullable=False),
        sa.Column("partition", sa.BigInteger(), nullable=False),
        sa.Column("slot", sa.BigInteger(), nullable=False),
        sa.Column("timezone", sa.String(), nullable=False),
        sa.Column("cadence_seconds", sa.BigInteger(), nullable=False),
        sa.Column("token_id", Id, sa.ForeignKey("token.id")),
        sa.Column("created_at", Time, nullable=False),
        sa.UniqueConstraint("partition", "slot"),
    )
    op.create_index("ix_series_metric", "series", ["metric"])
    op.create_table(
        "log_batch",
        sa.Column("id", Id, primary_key=True),
        sa.Column("partition", sa.BigInteger(), nullable=False),
        sa.Column("batch_id", sa.String(64), nullable=False),
        sa.Column("received_at", Time, nullable=False),
        sa.Column("point_count", sa.BigInteger(), nullable=False),
        sa.Column("first_timestamp", sa.BigInteger(), nullable=False),
        sa.Column("last_timestamp", sa.BigInteger(), nullable=False),
        sa.Column("columns", sa.LargeBinary(), nullable=False),
        sa.UniqueConstraint("partition", "batch_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tile_group",
        sa.Column("id", Id, primary_key=True),
        sa.Column("partition", sa.BigInteger(), nullable=False),
        sa.Column("cadence_seconds", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_tile_group_partition", "tile_group", ["partition"])
    op.create_table(
        "tile_member",
        sa.Column("group_id", Id, sa.ForeignKey("tile_group.id"), primary_key=True),
        sa.Column("row", sa.BigInteger(), primary_key=True),
        sa.Column("series_id", Id, sa.ForeignKey("series.id"), nullable=False, unique=True),
    )
    op.create_table(
        "tile",
        sa.Column("group_id", Id, sa.ForeignKey("tile_group.id"), primary_key=True),
        sa.Column("start", sa.BigInteger(), primary_key=True),
        sa.Column("values", sa.LargeBinary(), nullable=False),
        sa.Column("scores", sa.LargeBinary()),
    )
    op.create_table(
        "baseline_version",
        sa.Column("id", Id, primary_key=True),
        sa.Column("partition", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("series_count", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "state_block",
        sa.Column("partition", sa.BigInteger(), primary_key=True),
        sa.Column("block", sa.BigInteger(), primary_key=True),
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("arrays", sa.LargeBinary(), nullable=False),
        sa.Column("baseline_version_id", Id, sa.ForeignKey("baseline_version.id")),
    )
    op.create_table(
        "alert",
        sa.Column("id", Id, primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("started_at", Time, nullable=False),
        sa.Column("ended_at", Time),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("acknowledged_at", Time),
        sa.Column("acknowledged_by", sa.String()),
        sa.Column("snoozed_until", Time),
        sa.Column("delivery", sa.String(), nullable=False),
    )
    op.create_index("ix_alert_started_at", "alert", ["started_at"])
    op.create_table(
        "anomaly",
        sa.Column("id", Id, primary_key=True),
        sa.Column("series_id", Id, sa.ForeignKey("series.id"), nullable=False),
        sa.Column("alert_id", Id, sa.ForeignKey("alert.id")),
        sa.Column("started_at", Time, nullable=False),
        sa.Column("last_abnormal_at", Time, nullable=False),
        sa.Column("ended_at", Time),
        sa.Column("direction", sa.BigInteger(), nullable=False),
        sa.Column("rarity", sa.Double(), nullable=False),
        sa.Column("peak_at", Time, nullable=False),
        sa.Column("actual", sa.Double(), nullable=False),
        sa.Column("expected", sa.Double()),
        sa.Column("lower", sa.Double()),
        sa.Column("upper", sa.Double()),
        sa.Column("impact", sa.Double(), nullable=False),
        sa.Column("point_count", sa.BigInteger(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("detector", sa.String(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.UniqueConstraint("series_id", "started_at"),
    )
    op.create_index("ix_anomaly_alert", "anomaly", ["alert_id"])
    op.create_index("ix_anomaly_started_at", "anomaly", ["started_at"])
    op.create_table(
        "channel",
        sa.Column("id", Id, primary_key=True),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("secrets", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("disabled_at", Time),
        sa.Column("disabled_reason", sa.String()),
        sa.Column("not_before", Time),
    )
    op.create_table(
        "notification",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("alert_id", Id, sa.ForeignKey("alert.id"), nullable=False),
        sa.Column("channel_id", Id, sa.ForeignKey("channel.id"), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("next_attempt_at", Time, nullable=False),
        sa.Column("leased_until", Time),
        sa.Column("lease_epoch", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("sent_at", Time),
        sa.Column("error", sa.String()),
        sa.UniqueConstraint("alert_id", "channel_id", "step"),
    )
    op.create_index("ix_notification_due", "notification", ["status", "next_attempt_at"])
    op.create_table(
        "label",
        sa.Column("id", Id, primary_key=True),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("series_id", Id, sa.ForeignKey("series.id"), nullable=False),
        sa.Column("alert_id", Id, sa.ForeignKey("alert.id")),
        sa.Column("started_at", Time, nullable=False),
        sa.Column("ended_at", Time, nullable=False),
        sa.Column("direction", sa.BigInteger(), nullable=False),
        sa.Column("rarity", sa.Double()),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("comment", sa.String()),
        sa.Column("once_key", sa.String(), unique=True),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("revoked_at", Time),
        sa.Column("revoked_by", sa.String()),
        sa.Column("receipt", sa.JSON(), nullable=False),
    )
    op.create_index("ix_label_alert_id", "label", ["alert_id"])
    op.create_index("ix_label_series_id", "label", ["series_id"])
    op.create_table(
        "job_slot",
        sa.Column("schedule", sa.String(), primary_key=True),
        sa.Column("slot", Time, primary_key=True),
        sa.Column("taken_at", Time, nullable=False),
        sa.Column("finished_at", Time),
        sa.Column("outcome", sa.String()),
    )

    if op.get_bind().dialect.name == "postgresql":
        keep_compressed_columns_as_they_are()


def keep_compressed_columns_as_they_are() -> None:
    """Spare PostgreSQL from compressing again what is compressed already."""
    for table, columns in COMPRESSED.items():
        for column in columns:
            op.execute(f'ALTER TABLE {table} ALTER COLUMN "{column}" SET STORAGE EXTERNAL')
