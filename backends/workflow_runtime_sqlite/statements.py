"""All SQL that is run, by name. sqlite3 keeps statements prepared by their text, so texts must not vary by value."""

from __future__ import annotations

__all__: list[str] = []

RUN_COLUMNS = (
    "run_id, session_id, status, user_id, workflow_id, workflow_name, parent_run_id, attempt, seq, fingerprint, "
    "created_at, updated_at, owner, lease_until, cancel_requested, forked_from, deaths, reserved, "
    "queue, priority, not_before, lane"
)
STEP_COLUMNS = "run_id, path, position, status, attempt, started_at, finished_at, data, state"
EVENT_COLUMNS = "run_id, seq, last_seq, epoch, kind, path, data"
REQUIREMENT_COLUMNS = (
    "run_id, requirement_id, session_id, user_id, workflow_id, path, kind, created_at, timeout_at, answered_at, "
    "used_at, withdrawn_at, data"
)
SESSION_COLUMNS = "session_id, user_id, workflow_id, workflow_name, name, revision, metrics, created_at, updated_at"


def marks(count: int) -> str:
    return ", ".join("?" * count)


# -- runs --------------------------------------------------------------------------------------------------------------

RUN_HEAD = f"SELECT {RUN_COLUMNS}, touched_seq FROM workflow_runs WHERE run_id = ?"
RUN = f"SELECT {RUN_COLUMNS}, data FROM workflow_runs WHERE run_id = ?"
TAG_PUT = "INSERT INTO workflow_tags (tag, status, created_at, run_id, workflow_id) VALUES (?, ?, ?, ?, ?)"
RUN_HEADS = f"SELECT {RUN_COLUMNS} FROM json_each(?) AS wanted CROSS JOIN workflow_runs ON run_id = wanted.value"
RUN_INSERT = (
    f"INSERT INTO workflow_runs ({RUN_COLUMNS}, touched_seq, changes, ended_at, data) VALUES ({marks(23)}, 1, ?, ?)"
)
# The checkpoint of a running run: none of these columns is in an index.
RUN_CHECKPOINT = """
    UPDATE workflow_runs SET attempt = ?, seq = ?, fingerprint = ?, updated_at = ?, deaths = ?, reserved = ?,
    touched_seq = ?, changes = changes + 1, data = ? WHERE run_id = ?"""
RUN_UPDATE = """
    UPDATE workflow_runs SET session_id = ?, status = ?, user_id = ?, workflow_id = ?, workflow_name = ?,
    parent_run_id = ?, attempt = ?, seq = ?, fingerprint = ?, created_at = ?, updated_at = ?, owner = ?,
    lease_until = ?,
    cancel_requested = ?, forked_from = ?, deaths = ?, reserved = ?, touched_seq = ?, changes = changes + 1, ended_at = ?,
    pruned = pruned * ?, data = ? WHERE run_id = ?"""
RUN_LEASE = """
    UPDATE workflow_runs SET status = ?, attempt = ?, owner = ?,
    lease_until = ?, cancel_requested = ?, updated_at = ?, deaths = ?, ended_at = NULL, pruned = 0,
    touched_seq = seq, changes = changes + 1 WHERE run_id = ?"""
# Runs whose time has come join those that wait; then the first of these is taken, of one queue and one workflow.
QUEUE_PROMOTE = """
    UPDATE workflow_runs INDEXED BY workflow_runs_delayed SET not_before = NULL
    WHERE queue = ? AND owner IS NULL AND status = 'PENDING' AND not_before IS NOT NULL AND not_before <= ?"""
QUEUE_DELAYED = """
    SELECT 1 FROM workflow_runs INDEXED BY workflow_runs_delayed
    WHERE queue = ? AND owner IS NULL AND status = 'PENDING' AND not_before IS NOT NULL AND not_before <= ? LIMIT 1"""
QUEUE_WAITING = """
    SELECT 1 FROM workflow_runs INDEXED BY workflow_runs_queued
    WHERE queue = ? AND owner IS NULL AND status = 'PENDING' AND not_before IS NULL AND lane IS NULL LIMIT 1"""
QUEUE_FIRST = """
    SELECT -priority, created_at, run_id FROM workflow_runs INDEXED BY workflow_runs_queued
    WHERE queue = ? AND workflow_id = ? AND owner IS NULL AND status = 'PENDING' AND not_before IS NULL AND lane IS NULL
    ORDER BY priority DESC, created_at, run_id LIMIT 1"""
