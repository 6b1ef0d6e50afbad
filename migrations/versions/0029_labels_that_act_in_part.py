"""A label may act on some of what its verdict acts on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("label", sa.Column("only", sa.String(), nullable=True))
