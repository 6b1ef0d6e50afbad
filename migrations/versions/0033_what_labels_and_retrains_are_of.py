"""Labels keep what was asked for and whether it is done; the retrain of a gap is about the series of that gap."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("retrain", sa.Column("gap_id", sa.BigInteger(), nullable=True))
    op.add_column("label", sa.Column("asked", sa.String(), nullable=True))
    op.add_column("label", sa.Column("wanted", sa.JSON(), nullable=True))
    op.add_column("label", sa.Column("unfinished", sa.Boolean(), nullable=False, server_default=sa.false()))
