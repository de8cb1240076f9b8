"""Drop an index that no query needs: a chord's parts are read by their ids.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Leave a chord's parts with one index less to write."""
    op.drop_index("tasks_of_chord", "tasks")
