"""All SQL that is run, by name. ``@.`` stands for the schema (``schema.qualify``).

The driver keeps statements prepared by their text, so texts must not vary by value.
"""

from __future__ import annotations

__all__: list[str] = []

RUN_COLUMNS = (
    "run_id, session_id, status, user_id, workflow_id, workflow_name, parent_run_id, attempt, seq, fingerprint, "
    "created_at, updated_at, owner, leased_until AS lease_until, cancel_requested, forked_from, deaths, reserved, "
    "queue, priority, not_before, lane, data, "
    "coalesce(leased_until <= extract(epoch FROM now())::float8, false) AS expired"
)
STEP_COLUMNS = "run_id, path, position, status, attempt, started_at, finished_at, data, state"
EVENT_COLUMNS = "run_id, seq, last_seq, epoch, kind, path, data"
REQUIREMENT_COLUMNS = (
    "run_id, requirement_id, session_id, user_id, workflow_id, path, kind, created_at, timeout_at, answered_at, "
    "used_at, withdrawn_at, data"
)
SIGNAL_COLUMNS = "number, run_id, kind, created_at, data"
SESSION_COLUMNS = (
    "session_id, user_id, workflow_id, workflow_name, name, version, metadata, metrics, workflow_data, "
    "created_at, updated_at"
)


def marks(count: int, first: int = 1) -> str:
    return ", ".join(f"${number}" for number in range(first, first + count))


# -- writing: each of these changes all or nothing, in one round trip --------------------------------------------------

COMMIT = f"SELECT refused, session_version, cancel_requested FROM @.commit_batch_3({marks(92)})"
CLAIM = f"SELECT {RUN_COLUMNS} FROM @.claim_run_3({marks(13)})"
CLAIM_NEXT = f"SELECT {RUN_COLUMNS} FROM @.claim_next_3({marks(7)})"
PUT_BACK = f"SELECT @.put_back_3({marks(6)})"
RESCHEDULE = f"SELECT @.reschedule_3({marks(4)})"
ANSWER = f"SELECT @.answer_requirements_3({marks(7)})"
SEND = f"SELECT stored, awaited FROM @.send_message_3({marks(12)})"
REQUEST_CANCEL = f"SELECT @.request_cancel_3({marks(5)})"
TAKE_SIGNALS = f"SELECT {SIGNAL_COLUMNS} FROM @.take_signals_3({marks(4)})"
SESSION_DELETE = f"SELECT gone, known FROM @.delete_session_3({marks(5)})"
DISCARD = "SELECT @.discard_3($1)"
PRUNE_RUNS = f"SELECT went, more FROM @.prune_runs_3({marks(5)})"
PRUNE_EVENTS = f"SELECT went, more FROM @.prune_events_3({marks(7)})"

# These are idempotent.
# A row that a commit has locked is left to the next call, so that one run that waits keeps no other from its lease.
RENEW = """
    WITH wanted AS (
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::float8[])
        WITH ORDINALITY AS wanted (run_id, attempt, owner, lease, place)
    ), free AS (
        SELECT run.run_id, wanted.lease FROM @.runs AS run JOIN wanted ON run.run_id = wanted.run_id
        WHERE run.attempt = wanted.attempt AND run.status = ANY ($5) AND run.owner IS NOT NULL
            AND coalesce(run.owner = wanted.owner, true)
        FOR NO KEY UPDATE OF run SKIP LOCKED
    ), renewed AS (
        UPDATE @.runs AS run SET
            leased_until = @.now_3() + free.lease, owner = CASE WHEN free.lease <> 0 THEN run.owner END
        FROM free WHERE run.run_id = free.run_id
        RETURNING run.run_id
    )
    SELECT coalesce(
            run.attempt = wanted.attempt AND run.status = ANY ($5) AND run.owner IS NOT NULL
            AND coalesce(run.owner = wanted.owner, true), false
        ) AS held, coalesce(run.cancel_requested, false) AS cancel_requested, renewed.run_id IS NOT NULL AS renewed
    FROM wanted LEFT JOIN @.runs AS run ON run.run_id = wanted.run_id
    LEFT JOIN renewed ON renewed.run_id = wanted.run_id ORDER BY wanted.place"""
LOCK_TAKE = """
    INSERT INTO @.locks AS held (name, owner, held_to) VALUES ($1, $2, @.now_3() + $3::float8)
    ON CONFLICT (name) DO UPDATE SET owner = $2, held_to = @.now_3() + $3::float8
    WHERE held.owner = $2 OR held.held_to <= @.now_3()
    RETURNING true"""
