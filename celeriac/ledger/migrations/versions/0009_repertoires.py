"""Let a worker tell which task names it knows.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add them; a worker that has joined before, or is of an older version, cannot tell."""
    op.create_table(
        "repertoires",
        sa.Column("digest", _key, primary_key=True),
        sa.Column("names", sa.Text, nullable=False),
        sa.Column("joined_at", sa.BigInteger, nullable=False),
    )
    op.add_column("workers", sa.Column("repertoire", sa.Text, nullable=False, server_default=""))
