"""The tables, and the steps from each version of them to the next. ``PRAGMA user_version`` is the version of a file.

A released migration is never edited: append one. Each runs in one transaction, so a file is at one version or the next.
"""

from __future__ import annotations

import sqlite3

from workflow_runtime.model.errors import StorageError

from .location import Location

__all__ = ["MIGRATIONS", "VERSION", "check", "migrate"]

# ``touched`` (since version 2 ``touched_seq``) is the seq at which a run was last written without moving on, ``changes``
# counts its writes (``rules.wake_after``). What is appended and looked up by its key is clustered by it; runs, whose
# payload is large and rewritten, are not. Their ``data`` comes after all columns that a commit reads: reading those leaves
# the pages it overflows to alone.
_FIRST = """
CREATE TABLE workflow_runs (
    run_id TEXT NOT NULL UNIQUE,
    session_id TEXT NOT NULL,
    status TEXT NOT NULL,
    user_id TEXT,
    workflow_id TEXT,
    workflow_name TEXT,
    parent_run_id TEXT,
    attempt INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    owner TEXT,
    lease_until REAL,
    cancel_requested INTEGER NOT NULL,
    forked_from TEXT,
    touched INTEGER NOT NULL,
    changes INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE INDEX workflow_runs_by_session ON workflow_runs (session_id, status, created_at, run_id);
CREATE INDEX workflow_runs_by_status ON workflow_runs (status, created_at, run_id);
CREATE INDEX workflow_runs_by_user ON workflow_runs (user_id, created_at, run_id) WHERE user_id IS NOT NULL;
CREATE INDEX workflow_runs_by_workflow ON workflow_runs (workflow_id, created_at, run_id) WHERE workflow_id IS NOT NULL;
CREATE INDEX workflow_runs_by_parent ON workflow_runs (parent_run_id, created_at, run_id)
    WHERE parent_run_id IS NOT NULL;
CREATE INDEX workflow_runs_to_cancel ON workflow_runs (owner) WHERE cancel_requested = 1;
CREATE INDEX workflow_runs_by_lease ON workflow_runs (lease_until) WHERE lease_until IS NOT NULL;

CREATE TABLE workflow_steps (
    run_id TEXT NOT NULL,
    path TEXT NOT NULL,
    position INTEGER NOT NULL,
    status TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    started_at REAL,
    finished_at REAL,
    data BLOB,
    state BLOB,
    PRIMARY KEY (run_id, path)
) WITHOUT ROWID;

CREATE TABLE workflow_events (
    run_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    kind TEXT NOT NULL,
    path TEXT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (run_id, seq)
) WITHOUT ROWID;

CREATE TABLE workflow_requirements (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL,
    requirement_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    user_id TEXT,
    workflow_id TEXT,
    path TEXT NOT NULL,
    kind TEXT NOT NULL,
    created_at REAL NOT NULL,
    timeout_at REAL,
    answered_at REAL,
    data BLOB NOT NULL,
    UNIQUE (run_id, requirement_id)
);
CREATE INDEX workflow_requirements_open ON workflow_requirements (created_at, number) WHERE answered_at IS NULL;
CREATE INDEX workflow_requirements_of_session ON workflow_requirements (session_id, created_at, number)
    WHERE answered_at IS NULL;

CREATE TABLE workflow_sessions (
    session_id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT,
    workflow_id TEXT,
    workflow_name TEXT,
    name TEXT,
    version INTEGER NOT NULL,
    metrics BLOB,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX workflow_sessions_by_time ON workflow_sessions (created_at, session_id);
CREATE INDEX workflow_sessions_by_user ON workflow_sessions (user_id, created_at, session_id) WHERE user_id IS NOT NULL;
CREATE INDEX workflow_sessions_by_workflow ON workflow_sessions (workflow_id, created_at, session_id)
    WHERE workflow_id IS NOT NULL;

-- part 0: the session's state by key; part 1: its metadata and workflow_data, so that a checkpoint rewrites neither.
CREATE TABLE workflow_session_values (
    session_id TEXT NOT NULL,
    part INTEGER NOT NULL,
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (session_id, part, name)
) WITHOUT ROWID;

CREATE TABLE workflow_locks (
    name TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    held_until REAL NOT NULL
) WITHOUT ROWID;
"""