# Runs with limits: the lanes of a queue that have reached none, each with its first run.
_LANES = """
    SELECT -priority, served_at, turn, lane, run_id FROM (
        SELECT priority, served_at, turn, lane, workflow_id, (
            SELECT run_id FROM workflow_runs AS run INDEXED BY workflow_runs_of_lanes
            WHERE run.queue = lanes.queue AND run.workflow_id = lanes.workflow_id AND run.priority = lanes.priority
            AND run.lane = lanes.lane AND owner IS NULL AND status = 'PENDING' AND not_before IS NULL
            ORDER BY created_at, run_id LIMIT 1
        ) AS run_id
        FROM workflow_lanes AS lanes WHERE queue = :queue {workflow}
    ) AS first
    WHERE {headless} NOT EXISTS (
        SELECT 1 FROM workflow_keys AS mine CROSS JOIN workflow_limits AS cap ON cap.key = mine.key
        WHERE mine.run_id = first.run_id AND (
            cap.concurrency <= (
                SELECT count(*) FROM workflow_keys AS held WHERE held.key = cap.key AND held.status = 'RUNNING'
            ) OR cap.rate <= (
                SELECT count(*) FROM workflow_keys AS begun
                WHERE begun.key = cap.key AND begun.claimed_at > :now - cap.period
            )
        )
    )"""
LANE_FIRST = (
    _LANES.format(workflow="AND workflow_id = :workflow", headless="run_id IS NULL OR")
    + " ORDER BY priority DESC, served_at, turn LIMIT 1"
)
LANE_WAITING = _LANES.format(workflow="", headless="run_id IS NOT NULL AND") + " LIMIT 1"
LANES_HAVE = "SELECT 1 FROM workflow_lanes WHERE queue = ? LIMIT 1"
_LANE = "queue = ? AND workflow_id = ? AND priority = ? AND lane = ?"
LANE_DROP = f"DELETE FROM workflow_lanes WHERE {_LANE}"
LANE_TURN = """
    SELECT ifnull(max(turn), 0) + 1 FROM workflow_lanes
    WHERE queue = ? AND workflow_id = ? AND priority = ? AND served_at = ?"""
LANE_SERVED = f"UPDATE workflow_lanes SET served_at = ?, turn = ? WHERE {_LANE}"
LIMIT = "SELECT concurrency, rate, period FROM workflow_limits WHERE key = ?"
LIMIT_PUT = "INSERT OR REPLACE INTO workflow_limits (key, concurrency, rate, period) VALUES (?, ?, ?, ?)"
KEY_PUT = "INSERT INTO workflow_keys (run_id, key, status) VALUES (?, ?, ?)"
KEY_CLAIMED = """
    UPDATE workflow_keys SET claimed_at = ? WHERE run_id = ? AND key IN (SELECT key FROM workflow_limits)"""
KEYS_OF_RUN = "SELECT key FROM workflow_keys WHERE run_id = ?"
KEYS_DELETE = "DELETE FROM workflow_keys WHERE run_id = ?"
LIMIT_FORGET = """
    DELETE FROM workflow_limits WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM workflow_keys WHERE key = ?1)"""
KEY_QUEUED = "SELECT count(*) FROM workflow_keys WHERE key = ? AND status = 'PENDING'"
KEY_LIVE = """
    SELECT run_id FROM workflow_keys WHERE key = ? AND status IN ('PENDING', 'RUNNING', 'PAUSED') LIMIT 1"""
QUEUE_SET = """
    UPDATE workflow_runs SET status = ?, owner = ?, lease_until = ?, not_before = ?, touched_seq = seq,
    changes = changes + 1 WHERE run_id = ?"""
QUEUES = f"""
    SELECT {RUN_COLUMNS} FROM workflow_runs INDEXED BY workflow_runs_of_queues
    WHERE queue IS NOT NULL AND status IN ('PENDING', 'RUNNING')"""
# How many run of those with limits, and how many wait: when the first falls, others may be claimed.
QUEUE_STANDING = """
    SELECT (SELECT count(*) FROM workflow_runs INDEXED BY workflow_runs_of_queues
    WHERE queue = ?1 AND status IN ('PENDING', 'RUNNING') AND status = 'RUNNING' AND lane IS NOT NULL), 0,
    count(*) FROM (SELECT 1 FROM workflow_runs INDEXED BY workflow_runs_of_queues
    WHERE queue = ?1 AND status IN ('PENDING', 'RUNNING') AND status = 'PENDING' AND owner IS NULL LIMIT 1000)"""
