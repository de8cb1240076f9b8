"""Let a worker tell which version of the tasks' code it has.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the word; a worker that has joined before cannot tell."""
    op.add_column("workers", sa.Column("code_version", sa.Text, nullable=False, server_default=""))
