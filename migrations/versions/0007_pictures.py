"""Pictures of alerts, kept once they are drawn."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "picture",
        sa.Column("alert_id", Id, sa.ForeignKey("alert.id"), primary_key=True, autoincrement=False),
        sa.Column("until", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("png", sa.LargeBinary(), nullable=False),
        sa.Column("drawn_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_picture_drawn_at", "picture", ["drawn_at"])
