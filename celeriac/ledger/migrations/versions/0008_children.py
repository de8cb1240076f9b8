"""Find a task's children by an index.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_PARENTED = sa.text("parent_id IS NOT NULL")


def upgrade() -> None:
    """Index those tasks that another one has sent; most were sent by nobody's."""
    op.create_index(
        "tasks_of_parent",
        "tasks",
        ["parent_id"],
        sqlite_where=_PARENTED,
        postgresql_where=_PARENTED,
    )
