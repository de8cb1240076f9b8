"""Let a key have rights of its own instead of a role.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table of keys anew: nothing could give out a key before, so it is empty."""
    op.drop_table("api_keys")
    op.create_table(
        "api_keys",
        sa.Column("id", _key, primary_key=True),
        sa.Column("user_name", _key, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("key_hash", _key, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("task_patterns", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("last_used_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
    )
    op.create_index("api_keys_hash", "api_keys", ["key_hash"], unique=True)
    op.create_index("api_keys_user", "api_keys", ["user_name"])