_TOO_OLD = (
    "RAISE(FAIL, 'a newer version of workflow-runtime has migrated this file; stop this process, upgrade the package "
    "workflow-runtime, and start it again')"
)

# Signals, questions that are used up or withdrawn, and what deaths, queues, edits and deletions need. Answers that were
# given before the last question was asked had been used: a walk that used answers ended the run or asked again. Answers
# and requests to cancel that nobody has acted on get the signal that they would have now.
_SECOND = f"""
CREATE TABLE workflow_signals (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    data BLOB NOT NULL,
    created_at REAL NOT NULL,
    taken_at REAL
);
CREATE INDEX workflow_signals_waiting ON workflow_signals (run_id) WHERE taken_at IS NULL;

ALTER TABLE workflow_requirements ADD COLUMN used_at REAL;
ALTER TABLE workflow_requirements ADD COLUMN withdrawn_at REAL;
UPDATE workflow_requirements SET used_at = answered_at WHERE answered_at < (
    SELECT max(created_at) FROM workflow_requirements AS other WHERE other.run_id = workflow_requirements.run_id
);
DROP INDEX workflow_requirements_open;
DROP INDEX workflow_requirements_of_session;
CREATE INDEX workflow_requirements_open ON workflow_requirements (created_at, requirement_id)
    WHERE answered_at IS NULL AND withdrawn_at IS NULL;
CREATE INDEX workflow_requirements_of_session ON workflow_requirements (session_id, created_at, requirement_id)
    WHERE answered_at IS NULL AND withdrawn_at IS NULL;
CREATE INDEX workflow_requirements_of_workflow ON workflow_requirements (workflow_id, created_at, requirement_id)
    WHERE answered_at IS NULL AND withdrawn_at IS NULL AND workflow_id IS NOT NULL;
CREATE INDEX workflow_requirements_of_user ON workflow_requirements (user_id, created_at, requirement_id)
    WHERE answered_at IS NULL AND withdrawn_at IS NULL AND user_id IS NOT NULL;
CREATE INDEX workflow_requirements_due ON workflow_requirements (workflow_id, timeout_at)
    WHERE answered_at IS NULL AND withdrawn_at IS NULL AND timeout_at IS NOT NULL;

INSERT INTO workflow_signals (run_id, kind, data, created_at)
    SELECT run_id, 'cancel', x'7b7d', updated_at FROM workflow_runs
    WHERE cancel_requested = 1 AND status IN ('PENDING', 'RUNNING', 'PAUSED') ORDER BY updated_at, run_id;
INSERT INTO workflow_signals (run_id, kind, data, created_at)
    SELECT run_id, 'answered', x'7b7d', max(answered_at) FROM workflow_requirements
    WHERE answered_at IS NOT NULL AND used_at IS NULL
    AND run_id IN (SELECT run_id FROM workflow_runs WHERE status = 'PAUSED')
    GROUP BY run_id ORDER BY max(answered_at), run_id;

ALTER TABLE workflow_runs ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workflow_runs ADD COLUMN queue TEXT;
ALTER TABLE workflow_runs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workflow_runs ADD COLUMN not_before REAL;
ALTER TABLE workflow_runs ADD COLUMN commit_id TEXT;
ALTER TABLE workflow_runs ADD COLUMN traceback BLOB;
-- What pruning looks for: when a run ended, and what has been deleted of it (1: text, 2: events, 3: kept for its forks).
ALTER TABLE workflow_runs ADD COLUMN ended_at REAL;
ALTER TABLE workflow_runs ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;
UPDATE workflow_runs SET ended_at = updated_at WHERE status IN ('COMPLETED', 'ERROR', 'CANCELLED', 'REGENERATED');
CREATE INDEX workflow_runs_by_end ON workflow_runs (ifnull(workflow_id, ''), pruned, ended_at, run_id)
    WHERE ended_at IS NOT NULL;
CREATE INDEX workflow_runs_by_origin ON workflow_runs (forked_from) WHERE forked_from IS NOT NULL;
DROP INDEX workflow_runs_to_cancel;
DROP INDEX workflow_runs_by_user;
DROP INDEX workflow_runs_by_workflow;
CREATE INDEX workflow_runs_by_user ON workflow_runs (user_id, status, created_at, run_id) WHERE user_id IS NOT NULL;
CREATE INDEX workflow_runs_by_workflow ON workflow_runs (workflow_id, status, created_at, run_id)
    WHERE workflow_id IS NOT NULL;
CREATE INDEX workflow_runs_queued ON workflow_runs (queue, priority, created_at)
    WHERE queue IS NOT NULL AND owner IS NULL AND status = 'PENDING';
ALTER TABLE workflow_steps ADD COLUMN edits BLOB;
ALTER TABLE workflow_sessions ADD COLUMN commit_id TEXT;
CREATE TABLE workflow_deletions (
    session_id TEXT NOT NULL PRIMARY KEY,
    deleted_at REAL NOT NULL
) WITHOUT ROWID;

-- A process of version 1 that has the file open is refused. Its runs are taken away from it, as by a take-over; the
-- columns that its other statements write are there for it alone, and for triggers that say what to do. This version
-- never names them, so that its own updates meet no trigger.
UPDATE workflow_runs SET attempt = attempt + 1 WHERE status IN ('PENDING', 'RUNNING');
ALTER TABLE workflow_runs RENAME COLUMN touched TO touched_seq;
ALTER TABLE workflow_runs ADD COLUMN touched INTEGER NOT NULL DEFAULT -1;
ALTER TABLE workflow_sessions RENAME COLUMN version TO revision;
ALTER TABLE workflow_sessions ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workflow_locks RENAME COLUMN held_until TO held_to;
ALTER TABLE workflow_locks ADD COLUMN held_until REAL;
CREATE TRIGGER workflow_runs_insert BEFORE INSERT ON workflow_runs WHEN NEW.touched >= 0 BEGIN SELECT {_TOO_OLD}; END;
CREATE TRIGGER workflow_runs_update BEFORE UPDATE OF touched ON workflow_runs BEGIN SELECT {_TOO_OLD}; END;
CREATE TRIGGER workflow_sessions_insert BEFORE INSERT ON workflow_sessions WHEN NEW.version > 0
    BEGIN SELECT {_TOO_OLD}; END;
CREATE TRIGGER workflow_sessions_update BEFORE UPDATE OF version ON workflow_sessions BEGIN SELECT {_TOO_OLD}; END;
CREATE TRIGGER workflow_locks_insert BEFORE INSERT ON workflow_locks WHEN NEW.held_until IS NOT NULL
    BEGIN SELECT {_TOO_OLD}; END;
-- A DELETE names no columns: whoever deletes says so here first, in the same transaction.
CREATE TABLE workflow_deleting (allowed INTEGER NOT NULL);
INSERT INTO workflow_deleting VALUES (0);
CREATE TRIGGER workflow_runs_delete BEFORE DELETE ON workflow_runs WHEN NOT (SELECT allowed FROM workflow_deleting)
    BEGIN SELECT {_TOO_OLD}; END;
CREATE TRIGGER workflow_sessions_delete BEFORE DELETE ON workflow_sessions
    WHEN NOT (SELECT allowed FROM workflow_deleting) BEGIN SELECT {_TOO_OLD}; END;
CREATE TRIGGER workflow_events_delete BEFORE DELETE ON workflow_events
    WHEN NOT (SELECT allowed FROM workflow_deleting) BEGIN SELECT {_TOO_OLD}; END;
"""

