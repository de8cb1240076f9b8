"""The tables as they stand after the newest migration.

The hot statements are compiled once and run without SQLAlchemy's type processing, so every column
holds what the database itself gives back: moments are whole microseconds (`core.moments`), JSON is
text, states are words.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)

metadata = MetaData()

# Byte order: quicker than a language's, and the order in which Python sorts what will be locked.
Key = Text().with_variant(Text(collation="C"), "postgresql")

FINAL_STATES_SQL = "('completed', 'failed', 'cancelled', 'expired')"

tasks = Table(
    "tasks",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", Text, nullable=False),
    Column("queue", Key, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("state", Key, nullable=False),
    Column("codec", Text, nullable=False),
    Column("arguments", Text, nullable=False),
    Column("headers", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("max_attempts", Integer),
    Column("retries", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("max_crashes", Integer, nullable=False),
    Column("lease_token", Key),
    # Which start of a worker holds it, while it runs.
    Column("worker_id", Key),
    # The name of the worker that holds or last held it, for people.
    Column("worker", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("not_before", BigInteger),
    Column("queued_at", BigInteger),
    Column("ring_due_at", BigInteger),
    Column("rings", Integer, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("expires_at", BigInteger),
    Column("cancel_requested_at", BigInteger),
    # Under which lease its last attempt ran and how that ended: set when the task ends, so that the
    # most frequent end, of a first attempt, needs no row of `attempts` beside the task's own.
    Column("last_token", Key),
    Column("last_ending", Text),
    Column("result", Text),
    Column("result_codec", Text, nullable=False),
    Column("error", Text),
    Column("is_ignored", Boolean, nullable=False),
    Column("progress", Text),
    Column("upstream_id", Key),
    Column("root_id", Key),
    Column("parent_id", Key),
    Column("group_id", Key),
    Column("group_index", Integer),
    Column("chord_id", Key),
    Column("retry_of", Key),
    Column("submitted_by", Key),
    Column("tags", Text, nullable=False),
    Column("timeout_seconds", Double),
    Column("soft_timeout_seconds", Double),
    Column("at_most_once", Boolean, nullable=False),
    Column("ignore_result", Boolean, nullable=False),
    CheckConstraint(
        "state IN ('waiting', 'scheduled', 'queued', 'running',"
        " 'completed', 'failed', 'cancelled', 'expired')",
        name="tasks_state_is_known",
    ),
    CheckConstraint(
        "(state = 'running') = (lease_token IS NOT NULL)", name="tasks_running_is_leased"
    ),
    CheckConstraint(
        "(state = 'running') = (worker_id IS NOT NULL)", name="tasks_running_has_a_worker"
    ),
    CheckConstraint(
        f"(state IN {FINAL_STATES_SQL}) = (finished_at IS NOT NULL)", name="tasks_final_is_finished"
    ),
    CheckConstraint(
        "(state = 'waiting') = (upstream_id IS NOT NULL)", name="tasks_waiting_has_an_upstream"
    ),
    CheckConstraint(
        "state <> 'scheduled' OR not_before IS NOT NULL", name="tasks_scheduled_has_a_time"
    ),
    CheckConstraint(
        "state <> 'queued' OR ring_due_at IS NOT NULL", name="tasks_queued_will_be_rung"
    ),
    CheckConstraint("priority BETWEEN 0 AND 9", name="tasks_priority_is_in_bounds"),
    CheckConstraint("id <> ''", name="tasks_id_is_not_empty"),
)


def _partial(name: str, condition: str, *columns: str) -> Index:
    return Index(
        name,
        *(text(column) for column in columns),
        sqlite_where=text(condition),
        postgresql_where=text(condition),
        _table=tasks,
    )


# Only what a query needs, and partial: a completed row is in two of these.
_partial("tasks_queued", "state = 'queued'", "queue", "priority DESC", "created_at")
_partial("tasks_ring_due", "state = 'queued'", "ring_due_at")
_partial("tasks_scheduled", "state = 'scheduled'", "not_before")
_partial("tasks_running", "state = 'running'", "worker_id")
_partial("tasks_waiting", "state = 'waiting'", "upstream_id")
_partial("tasks_expiring", "expires_at IS NOT NULL AND finished_at IS NULL", "expires_at")
_partial("tasks_of_parent", "parent_id IS NOT NULL", "parent_id")
_partial(
    "tasks_of_submitter",
    "submitted_by IS NOT NULL",
    "submitted_by",
    "created_at DESC",
    "id DESC",
)
Index("tasks_newest", text("created_at DESC"), text("id DESC"), _table=tasks)

# Ended attempts, but for the last of a task that has ended: that one stands in the task's row.
attempts = Table(
    "attempts",
    metadata,
    Column("task_id", Key, primary_key=True),
    Column("number", Integer, primary_key=True),
    # Under which lease it ran: by this a completion that is said twice is known again.
    Column("lease_token", Key, nullable=False),
    Column("worker", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger, nullable=False),
    Column("ending", Text, nullable=False),
    Column("error", Text),
    sqlite_with_rowid=False,
)

chords = Table(
    "chords",
    metadata,
    Column("id", Key, primary_key=True),
    Column("size", Integer, nullable=False),
    # Parts whose end is still to come.
    Column("remaining", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    CheckConstraint("size >= 1", name="chords_have_a_part"),
)

# Which row speaks of which file: a task's, or a chord's that has not fired.
file_holders = Table(
    "file_holders",
    metadata,
    Column("file_id", Key, primary_key=True),
    Column("holder_id", Key, primary_key=True),
    sqlite_with_rowid=False,
)

# What may be done once only for a while, and what stands for those who want it again.
reservations = Table(
    "reservations",
    metadata,
    # SHA-256 in hexadecimal digits, of who reserved what.
    Column("id", Key, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    # What was answered, or else the task that stands for others.
    Column("answer", Text),
    Column("task_id", Key),
    Column("expires_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
Index("reservations_expiring", reservations.c.expires_at)

workers = Table(
    "workers",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", Text, nullable=False),
    Column("queues", Text, nullable=False),
    Column("machine", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("process_started", Text, nullable=False),
    Column("pool", Text, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("code_version", Text, nullable=False),
    # Which of `repertoires` it has; empty when nobody can tell.
    Column("repertoire", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("heartbeat_at", BigInteger, nullable=False),
)

# The task names that workers know: once for all workers that know the same.
repertoires = Table(
    "repertoires",
    metadata,
    # Made of the names, so that a row never changes.
    Column("digest", Key, primary_key=True),
    Column("names", Text, nullable=False),
    # When the last worker joined with it.
    Column("joined_at", BigInteger, nullable=False),
)

# Nothing of these is begun until somebody resumes them.
paused_queues = Table(
    "paused_queues",
    metadata,
    Column("name", Key, primary_key=True),
    Column("reason", Text, nullable=False),
    # A user's name; null when a program did it by itself.
    Column("paused_by", Text),
    Column("paused_at", BigInteger, nullable=False),
)

# Who leads: one row for each thing that has one leader.
leases = Table(
    "leases",
    metadata,
    Column("name", Key, primary_key=True),
    Column("holder", Key, nullable=False),
    Column("sequence", BigInteger, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("name", Key, primary_key=True),
    Column("password_hash", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("token_version", Integer, nullable=False),
    Column("is_disabled", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    CheckConstraint(
        "role IN ('viewer', 'submitter', 'operator', 'admin')", name="users_role_is_known"
    ),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Key, primary_key=True),
    Column("user_name", Key, nullable=False),
    Column("label", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    # SHA-256 of the key: it is random and long, so it needs no slow hash.
    Column("key_hash", Key, nullable=False),
    # JSON arrays of texts, sorted.
    Column("scopes", Text, nullable=False),
    Column("task_patterns", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("last_used_at", BigInteger),
    Column("revoked_at", BigInteger),
)
Index("api_keys_hash", api_keys.c.key_hash, unique=True)
Index("api_keys_user", api_keys.c.user_name)

audit = Table(
    "audit",
    metadata,
    # SQLite counts up by itself only a column of exactly this type.
    Column(
        "id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("facts", Text, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("name", Key, primary_key=True),
    Column("value", Text, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("updated_by", Text),
)
