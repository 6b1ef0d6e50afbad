"""Which channels hear of an alert, and who else does if nobody looks after it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0013"
branch_labels = None
depends_on = None

Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("alert", sa.Column("channels", sa.JSON(), nullable=True))
    op.add_column("alert", sa.Column("escalate_to", sa.JSON(), nullable=True))
    op.add_column("alert", sa.Column("escalate_after_seconds", sa.BigInteger(), nullable=True))
    op.add_column("alert", sa.Column("escalate_at", Time, nullable=True))
    op.add_column("alert", sa.Column("escalated_at", Time, nullable=True))