RUN_RENEW = "UPDATE workflow_runs SET lease_until = ?, owner = CASE WHEN ? THEN owner END WHERE run_id = ?"
RUN_TOUCH = "UPDATE workflow_runs SET touched_seq = seq, changes = changes + 1 WHERE run_id = ?"
RUN_MOVED = "SELECT seq, touched_seq, changes FROM workflow_runs WHERE run_id = ?"
ROWS_DELETE = (
    "DELETE FROM workflow_steps WHERE run_id = ?",
    "DELETE FROM workflow_events WHERE run_id = ?",
    "DELETE FROM workflow_requirements WHERE run_id = ?",
    "DELETE FROM workflow_signals WHERE run_id = ?",
    "DELETE FROM workflow_messages WHERE run_id = ?",
    "DELETE FROM workflow_deliveries WHERE run_id = ?",
    "DELETE FROM workflow_tags WHERE run_id = ?",
)
RUN_DELETE = "DELETE FROM workflow_runs WHERE run_id = ?"
# Around statements that delete runs, sessions or events (``schema``).
DELETING = "UPDATE workflow_deleting SET allowed = ?"
# Pruning: of each workflow ("" for runs without one) and mark, the runs that ended first.
WORKFLOWS = """
    WITH RECURSIVE found (id) AS (
        SELECT '' UNION ALL
        SELECT (
            SELECT workflow_id FROM workflow_runs WHERE workflow_id IS NOT NULL AND workflow_id > found.id
            ORDER BY workflow_id LIMIT 1
        ) FROM found WHERE found.id IS NOT NULL
    ) SELECT id FROM found WHERE id IS NOT NULL"""
RUNS_ENDED = """
    SELECT run_id FROM workflow_runs INDEXED BY workflow_runs_by_end
    WHERE ended_at IS NOT NULL AND ifnull(workflow_id, '') = ? AND pruned = ? AND ended_at < ?
    ORDER BY ended_at, run_id LIMIT ?"""
RUN_MARK = "UPDATE workflow_runs SET pruned = ? WHERE run_id = ?"
RUN_RELEASE = "UPDATE workflow_runs SET pruned = ? WHERE run_id = ? AND pruned = ?"
RUN_ORIGIN = "SELECT forked_from FROM workflow_runs WHERE run_id = ? AND forked_from IS NOT NULL"
FORKS = "SELECT forked_from FROM workflow_runs WHERE forked_from >= ? AND forked_from < ?"
EVENTS_OF_KINDS = """
    SELECT run_id, seq FROM workflow_events WHERE run_id = ? AND kind IN (SELECT value FROM json_each(?))
    ORDER BY seq LIMIT ?"""
RUNS_OF_SESSION = "SELECT run_id FROM workflow_runs WHERE session_id = ?"
GARBAGE_PUT = "INSERT OR IGNORE INTO workflow_garbage (run_id) VALUES (?)"
GARBAGE_HAS = "SELECT 1 FROM workflow_garbage WHERE run_id = ?"
GARBAGE = "SELECT run_id FROM workflow_garbage LIMIT ?"
GARBAGE_DROP = "DELETE FROM workflow_garbage WHERE run_id = ?"

# -- steps, events -----------------------------------------------------------------------------------------------------

# ``position`` keeps its first value: it is the order of first writes.
STEP_PUT = f"""
    INSERT INTO workflow_steps ({STEP_COLUMNS}) VALUES ({marks(9)})
    ON CONFLICT (run_id, path) DO UPDATE SET status = excluded.status, attempt = excluded.attempt,
    started_at = excluded.started_at, finished_at = excluded.finished_at, data = excluded.data,
    state = excluded.state"""
STEPS = f"SELECT {STEP_COLUMNS} FROM workflow_steps WHERE run_id = ? ORDER BY position, path"
STEP = f"SELECT {STEP_COLUMNS} FROM workflow_steps WHERE run_id = ? AND path = ?"
EVENT_PUT = f"INSERT OR REPLACE INTO workflow_events ({EVENT_COLUMNS}) VALUES ({marks(7)})"
# Rows do not overlap, so of those that start at or before ``after`` only the last can end after it.
EVENTS = f"""
    SELECT {EVENT_COLUMNS} FROM workflow_events WHERE run_id = :run_id AND last_seq > :after
    AND seq >= ifnull((SELECT max(seq) FROM workflow_events WHERE run_id = :run_id AND seq <= :after), 0)
    ORDER BY seq LIMIT :limit"""
EVENT_DELETE = "DELETE FROM workflow_events WHERE run_id = ? AND seq = ?"
EVENTS_TAIL = "SELECT last_seq FROM workflow_events WHERE run_id = ? ORDER BY seq DESC LIMIT 1"