# Runs of which only the id is stored; deleted runs whose other rows are still to be deleted (``commits.sweep``); messages.
_THIRD = """
ALTER TABLE workflow_runs ADD COLUMN reserved INTEGER NOT NULL DEFAULT 0;
CREATE TABLE workflow_garbage (run_id TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;
CREATE INDEX workflow_deletions_by_time ON workflow_deletions (deleted_at);
CREATE TABLE workflow_messages (
    run_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    created_at REAL NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (run_id, number),
    UNIQUE (run_id, message_id)
) WITHOUT ROWID;
-- Events that are to be sent to webhooks; without a due_at it is dead.
CREATE TABLE workflow_deliveries (
    hook TEXT NOT NULL,
    run_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    workflow_id TEXT NOT NULL,
    created_at REAL NOT NULL,
    attempts INTEGER NOT NULL,
    due_at REAL,
    error TEXT,
    PRIMARY KEY (run_id, hook, seq)
) WITHOUT ROWID;
CREATE INDEX workflow_deliveries_due ON workflow_deliveries (hook, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX workflow_deliveries_by_time ON workflow_deliveries (created_at, hook, run_id, seq);
-- The status stands with each tag, so that a page of a tag's runs of one status is read from an index.
CREATE TABLE workflow_tags (
    tag TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at REAL NOT NULL,
    run_id TEXT NOT NULL,
    workflow_id TEXT,
    PRIMARY KEY (tag, status, created_at, run_id)
) WITHOUT ROWID;
CREATE INDEX workflow_tags_of_workflow ON workflow_tags (workflow_id, tag, status, created_at, run_id);
CREATE INDEX workflow_tags_of_run ON workflow_tags (run_id, tag);
CREATE TRIGGER workflow_tags_status AFTER UPDATE OF status ON workflow_runs WHEN NEW.status <> OLD.status
    BEGIN UPDATE workflow_tags SET status = NEW.status WHERE run_id = NEW.run_id; END;
-- A limit has the numbers of the run that was stored last with it. The keys of a run are those of its limits, and the
-- text that no other live run has. A lane is the runs of the same keys: those of one priority wait for their turn together.
CREATE TABLE workflow_limits (
    key TEXT NOT NULL PRIMARY KEY,
    concurrency INTEGER,
    rate INTEGER,
    period REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE workflow_keys (
    run_id TEXT NOT NULL,
    key TEXT NOT NULL,
    status TEXT NOT NULL,
    claimed_at REAL,
    PRIMARY KEY (run_id, key)
) WITHOUT ROWID;
CREATE INDEX workflow_keys_by_status ON workflow_keys (key, status);
CREATE INDEX workflow_keys_by_claim ON workflow_keys (key, claimed_at) WHERE claimed_at IS NOT NULL;
ALTER TABLE workflow_runs ADD COLUMN lane TEXT;
CREATE TABLE workflow_lanes (
    queue TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    priority INTEGER NOT NULL,
    lane TEXT NOT NULL,
    served_at REAL NOT NULL,
    turn INTEGER NOT NULL,
    PRIMARY KEY (queue, workflow_id, priority, lane)
) WITHOUT ROWID;
CREATE INDEX workflow_lanes_by_turn ON workflow_lanes (queue, workflow_id, priority DESC, served_at, turn, lane);
CREATE TRIGGER workflow_keys_status AFTER UPDATE OF status ON workflow_runs
    WHEN NEW.queue IS NOT NULL AND NEW.status <> OLD.status
    BEGIN UPDATE workflow_keys SET status = NEW.status WHERE run_id = NEW.run_id; END;
CREATE TRIGGER workflow_lanes_insert AFTER INSERT ON workflow_runs
    WHEN NEW.lane IS NOT NULL AND NEW.not_before IS NULL
    BEGIN INSERT OR IGNORE INTO workflow_lanes
        VALUES (NEW.queue, NEW.workflow_id, NEW.priority, NEW.lane, NEW.created_at, 0); END;
CREATE TRIGGER workflow_lanes_update AFTER UPDATE OF status, not_before ON workflow_runs
    WHEN NEW.lane IS NOT NULL AND NEW.not_before IS NULL AND NEW.status = 'PENDING'
    BEGIN INSERT OR IGNORE INTO workflow_lanes
        VALUES (NEW.queue, NEW.workflow_id, NEW.priority, NEW.lane, NEW.created_at, 0); END;
CREATE TABLE workflow_schedules (
    workflow_id TEXT NOT NULL,
    name TEXT NOT NULL,
    next_at REAL NOT NULL,
    created_at REAL NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (workflow_id, name)
) WITHOUT ROWID;
CREATE INDEX workflow_schedules_due ON workflow_schedules (workflow_id, next_at);
-- What is taken next, and what may be taken later (infinite: parked). Both lead by what a claim asks for.
DROP INDEX workflow_runs_queued;
CREATE INDEX workflow_runs_queued ON workflow_runs (queue, workflow_id, priority DESC, created_at, run_id)
    WHERE queue IS NOT NULL AND owner IS NULL AND status = 'PENDING' AND not_before IS NULL AND lane IS NULL;
CREATE INDEX workflow_runs_delayed ON workflow_runs (queue, not_before)
    WHERE queue IS NOT NULL AND owner IS NULL AND status = 'PENDING' AND not_before IS NOT NULL;
CREATE INDEX workflow_runs_of_lanes ON workflow_runs (queue, workflow_id, priority, lane, created_at, run_id)
    WHERE lane IS NOT NULL AND owner IS NULL AND status = 'PENDING' AND not_before IS NULL;
CREATE INDEX workflow_runs_of_queues ON workflow_runs (queue, status)
    WHERE queue IS NOT NULL AND status IN ('PENDING', 'RUNNING');
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _SECOND, _THIRD)
"""``MIGRATIONS[n]`` leads from version n to n + 1."""

VERSION = len(MIGRATIONS)


def check(connection: sqlite3.Connection, location: Location) -> int:
    """The version of the file; 0 means that it has none of our tables.

    Raises:
        StorageError: The file is of a newer version, or another application counts its own versions in it.
    """
    version, ours = _version_and_table(connection)
    if bool(version) is not bool(ours):
        found = f"user_version {version}" if version else "its table workflow_runs is not ours"
        raise StorageError(
            f"SQLite database {location.path}: it belongs to another application ({found}); name another file"
        )
    if version > VERSION:
        raise StorageError(
            f"SQLite database {location.path}: its schema is version {version}, this package knows {VERSION}; "
            "upgrade the package workflow-runtime"
        )
    return version


def _version_and_table(connection: sqlite3.Connection) -> tuple[int, bool]:
    """In one transaction: another process may be making the tables."""
    begun = not connection.in_transaction
    if begun:
        connection.execute("BEGIN")
    try:
        named = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'workflow_runs'"
        ours = connection.execute(named).fetchone() is not None
        return connection.execute("PRAGMA user_version").fetchone()[0], ours
    finally:
        if begun:
            connection.execute("ROLLBACK")


def migrate(connection: sqlite3.Connection, location: Location) -> None:
    """Bring the file to ``VERSION``; several processes may try at once. Raises StorageError as ``check`` does."""
    if check(connection, location) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Again: another process may have been first while this one waited for the lock.
        for version in range(check(connection, location), VERSION):
            for statement in _statements(MIGRATIONS[version]):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version + 1}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> list[str]:
    # Not executescript: it commits the open transaction first.
    found, rest = [], ""
    for piece in script.split(";")[:-1]:
        rest += f"{piece};"
        # Not at a semicolon in a string, or inside a trigger.
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    return found
