"""What a receiver calls a message, so that later ones about the same alert can bring it up to date."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("notification", sa.Column("message", sa.String(), nullable=True))
