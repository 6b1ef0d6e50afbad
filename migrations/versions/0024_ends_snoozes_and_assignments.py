"""Why an anomaly is over and where it was then; what ends a snooze without a time; who looks after an alert."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0022"
branch_labels = None
depends_on = None

Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("anomaly", sa.Column("end_reason", sa.String(), nullable=True))
    op.add_column("anomaly", sa.Column("latest", sa.Double(), nullable=True))
    op.add_column("alert", sa.Column("snoozed_for", sa.String(), nullable=True))
    op.add_column("alert", sa.Column("snoozed_at_extent", sa.JSON(), nullable=True))
    op.add_column("alert", sa.Column("assigned_to", sa.String(), nullable=True))
    op.add_column("alert", sa.Column("assigned_by", sa.String(), nullable=True))
    op.add_column("alert", sa.Column("assigned_at", Time, nullable=True))
