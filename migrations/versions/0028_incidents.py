"""Storms open few incidents: PagerDuty is given the limit that other channels have."""

from __future__ import annotations

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE channel SET most_messages = 5 WHERE kind = 'pagerduty' AND most_messages IS NULL")
