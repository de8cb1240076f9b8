"""Keep which queues are paused.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make a table with a row for each queue that is paused."""
    op.create_table(
        "paused_queues",
        sa.Column("name", _key, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("paused_by", sa.Text),
        sa.Column("paused_at", sa.BigInteger, nullable=False),
    )