# -- deliveries --------------------------------------------------------------------------------------------------------

DELIVERY_COLUMNS = "hook, run_id, seq, workflow_id, created_at, attempts, due_at, error"
DELIVERY_PUT = f"INSERT OR IGNORE INTO workflow_deliveries ({DELIVERY_COLUMNS}) VALUES ({marks(8)})"
DELIVERIES_DUE = f"""
    SELECT {DELIVERY_COLUMNS} FROM workflow_deliveries
    WHERE hook IN (SELECT value FROM json_each(?)) AND due_at IS NOT NULL AND due_at <= ?
    ORDER BY due_at, hook, run_id, seq LIMIT ?"""
DELIVERY_KEY = "hook = ? AND run_id = ? AND seq = ? AND attempts = ?"
DELIVERY_CLAIM = f"UPDATE workflow_deliveries SET attempts = attempts + 1, due_at = ? WHERE {DELIVERY_KEY}"
DELIVERY_DONE = f"DELETE FROM workflow_deliveries WHERE {DELIVERY_KEY}"
DELIVERY_FAILED = f"UPDATE workflow_deliveries SET error = ?, due_at = ? WHERE {DELIVERY_KEY}"
DELIVERIES = f"""
    SELECT {DELIVERY_COLUMNS} FROM workflow_deliveries WHERE ?1 IS NULL OR (due_at IS NULL) = ?1
    ORDER BY created_at, hook, run_id, seq LIMIT ?2"""
DELIVERIES_RETRY = """
    UPDATE workflow_deliveries SET attempts = 0, due_at = ?3
    WHERE due_at IS NULL AND (?1 IS NULL OR hook = ?1) AND (?2 IS NULL OR run_id = ?2)"""

# -- requirements ------------------------------------------------------------------------------------------------------

# A late write of a question's row does not reopen the question if it was answered.
REQUIREMENT_PUT = f"""
    INSERT INTO workflow_requirements ({REQUIREMENT_COLUMNS}) VALUES ({marks(13)})
    ON CONFLICT (run_id, requirement_id) DO UPDATE SET session_id = excluded.session_id, user_id = excluded.user_id,
    workflow_id = excluded.workflow_id, path = excluded.path, kind = excluded.kind, created_at = excluded.created_at,
    timeout_at = excluded.timeout_at, used_at = excluded.used_at, withdrawn_at = excluded.withdrawn_at,
    answered_at = ifnull(excluded.answered_at, workflow_requirements.answered_at),
    data = CASE WHEN workflow_requirements.answered_at IS NOT NULL AND excluded.answered_at IS NULL
    THEN workflow_requirements.data ELSE excluded.data END"""
REQUIREMENT_TIMES = (
    "SELECT answered_at, withdrawn_at FROM workflow_requirements WHERE run_id = ? AND requirement_id = ?"
)
REQUIREMENTS_ANSWERED = """
    SELECT requirement_id FROM workflow_requirements WHERE run_id = ? AND answered_at IS NOT NULL"""
REQUIREMENT_ANSWER = """
    UPDATE workflow_requirements SET data = ?, answered_at = ? WHERE run_id = ? AND requirement_id = ?"""
REQUIREMENTS = f"SELECT {REQUIREMENT_COLUMNS} FROM workflow_requirements WHERE run_id = ? ORDER BY created_at, number"

# -- signals -----------------------------------------------------------------------------------------------------------

SIGNAL_PUT = "INSERT INTO workflow_signals (run_id, kind, data, created_at) VALUES (?, ?, ?, ?)"
# Few wait at any time, so it is their runs that are looked up.
SIGNALS = """
    SELECT number, signal.run_id, kind, signal.created_at, signal.data
    FROM workflow_signals AS signal INDEXED BY workflow_signals_waiting
    CROSS JOIN workflow_runs AS run ON run.run_id = signal.run_id
    WHERE taken_at IS NULL AND owner = ? AND status IN ('PENDING', 'RUNNING') ORDER BY number"""
SIGNAL_TAKE = "UPDATE workflow_signals SET taken_at = ? WHERE number = ?"
SIGNALS_OF_MESSAGES_TAKE = """
    UPDATE workflow_signals SET taken_at = ? WHERE run_id = ? AND taken_at IS NULL AND kind = 'message'"""
SIGNALS_TAKE = "UPDATE workflow_signals SET taken_at = ? WHERE run_id = ? AND taken_at IS NULL"

