"""A link to snooze an alert does so once: when somebody last snoozed it, or ended that, is known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alert", sa.Column("snooze_changed_at", sa.DateTime(timezone=True), nullable=True))
