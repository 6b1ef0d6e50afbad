"""What a labelled anomaly looked like when it was labelled, so that learning needs nothing but the labels."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("label", sa.Column("evidence", sa.JSON(), nullable=True))
