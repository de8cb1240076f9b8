"""Keep account of the files that tasks take and give back.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the table; no task could take a file before, so it is empty."""
    op.create_table(
        "file_holders",
        sa.Column("file_id", _key, primary_key=True),
        sa.Column("holder_id", _key, primary_key=True),
        sqlite_with_rowid=False,
    )
