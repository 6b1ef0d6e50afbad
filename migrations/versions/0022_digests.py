"""Alerts that wait for a digest, whose budget they count for, and from which change on they are critical."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alert", sa.Column("policy", sa.String(), nullable=True))
    op.add_column("alert", sa.Column("daily_digest", sa.String(), nullable=True))
    op.add_column("alert", sa.Column("critical_change", sa.Double(), nullable=True))
    op.create_index("ix_alert_status", "alert", ["status", "kind"])
