"""How many messages a channel takes in ten minutes, and what one message told of together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0021"
branch_labels = None
depends_on = None

TAKE_EACH_ALERT = "('pagerduty', 'alertmanager')"


def upgrade() -> None:
    op.add_column("channel", sa.Column("most_messages", sa.BigInteger(), nullable=True))
    op.execute(f"UPDATE channel SET most_messages = 5 WHERE kind NOT IN {TAKE_EACH_ALERT}")
    op.add_column("notification", sa.Column("told_with", sa.String(36), nullable=True))
    op.create_index("ix_notification_sent", "notification", ["channel_id", "sent_at"])
    op.create_index("ix_notification_told_with", "notification", ["told_with"])