LOCK_DROP = "DELETE FROM @.locks WHERE name = $1 AND owner = $2"

# A repetition finds the same data and changes nothing; who moves or deletes and is told False does nothing more.
SCHEDULE_COLUMNS = "workflow_id, name, next_at, created_at, data"
SCHEDULE_PUT = f"""
    INSERT INTO @.schedules AS stored ({SCHEDULE_COLUMNS}) VALUES ({marks(5)})
    ON CONFLICT (workflow_id, name) DO UPDATE SET
        next_at = CASE WHEN stored.data <> excluded.data THEN excluded.next_at ELSE stored.next_at END,
        data = excluded.data
    RETURNING {SCHEDULE_COLUMNS}"""
SCHEDULE_MOVE = """
    UPDATE @.schedules SET next_at = $5 WHERE workflow_id = $1 AND name = $2 AND next_at = $3 AND data = $4
    RETURNING true"""
SCHEDULE_DELETE = "DELETE FROM @.schedules WHERE workflow_id = $1 AND name = $2 RETURNING true"
SCHEDULES = f"""
    SELECT {SCHEDULE_COLUMNS} FROM @.schedules
    WHERE ($1::text IS NULL OR workflow_id = $1) AND ($2::float8 IS NULL OR next_at <= $2) ORDER BY workflow_id, name"""

# -- reading -----------------------------------------------------------------------------------------------------------

RUN = f"SELECT {RUN_COLUMNS} FROM @.runs WHERE run_id = $1"
DELETION = "SELECT deleted_at FROM @.deletions WHERE session_id = $1"
RUNS = f"SELECT {RUN_COLUMNS} FROM @.runs WHERE run_id = ANY ($1)"
HAS_SIGNALS = """
    SELECT FROM @.signals AS signal JOIN @.runs AS run ON run.run_id = signal.run_id
    WHERE signal.taken_at IS NULL AND run.owner = $1 AND run.status = ANY ($2) LIMIT 1"""
STEP = f"SELECT {STEP_COLUMNS} FROM @.steps WHERE run_id = $1 AND path = $2"
MESSAGE_COLUMNS = "run_id, number, message_id, topic, created_at, data"
MESSAGES = f"SELECT {MESSAGE_COLUMNS} FROM @.messages WHERE run_id = $1 AND number > $2 ORDER BY number"
MESSAGE = f"SELECT {MESSAGE_COLUMNS} FROM @.messages WHERE run_id = $1 AND message_id = $2"
MESSAGE_FACTS = """
    SELECT (SELECT status FROM @.runs WHERE run_id = $1) AS status, EXISTS (
        SELECT FROM @.requirements
        WHERE run_id = $1 AND kind = $2 AND answered_at IS NULL AND withdrawn_at IS NULL
    ) AS awaited"""
STEPS = f"SELECT {STEP_COLUMNS} FROM @.steps WHERE run_id = $1 ORDER BY position, path"
# Rows do not overlap, so of those that start at or before ``after`` only the last can end after it.
EVENTS = f"""
    SELECT {EVENT_COLUMNS} FROM @.events WHERE run_id = $1 AND last_seq > $2
    AND seq >= coalesce((SELECT max(seq) FROM @.events WHERE run_id = $1 AND seq <= $2), 0)
    ORDER BY seq LIMIT $3"""
REQUIREMENTS = f"SELECT {REQUIREMENT_COLUMNS} FROM @.requirements WHERE run_id = $1 ORDER BY created_at, number"
ANSWERED_AT = """
    SELECT run_id, requirement_id, answered_at, withdrawn_at, (SELECT status FROM @.runs WHERE run_id = asked.run_id)
    FROM @.requirements AS asked
    JOIN unnest($1::text[], $2::text[]) AS wanted (run_id, requirement_id) USING (run_id, requirement_id)"""
_SESSION = f"""
    SELECT {SESSION_COLUMNS}, stored.names, stored.values FROM @.sessions AS session CROSS JOIN LATERAL (
        SELECT array_agg(name ORDER BY name) AS names, array_agg(value ORDER BY name) AS values FROM @.session_values
        WHERE session_id = session.session_id"""
SESSION = f"{_SESSION} AND name = ANY ($2)) AS stored WHERE session_id = $1"
SESSIONS = f"{_SESSION}) AS stored WHERE session_id = ANY ($1)"
MOVED = """
    SELECT run.seq, run.touched, (SELECT last_seq FROM @.events WHERE run_id = $1 ORDER BY seq DESC LIMIT 1) AS tail
    FROM (SELECT) AS always LEFT JOIN @.runs AS run ON run.run_id = $1"""

