"""The tables, and the steps from each version of them to the next. The table ``versions`` has the version of a schema.

A released migration is never edited: append one. All that are missing run in one transaction under an advisory lock, so a
schema is always at a version, never between two, and if several processes start at the same time, one migrates. Only the
functions of the last version are kept here, because no process sees a schema between two versions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workflow_runtime.model.errors import StorageError

from .functions import FUNCTIONS

__all__ = ["MIGRATIONS", "VERSION", "migrate", "qualify"]

# Ids are compared byte by byte (COLLATE "C"), as Python compares them, whatever the database's locale is. ``touched``
# is the seq at which a run was last written without moving on (``rules.wake_after``). Rows that are rewritten leave
# room on their page (fillfactor), so that a checkpoint, which changes no indexed column, touches no index.
_TABLES = """
CREATE TABLE @.runs (
    run_id text COLLATE "C" PRIMARY KEY,
    session_id text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    user_id text COLLATE "C",
    workflow_id text COLLATE "C",
    workflow_name text,
    parent_run_id text COLLATE "C",
    attempt bigint NOT NULL,
    seq bigint NOT NULL,
    fingerprint text NOT NULL,
    created_at float8 NOT NULL,
    updated_at float8 NOT NULL,
    owner text COLLATE "C",
    lease_until float8,
    cancel_requested boolean NOT NULL,
    forked_from text COLLATE "C",
    touched bigint NOT NULL,
    data bytea NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX runs_by_session ON @.runs (session_id, created_at, run_id);
CREATE INDEX runs_by_session_and_status ON @.runs (session_id, status, created_at, run_id);
CREATE INDEX runs_by_status ON @.runs (status, created_at, run_id);
CREATE INDEX runs_by_user ON @.runs (user_id, created_at, run_id) WHERE user_id IS NOT NULL;
CREATE INDEX runs_by_workflow ON @.runs (workflow_id, created_at, run_id) WHERE workflow_id IS NOT NULL;
CREATE INDEX runs_by_parent ON @.runs (parent_run_id, created_at, run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX runs_by_lease ON @.runs (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX runs_to_cancel ON @.runs (owner) WHERE cancel_requested AND owner IS NOT NULL;

CREATE TABLE @.steps (
    run_id text COLLATE "C" NOT NULL,
    path text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    status text NOT NULL,
    attempt bigint NOT NULL,
    started_at float8,
    finished_at float8,
    data bytea,
    state bytea,
    PRIMARY KEY (run_id, path)
);

CREATE TABLE @.events (
    run_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    epoch bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    path text NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (run_id, seq)
);

CREATE TABLE @.requirements (
    number bigint GENERATED ALWAYS AS IDENTITY,
    run_id text COLLATE "C" NOT NULL,
    requirement_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C",
    workflow_id text COLLATE "C",
    path text NOT NULL,
    kind text NOT NULL,
    created_at float8 NOT NULL,
    timeout_at float8,
    answered_at float8,
    data bytea NOT NULL,
    PRIMARY KEY (run_id, requirement_id)
);
CREATE INDEX requirements_open ON @.requirements (created_at, number) WHERE answered_at IS NULL;
CREATE INDEX requirements_of_session ON @.requirements (session_id, created_at, number) WHERE answered_at IS NULL;

CREATE TABLE @.sessions (
    session_id text COLLATE "C" PRIMARY KEY,
    user_id text COLLATE "C",
    workflow_id text COLLATE "C",
    workflow_name text,
    name text,
    version bigint NOT NULL,
    metadata bytea,
    metrics text,
    workflow_data bytea,
    created_at float8 NOT NULL,
    updated_at float8 NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX sessions_by_time ON @.sessions (created_at, session_id);
CREATE INDEX sessions_by_user ON @.sessions (user_id, created_at, session_id) WHERE user_id IS NOT NULL;
CREATE INDEX sessions_by_workflow ON @.sessions (workflow_id, created_at, session_id) WHERE workflow_id IS NOT NULL;

CREATE TABLE @.session_values (
    session_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (session_id, name)
) WITH (fillfactor = 70);

CREATE TABLE @.locks (
    name text COLLATE "C" PRIMARY KEY,
    owner text COLLATE "C" NOT NULL,
    held_until float8 NOT NULL
) WITH (fillfactor = 50);

-- The last call of each writer (``functions``).
CREATE TABLE @.writers (
    writer uuid PRIMARY KEY,
    number bigint NOT NULL,
    used_at timestamptz NOT NULL
) WITH (fillfactor = 50);
"""

_TOO_OLD = (
    "RAISE EXCEPTION 'a newer version of workflow-runtime has migrated this database; stop this process, upgrade the "
    "package workflow-runtime, and start it again'"
)

# Signals, questions that are used up or withdrawn, and what deaths, queues, edits and deletions need. Answers that were
# given before the last question was asked had been used: a walk that used answers ended the run or asked again. Answers
# and requests to cancel that nobody has acted on get the signal that they would have now.
_SECOND = """
CREATE TABLE @.signals (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    data bytea NOT NULL,
    created_at float8 NOT NULL,
    taken_at float8
) WITH (fillfactor = 70);
CREATE INDEX signals_waiting ON @.signals (run_id) WHERE taken_at IS NULL;

ALTER TABLE @.requirements ADD COLUMN used_at float8, ADD COLUMN withdrawn_at float8;
UPDATE @.requirements AS given SET used_at = answered_at WHERE answered_at < (
    SELECT max(created_at) FROM @.requirements AS other WHERE other.run_id = given.run_id
);
DROP INDEX @.requirements_open;
DROP INDEX @.requirements_of_session;
CREATE INDEX requirements_open ON @.requirements (created_at, requirement_id)
    WHERE answered_at IS NULL AND withdrawn_at IS NULL;
CREATE INDEX requirements_of_session ON @.requirements (session_id, created_at, requirement_id)
    WHERE answered_at IS NULL AND withdrawn_at IS NULL;
CREATE INDEX requirements_of_workflow ON @.requirements (workflow_id, created_at, requirement_id)
    WHERE answered_at IS NULL AND withdrawn_at IS NULL AND workflow_id IS NOT NULL;
CREATE INDEX requirements_of_user ON @.requirements (user_id, created_at, requirement_id)
    WHERE answered_at IS NULL AND withdrawn_at IS NULL AND user_id IS NOT NULL;
CREATE INDEX requirements_due ON @.requirements (workflow_id, timeout_at)
    WHERE answered_at IS NULL AND withdrawn_at IS NULL AND timeout_at IS NOT NULL;
INSERT INTO @.signals (run_id, kind, data, created_at)
    SELECT run_id, 'cancel', '{}', updated_at FROM @.runs
    WHERE cancel_requested AND status IN ('PENDING', 'RUNNING', 'PAUSED') ORDER BY updated_at, run_id;
INSERT INTO @.signals (run_id, kind, data, created_at)
    SELECT run_id, 'answered', '{}', max(answered_at) FROM @.requirements
    WHERE answered_at IS NOT NULL AND used_at IS NULL AND run_id IN (SELECT run_id FROM @.runs WHERE status = 'PAUSED')
    GROUP BY run_id ORDER BY max(answered_at), run_id;

ALTER TABLE @.runs ADD COLUMN deaths int NOT NULL DEFAULT 0, ADD COLUMN queue text COLLATE "C",
    ADD COLUMN priority int NOT NULL DEFAULT 0, ADD COLUMN not_before float8, ADD COLUMN commit_id text,
    ADD COLUMN traceback bytea, ADD COLUMN ended_at float8, ADD COLUMN pruned int NOT NULL DEFAULT 0;
-- What pruning looks for: when a run ended, and what has been deleted of it (1: text, 2: events, 3: kept for its forks).
UPDATE @.runs SET ended_at = updated_at WHERE status IN ('COMPLETED', 'ERROR', 'CANCELLED', 'REGENERATED');
CREATE INDEX runs_by_end ON @.runs (coalesce(workflow_id, ''), pruned, ended_at, run_id) WHERE ended_at IS NOT NULL;
CREATE INDEX runs_by_origin ON @.runs (forked_from) WHERE forked_from IS NOT NULL;
DROP INDEX @.runs_to_cancel;
CREATE INDEX runs_queued ON @.runs (queue, priority, created_at)
    WHERE queue IS NOT NULL AND owner IS NULL AND status = 'PENDING';
ALTER TABLE @.steps ADD COLUMN edits bytea;
ALTER TABLE @.sessions ADD COLUMN commit_id text;
CREATE TABLE @.deletions (
    session_id text COLLATE "C" PRIMARY KEY,
    deleted_at float8 NOT NULL
);
"""

# A process of version 1 that is connected is refused: its functions say what to do, and so do triggers on the columns
# that its other statements write. Those are there for it alone; this version never names them.
_REFUSALS = f"""
DO $refusals$
DECLARE
    old record;
BEGIN
    FOR old IN
        SELECT pg_get_functiondef(f.oid) AS text
        FROM pg_proc AS f JOIN pg_namespace AS n ON n.oid = f.pronamespace
        WHERE n.nspname = @channel AND f.proname IN (
            'commit_batch', 'claim_run', 'answer_requirements', 'tell', 'delete_session', 'prune_runs', 'prune_events'
        )
    LOOP
        EXECUTE regexp_replace(
            regexp_replace(old.text, 'AS \\$function\\$.*', 'AS $$ BEGIN {_TOO_OLD.replace("'", "''")}; END $$'),
            E'\\n LANGUAGE sql', E'\n LANGUAGE plpgsql'
        );
    END LOOP;
END $refusals$;
DROP FUNCTION IF EXISTS @.add_metrics(text, text), @.used(uuid, bigint), @.use(uuid, bigint), @.lock_class(),
    @.delete_runs(text[]);
CREATE FUNCTION @.refuse_version_1() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_TOO_OLD}; END $$;
ALTER TABLE @.runs RENAME COLUMN lease_until TO leased_until;
ALTER TABLE @.runs ADD COLUMN lease_until float8;
CREATE TRIGGER refuse_version_1 BEFORE UPDATE OF lease_until ON @.runs
    FOR EACH STATEMENT EXECUTE FUNCTION @.refuse_version_1();
ALTER TABLE @.locks RENAME COLUMN held_until TO held_to;
ALTER TABLE @.locks ADD COLUMN held_until float8;
CREATE TRIGGER refuse_version_1 BEFORE INSERT ON @.locks
    FOR EACH ROW WHEN (NEW.held_until IS NOT NULL) EXECUTE FUNCTION @.refuse_version_1();
"""

# Runs of which only the id is stored; messages. A connected process of version 2 keeps calling its own functions.
_THIRD = """
ALTER TABLE @.runs ADD COLUMN reserved boolean NOT NULL DEFAULT false;
CREATE INDEX deletions_by_time ON @.deletions (deleted_at);
CREATE TABLE @.messages (
    run_id text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    message_id text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    created_at float8 NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (run_id, number),
    UNIQUE (run_id, message_id)
);
-- Events that are to be sent to webhooks; without a due_at it is dead.
CREATE TABLE @.deliveries (
    hook text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    created_at float8 NOT NULL,
    attempts int NOT NULL,
    due_at float8,
    error text,
    PRIMARY KEY (run_id, hook, seq)
) WITH (fillfactor = 70);
CREATE INDEX deliveries_due ON @.deliveries (hook, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_by_time ON @.deliveries (created_at, hook, run_id, seq);
-- The status stands with each tag, so that a page of a tag's runs of one status is read from an index.
CREATE TABLE @.tags (
    tag text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    created_at float8 NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    workflow_id text COLLATE "C",
    PRIMARY KEY (run_id, tag)
) WITH (fillfactor = 70);
CREATE INDEX tags_by_status ON @.tags (tag, status, created_at, run_id);
CREATE INDEX tags_of_workflow ON @.tags (workflow_id, tag, status, created_at, run_id);
CREATE FUNCTION @.keep_tags_3() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE @.tags SET status = NEW.status WHERE run_id = NEW.run_id;
    IF NEW.queue IS NOT NULL THEN
        UPDATE @.keys SET status = NEW.status WHERE run_id = NEW.run_id;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER keep_tags AFTER UPDATE OF status ON @.runs FOR EACH ROW WHEN (OLD.status <> NEW.status)
    EXECUTE FUNCTION @.keep_tags_3();
-- A limit has the numbers of the run that was stored last with it. The keys of a run are those of its limits, and the
-- text that no other live run has. A lane is the runs of the same keys: those of one priority wait for their turn together.
CREATE TABLE @.limits (
    key text COLLATE "C" PRIMARY KEY,
    concurrency bigint,
    rate bigint,
    period float8 NOT NULL
);
CREATE TABLE @.keys (
    run_id text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    claimed_at float8,
    PRIMARY KEY (run_id, key)
) WITH (fillfactor = 70);
CREATE INDEX keys_by_status ON @.keys (key, status);
CREATE INDEX keys_by_claim ON @.keys (key, claimed_at) WHERE claimed_at IS NOT NULL;
ALTER TABLE @.runs ADD COLUMN lane text COLLATE "C";
CREATE TABLE @.lanes (
    queue text COLLATE "C" NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    priority int NOT NULL,
    lane text COLLATE "C" NOT NULL,
    served_at float8 NOT NULL,
    turn bigint NOT NULL,
    PRIMARY KEY (queue, workflow_id, priority, lane)
) WITH (fillfactor = 70);
CREATE INDEX lanes_by_turn ON @.lanes (queue, priority DESC, served_at, turn);
-- A claim, which forgets lanes without runs, waits for those that are adding some (``functions``).
CREATE FUNCTION @.enter_lane_3() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(@channel || ' lanes', 7770));
    INSERT INTO @.lanes (queue, workflow_id, priority, lane, served_at, turn)
        VALUES (NEW.queue, NEW.workflow_id, NEW.priority, NEW.lane, NEW.created_at, 0) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER enter_lane AFTER INSERT ON @.runs FOR EACH ROW
    WHEN (NEW.lane IS NOT NULL AND NEW.not_before IS NULL) EXECUTE FUNCTION @.enter_lane_3();
CREATE TRIGGER enter_lane_again AFTER UPDATE OF status, not_before ON @.runs FOR EACH ROW
    WHEN (NEW.lane IS NOT NULL AND NEW.not_before IS NULL AND NEW.status = 'PENDING')
    EXECUTE FUNCTION @.enter_lane_3();
CREATE TABLE @.schedules (
    workflow_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    next_at float8 NOT NULL,
    created_at float8 NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (workflow_id, name)
) WITH (fillfactor = 70);
-- What is taken next, and what may be taken later (infinite: parked). Both lead by what a claim asks for.
DROP INDEX @.runs_queued;
CREATE INDEX runs_queued ON @.runs (queue, priority DESC, created_at, run_id)
    WHERE queue IS NOT NULL AND owner IS NULL AND status = 'PENDING' AND not_before IS NULL AND lane IS NULL;
CREATE INDEX runs_of_lanes ON @.runs (queue, workflow_id, priority, lane, created_at, run_id)
    WHERE lane IS NOT NULL AND owner IS NULL AND status = 'PENDING' AND not_before IS NULL;
CREATE INDEX runs_delayed ON @.runs (queue, not_before)
    WHERE queue IS NOT NULL AND owner IS NULL AND status = 'PENDING' AND not_before IS NOT NULL;
CREATE INDEX runs_of_queues ON @.runs (queue, status) WHERE queue IS NOT NULL AND status IN ('PENDING', 'RUNNING');
"""

MIGRATIONS: tuple[tuple[str, ...], ...] = ((_TABLES,), (_SECOND, _REFUSALS), (_THIRD, *FUNCTIONS))
"""``MIGRATIONS[n]`` leads from version n to n + 1."""

VERSION = len(MIGRATIONS)

# Asked of the catalogue's rows: to_regclass() may answer from a cache that does not know yet what another process made.
_FIND = """
    SELECT current_setting('server_encoding') AS encoding, current_setting('server_version_num')::int AS server,
        EXISTS (SELECT FROM pg_namespace WHERE nspname = $1) AS made,
        EXISTS (
            SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE nspname = $1 AND relname = 'versions'
        ) AS versioned"""
_SCRUB = "DELETE FROM @.writers WHERE used_at < now() - interval '1 hour'"
"""A call is repeated for seconds; a writer whose last call is this old repeats nothing any more."""

# Several statements sent as one text are one transaction, which a cancelled caller cannot leave open.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(@channel, 7770));"
_CREATE = "CREATE TABLE @.versions (version bigint PRIMARY KEY, made_at timestamptz NOT NULL);"
_GUARD = """
DO $guard$ BEGIN
    IF {moved} THEN
        RAISE EXCEPTION 'another process migrated the schema meanwhile' USING ERRCODE = 'serialization_failure';
    END IF;
END $guard$;
"""
_MADE = "EXISTS (SELECT FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = @channel)"


def qualify(text: str, schema: str) -> str:
    """``text`` for ``schema``: ``@.`` becomes its quoted name, ``@channel`` the literal."""
    name = '"' + schema.replace('"', '""') + '"'
    literal = "'" + schema.replace("'", "''") + "'"
    return text.replace("@.", f"{name}.").replace("@channel", literal).replace("SCHEMA @;", f"SCHEMA {name};")


async def migrate(connection: Any, schema: str, server: str) -> None:
    """Bring ``schema`` to ``VERSION``; several processes may try at once. ``server`` is its name in messages.

    Raises:
        StorageError: The schema is of a newer version, or the server is too old or does not store UTF-8.
        asyncpg.SerializationError: Another process was first. Call it again.
    """
    found = await connection.fetchrow(_FIND, schema)
    if found["server"] < 140000:
        raise StorageError(f"{server}: PostgreSQL 14 or newer is needed, this one is older; upgrade the server")
    if found["encoding"] != "UTF8":
        raise StorageError(f"{server}: its encoding is {found['encoding']}; create the database with ENCODING 'UTF8'")
    version = 0
    if found["versioned"]:
        version = await connection.fetchval(qualify("SELECT max(version) FROM @.versions", schema))
    if version > VERSION:
        raise StorageError(
            f"{server}: schema {schema!r} is version {version}, this package knows {VERSION}; "
            "upgrade the package workflow-runtime"
        )
    if version < VERSION:
        await connection.execute(qualify("\n".join(_script(version, make=not found["made"])), schema))
    await connection.execute(qualify(_SCRUB, schema))


def _script(version: int, *, make: bool) -> Iterator[str]:
    yield _LOCK
    yield _GUARD.format(moved=_MADE if version == 0 else f"(SELECT max(version) FROM @.versions) <> {version}")
    if make:
        yield "CREATE SCHEMA @;"
    if version == 0:
        yield _CREATE
    for number in range(version, VERSION):
        yield from MIGRATIONS[number]
        yield f"INSERT INTO @.versions VALUES ({number + 1}, now());"
