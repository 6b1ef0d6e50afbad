"""From which cost on an alert is critical, as its policy said when it opened."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alert", sa.Column("critical_impact", sa.Double(), nullable=True))