QUEUE_WAITING = """
    SELECT FROM @.runs
    WHERE queue = $1 AND owner IS NULL AND status = 'PENDING' AND not_before IS NULL AND lane IS NULL
    UNION ALL
    SELECT FROM @.lanes AS one WHERE one.queue = $1 AND NOT @.is_full_3(@.lane_first_3(one), @.now_3())
    LIMIT 1"""
QUEUED = "SELECT key, count(*) AS count FROM @.keys WHERE key = ANY ($1) AND status = 'PENDING' GROUP BY key"
DUPLICATE = "SELECT run_id FROM @.keys WHERE key = $1 AND status IN ('PENDING', 'RUNNING', 'PAUSED') LIMIT 1"
QUEUES = """
    SELECT queue,
        count(*) FILTER (WHERE queued AND coalesce(not_before <= $1, true)) AS waiting,
        count(*) FILTER (WHERE queued AND not_before > $1 AND not_before <> 'infinity') AS delayed,
        count(*) FILTER (WHERE queued AND not_before = 'infinity') AS parked,
        count(*) FILTER (WHERE status = 'RUNNING') AS running,
        min(created_at) FILTER (WHERE queued AND coalesce(not_before <= $1, true)) AS oldest
    FROM (
        SELECT queue, status, not_before, created_at, status = 'PENDING' AND owner IS NULL AS queued FROM @.runs
        WHERE queue IS NOT NULL AND status IN ('PENDING', 'RUNNING')
    ) AS live
    WHERE queued OR status = 'RUNNING' GROUP BY queue ORDER BY queue"""

# -- deliveries --------------------------------------------------------------------------------------------------------

DELIVERY_COLUMNS = "hook, run_id, seq, workflow_id, created_at, attempts, due_at, error"
DELIVERIES_CLAIM = f"""
    WITH due AS (
        SELECT hook, run_id, seq FROM @.deliveries WHERE hook = ANY ($1) AND due_at IS NOT NULL AND due_at <= @.now_3()
        ORDER BY due_at, hook, run_id, seq LIMIT $3 FOR UPDATE SKIP LOCKED
    )
    UPDATE @.deliveries AS found SET attempts = found.attempts + 1, due_at = @.now_3() + $2::float8
    FROM due WHERE found.hook = due.hook AND found.run_id = due.run_id AND found.seq = due.seq
    RETURNING {", ".join(f"found.{name}" for name in DELIVERY_COLUMNS.split(", "))}"""
DELIVERY_DONE = """
    DELETE FROM @.deliveries WHERE hook = $1 AND run_id = $2 AND seq = $3 AND attempts = $4 RETURNING true"""
DELIVERY_FAILED = """
    UPDATE @.deliveries SET error = $5, due_at = @.now_3() + $6::float8
    WHERE hook = $1 AND run_id = $2 AND seq = $3 AND attempts = $4 RETURNING true"""
DELIVERIES = f"""
    SELECT {DELIVERY_COLUMNS} FROM @.deliveries WHERE $1::boolean IS NULL OR (due_at IS NULL) = $1
    ORDER BY created_at, hook, run_id, seq LIMIT $2"""
DELIVERIES_RETRY = """
    UPDATE @.deliveries SET attempts = 0, due_at = @.now_3()
    WHERE due_at IS NULL AND ($1::text IS NULL OR hook = $1) AND ($2::text IS NULL OR run_id = $2) RETURNING true"""

# -- db check: reads all that is stored --------------------------------------------------------------------------------

TABLES = (
    "runs",
    "steps",
    "events",
    "requirements",
    "signals",
    "messages",
    "deliveries",
    "tags",
    "keys",
    "limits",
    "lanes",
    "schedules",
    "sessions",
    "session_values",
    "locks",
)
ABOUT = """
    SELECT current_setting('server_version'), (SELECT max(version)::int FROM @.versions),
        (SELECT sum(pg_total_relation_size(pg_class.oid)) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
         WHERE nspname = $1 AND relkind = 'r')"""
ORPHANS = "\n    UNION ALL ".join(
    f"SELECT '{table}', count(DISTINCT run_id) FROM @.{table} x "
    "WHERE NOT EXISTS (SELECT FROM @.runs WHERE runs.run_id = x.run_id)"
    for table in ("steps", "events", "requirements", "signals", "messages", "deliveries", "tags", "keys")
)
