"""What was stored of a gap when it was declared, to see when wrong points have been replaced."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("gap", sa.Column("known", sa.LargeBinary(), nullable=True))