# -- messages ----------------------------------------------------------------------------------------------------------

MESSAGE_COLUMNS = "run_id, number, message_id, topic, created_at, data"
MESSAGE_PUT = f"INSERT INTO workflow_messages ({MESSAGE_COLUMNS}) VALUES ({marks(6)})"
MESSAGE = f"SELECT {MESSAGE_COLUMNS} FROM workflow_messages WHERE run_id = ? AND message_id = ?"
MESSAGES = f"SELECT {MESSAGE_COLUMNS} FROM workflow_messages WHERE run_id = ? AND number > ? ORDER BY number"
MESSAGES_LAST = "SELECT max(number) FROM workflow_messages WHERE run_id = ?"
MESSAGE_AWAITED = """
    SELECT EXISTS (SELECT 1 FROM workflow_requirements WHERE run_id = ? AND kind = ?
    AND answered_at IS NULL AND withdrawn_at IS NULL)"""

# -- schedules ---------------------------------------------------------------------------------------------------------

SCHEDULE_COLUMNS = "workflow_id, name, next_at, created_at, data"
SCHEDULE = f"SELECT {SCHEDULE_COLUMNS} FROM workflow_schedules WHERE workflow_id = ? AND name = ?"
SCHEDULE_PUT = f"""
    INSERT INTO workflow_schedules ({SCHEDULE_COLUMNS}) VALUES ({marks(5)})
    ON CONFLICT (workflow_id, name) DO UPDATE SET next_at = excluded.next_at, data = excluded.data
    WHERE data <> excluded.data"""
SCHEDULE_MOVE = """
    UPDATE workflow_schedules SET next_at = ? WHERE workflow_id = ? AND name = ? AND next_at = ? AND data = ?"""
SCHEDULE_DELETE = "DELETE FROM workflow_schedules WHERE workflow_id = ? AND name = ?"
SCHEDULES = f"SELECT {SCHEDULE_COLUMNS} FROM workflow_schedules WHERE next_at <= ? ORDER BY workflow_id, name"
SCHEDULES_OF_WORKFLOW = f"""
    SELECT {SCHEDULE_COLUMNS} FROM workflow_schedules WHERE workflow_id = ? AND next_at <= ? ORDER BY name"""

# -- sessions ----------------------------------------------------------------------------------------------------------

STATE, EXTRA = 0, 1
"""The parts of ``workflow_session_values``: state keys, and the columns ``metadata`` and ``workflow_data``."""

SESSION = f"SELECT {SESSION_COLUMNS} FROM workflow_sessions WHERE session_id = ?"
SESSION_INSERT = f"INSERT INTO workflow_sessions ({SESSION_COLUMNS}) VALUES ({marks(9)})"
SESSION_CHECKPOINT = """
    UPDATE workflow_sessions SET name = ?, revision = ?, metrics = ?, updated_at = ? WHERE session_id = ?"""
SESSION_UPDATE = """
    UPDATE workflow_sessions SET user_id = ?, workflow_id = ?, workflow_name = ?, name = ?, revision = ?, metrics = ?,
    updated_at = ? WHERE session_id = ?"""
SESSION_VALUES = "SELECT part, name, value FROM workflow_session_values WHERE session_id = ?"
SESSION_KEY = f"SELECT value FROM workflow_session_values WHERE session_id = ? AND part = {STATE} AND name = ?"
VALUE_PUT = "INSERT OR REPLACE INTO workflow_session_values (session_id, part, name, value) VALUES (?, ?, ?, ?)"
VALUE_DELETE = "DELETE FROM workflow_session_values WHERE session_id = ? AND part = ? AND name = ?"
DELETION = "SELECT deleted_at FROM workflow_deletions WHERE session_id = ?"
DELETION_PUT = "INSERT OR REPLACE INTO workflow_deletions (session_id, deleted_at) VALUES (?, ?)"
DELETIONS_FORGET = "DELETE FROM workflow_deletions WHERE deleted_at < ?"
SESSION_DELETE = (
    "DELETE FROM workflow_session_values WHERE session_id = ?",
    "DELETE FROM workflow_sessions WHERE session_id = ?",
)

# -- locks -------------------------------------------------------------------------------------------------------------

LOCK_TAKE = """
    INSERT INTO workflow_locks (name, owner, held_to) VALUES (?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, held_to = excluded.held_to
    WHERE workflow_locks.owner = excluded.owner OR workflow_locks.held_to <= ?"""
LOCK_DROP = "DELETE FROM workflow_locks WHERE name = ? AND owner = ?"
