"""Make the tables of the spine.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

_FINAL = "('completed', 'failed', 'cancelled', 'expired')"

_COMPLAINT = "no such step from one state to another, and a final task never changes"

_FIXED_WHEN_FINAL = ("state", "result", "error")

# Who may follow whom, besides itself; the final states have no followers.
_FOLLOWERS = {
    "waiting": ("queued", "scheduled", "failed", "cancelled"),
    "scheduled": ("queued", "failed", "cancelled", "expired"),
    "queued": ("running", "failed", "cancelled", "expired"),
    "running": ("completed", "failed", "scheduled", "queued", "cancelled", "waiting"),
}


def upgrade() -> None:
    """Make the tables, their indexes and their guards."""
    _make_tasks()
    _make_indexes_of_tasks()
    _make_what_belongs_to_tasks()
    _make_workers_and_leases()
    _make_people()
    if op.get_bind().dialect.name == "postgresql":
        _guard_on_postgresql()
    else:
        _guard_on_sqlite()


def _make_tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", _key, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("queue", _key, nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("state", _key, nullable=False),
        sa.Column("codec", sa.Text, nullable=False),
        sa.Column("arguments", sa.Text, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("max_attempts", sa.Integer),
        sa.Column("retries", sa.Integer, nullable=False),
        sa.Column("crashes", sa.Integer, nullable=False),
        sa.Column("max_crashes", sa.Integer, nullable=False),
        sa.Column("lease_token", _key),
        sa.Column("worker_id", _key),
        sa.Column("worker", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("not_before", sa.BigInteger),
        sa.Column("queued_at", sa.BigInteger),
        sa.Column("ring_due_at", sa.BigInteger),
        sa.Column("rings", sa.Integer, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("cancel_requested_at", sa.BigInteger),
        sa.Column("last_token", _key),
        sa.Column("last_ending", sa.Text),
        sa.Column("result", sa.Text),
        sa.Column("result_codec", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("is_ignored", sa.Boolean, nullable=False),
        sa.Column("progress", sa.Text),
        sa.Column("upstream_id", _key),
        sa.Column("root_id", _key),
        sa.Column("parent_id", _key),
        sa.Column("group_id", _key),
        sa.Column("group_index", sa.Integer),
        sa.Column("chord_id", _key),
        sa.Column("retry_of", _key),
        sa.Column("submitted_by", _key),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("timeout_seconds", sa.Double),
        sa.Column("soft_timeout_seconds", sa.Double),
        sa.Column("at_most_once", sa.Boolean, nullable=False),
        sa.Column("ignore_result", sa.Boolean, nullable=False),
        *_checks_of_tasks(),
    )


def _checks_of_tasks() -> list[sa.CheckConstraint]:
    rules = {
        "tasks_state_is_known": "state IN ('waiting', 'scheduled', 'queued', 'running',"
        " 'completed', 'failed', 'cancelled', 'expired')",
        "tasks_running_is_leased": "(state = 'running') = (lease_token IS NOT NULL)",
        "tasks_running_has_a_worker": "(state = 'running') = (worker_id IS NOT NULL)",
        "tasks_final_is_finished": f"(state IN {_FINAL}) = (finished_at IS NOT NULL)",
        "tasks_waiting_has_an_upstream": "(state = 'waiting') = (upstream_id IS NOT NULL)",
        "tasks_scheduled_has_a_time": "state <> 'scheduled' OR not_before IS NOT NULL",
        "tasks_queued_will_be_rung": "state <> 'queued' OR ring_due_at IS NOT NULL",
        "tasks_priority_is_in_bounds": "priority BETWEEN 0 AND 9",
        "tasks_id_is_not_empty": "id <> ''",
    }
    return [sa.CheckConstraint(rule, name=name) for name, rule in rules.items()]


def _make_indexes_of_tasks() -> None:
    _index("tasks_queued", "state = 'queued'", "queue", "priority DESC", "created_at")
    _index("tasks_ring_due", "state = 'queued'", "ring_due_at")
    _index("tasks_scheduled", "state = 'scheduled'", "not_before")
    _index("tasks_running", "state = 'running'", "worker_id")
    _index("tasks_waiting", "state = 'waiting'", "upstream_id")
    _index("tasks_expiring", "expires_at IS NOT NULL AND finished_at IS NULL", "expires_at")
    _index("tasks_of_chord", "chord_id IS NOT NULL", "chord_id", "group_index")
    _index(
        "tasks_of_submitter",
        "submitted_by IS NOT NULL",
        "submitted_by",
        "created_at DESC",
        "id DESC",
    )
    op.create_index("tasks_newest", "tasks", [sa.text("created_at DESC"), sa.text("id DESC")])


def _index(name: str, condition: str, *columns: str) -> None:
    op.create_index(
        name,
        "tasks",
        [sa.text(column) for column in columns],
        sqlite_where=sa.text(condition),
        postgresql_where=sa.text(condition),
    )


def _make_what_belongs_to_tasks() -> None:
    op.create_table(
        "attempts",
        sa.Column("task_id", _key, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("lease_token", _key, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger, nullable=False),
        sa.Column("ending", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "chords",
        sa.Column("id", _key, primary_key=True),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("remaining", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.CheckConstraint("size >= 1", name="chords_have_a_part"),
    )


def _make_workers_and_leases() -> None:
    op.create_table(
        "workers",
        sa.Column("id", _key, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("queues", sa.Text, nullable=False),
        sa.Column("machine", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("process_started", sa.Text, nullable=False),
        sa.Column("pool", sa.Text, nullable=False),
        sa.Column("slots", sa.Integer, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("heartbeat_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("name", _key, primary_key=True),
        sa.Column("holder", _key, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
    )


def _make_people() -> None:
    roles = "role IN ('viewer', 'submitter', 'operator', 'admin')"
    op.create_table(
        "users",
        sa.Column("name", _key, primary_key=True),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("token_version", sa.Integer, nullable=False),
        sa.Column("is_disabled", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.CheckConstraint(roles, name="users_role_is_known"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", _key, primary_key=True),
        sa.Column("user_name", _key, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("key_hash", _key, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("last_used_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
        sa.CheckConstraint(roles, name="api_keys_role_is_known"),
    )
    op.create_index("api_keys_hash", "api_keys", ["key_hash"], unique=True)
    op.create_index("api_keys_user", "api_keys", ["user_name"])
    op.create_table(
        "audit",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
    )
    op.create_table(
        "settings",
        sa.Column("name", _key, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("updated_by", sa.Text),
    )


def _refusal() -> str:
    """Return the condition under which a change of a task's state, result or error is wrong.

    Spelled out with CASE and OR: an IN list of more than two words costs SQLite, in a trigger, a
    table of its own at every row.
    """
    cases = " ".join(
        f"WHEN OLD.state = '{state}' THEN NOT ("
        + " OR ".join(f"NEW.state = '{other}'" for other in (*others, state))
        + ")"
        for state, others in _FOLLOWERS.items()
    )
    # Whatever is not named above is final.
    final = " OR ".join(f"OLD.{name} IS DISTINCT FROM NEW.{name}" for name in _FIXED_WHEN_FINAL)
    return f"CASE {cases} ELSE {final} END"


def _guard_on_sqlite() -> None:
    # AFTER: before it, SQLite would have to read the row a second time. The statement is undone.
    condition = _refusal().replace("IS DISTINCT FROM", "IS NOT")
    op.execute(
        "CREATE TRIGGER tasks_steps AFTER UPDATE OF state, result, error ON tasks"
        f" WHEN {condition}"
        f" BEGIN SELECT RAISE(ABORT, '{_COMPLAINT}'); END"
    )


def _guard_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION celeriac_refuse_step() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" RAISE EXCEPTION '{_COMPLAINT}' USING ERRCODE = 'check_violation'; END $$"
    )
    op.execute(
        "CREATE TRIGGER tasks_steps BEFORE UPDATE OF state, result, error ON tasks"
        f" FOR EACH ROW WHEN ({_refusal()}) EXECUTE FUNCTION celeriac_refuse_step()"
    )
