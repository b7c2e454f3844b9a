"""The code that runs on the server: a write is one call, so one round trip, and the rows that it checks cannot change
meanwhile.

Theory of operation. The rules of ``storage.rules`` are the authority. A function here repeats their *conditions* on locked
rows and either writes all or answers "refused" and writes nothing; the caller then reads the stored rows and lets the rules
raise the error with the reason. The model test holds both to the same behaviour.

A call whose connection broke may have been committed or not, and is repeated. So that a repetition changes nothing, each
call carries a ``writer`` (one caller at a time uses it) and a ``number`` that grows with the writer's calls. A call writes
that number first; a call that finds its own number there, or a later one, has been done. The lock on the number's row makes
a repetition wait for its twin, should the server still be busy with that one.

Locks are taken in one order: runs by id, their rows, the session, the writer. A creator that loses to another reports a
serialization failure (40001), and the caller retries as after any other.

Leases are counted from the server's now, never from a time that a client sends.

A function that a process of an earlier version calls must not do half of what is needed now. So the names end in the
version of their schema: a migration that changes them creates new ones and replaces the old ones with a refusal
(``schema``), which such a process gets at its next write.

``@.`` stands for the schema, ``@channel`` for its name as a literal.
"""

from __future__ import annotations

__all__ = ["FUNCTIONS"]

_METRICS = r"""
CREATE FUNCTION @.add_metrics_3(stored text, counters text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce('{' || string_agg(to_json(name)::text || ':' || total, ',' ORDER BY place) || '}', stored)
    FROM (
        SELECT coalesce(old.name, new.name) AS name, coalesce(old.place, 1000000 + new.place) AS place,
            CASE
                WHEN new.value IS NULL THEN old.value
                WHEN old.value IS NULL THEN new.value
                WHEN old.value !~ '[.eE]' AND new.value !~ '[.eE]' THEN (old.value::numeric + new.value::numeric)::text
                ELSE regexp_replace((old.value::float8 + new.value::float8)::text, '^(-?\d+)$', '\1.0')
            END AS total
        FROM json_each_text(stored::json) WITH ORDINALITY AS old (name, value, place)
        FULL JOIN json_each_text(counters::json) WITH ORDINALITY AS new (name, value, place) ON old.name = new.name
    ) AS both_sides
$$;
"""

_NOW = """
CREATE FUNCTION @.now_3() RETURNS float8 LANGUAGE sql VOLATILE AS $$ SELECT extract(epoch FROM clock_timestamp())::float8
$$;
"""

_USED = """
CREATE FUNCTION @.used_3(p_writer uuid, p_number bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM @.writers WHERE writer = p_writer AND number >= p_number)
$$;

CREATE FUNCTION @.use_3(p_writer uuid, p_number bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO @.writers AS known (writer, number, used_at) VALUES (p_writer, p_number, now())
    ON CONFLICT (writer) DO UPDATE SET number = excluded.number, used_at = now() WHERE known.number < excluded.number;
    RETURN FOUND;
END
$$;
"""

# A session that is not stored has no row to lock.
_SESSION_LOCK = """
CREATE FUNCTION @.session_lock_3(p_session text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended(@channel || ' session ' || p_session, 7770)
$$;
"""

# The order of the arguments is that of ``commits.commit_values``. ``p_said`` is the user that the batch names, if any.
_COMMIT = """
CREATE FUNCTION @.commit_batch_3(
    p_writer uuid, p_number bigint, p_subject text, p_wakes text[],
    p_fence_run text, p_fence_attempt bigint, p_fence_owner text, p_statuses text[], p_final text[], p_waits text[],
    p_session text, p_said text,
    p_run boolean, p_create boolean, p_status text, p_active boolean, p_user text, p_workflow text,
    p_workflow_name text, p_parent text, p_attempt bigint, p_seq bigint, p_fingerprint text, p_created float8,
    p_updated float8, p_owner text, p_until float8, p_lease float8, p_cancel boolean, p_forked text,
    p_deaths int, p_reserved boolean, p_queue text, p_priority int, p_not_before float8, p_lane text, p_data bytea,
    p_patch boolean, p_patch_user text, p_patch_workflow text, p_patch_workflow_name text, p_name text,
    p_metadata bytea, p_metrics text, p_workflow_data bytea, p_now float8,
    p_keys text[], p_values bytea[], p_expected bytea[],
    p_steps text[], p_step_paths text[], p_step_positions bigint[], p_step_statuses text[], p_step_attempts bigint[],
    p_step_started float8[], p_step_finished float8[], p_step_data bytea[], p_step_states bytea[],
    p_events text[], p_event_seqs bigint[], p_event_lasts bigint[], p_event_epochs bigint[], p_event_kinds text[],
    p_event_paths text[], p_event_data bytea[],
    p_asked text[], p_asked_ids text[], p_asked_sessions text[], p_asked_users text[], p_asked_workflows text[],
    p_asked_paths text[], p_asked_kinds text[], p_asked_created float8[], p_asked_timeouts float8[],
    p_asked_answered float8[], p_asked_used float8[], p_asked_withdrawn float8[], p_asked_data bytea[],
    p_messages_seen bigint, p_tags text[],
    p_hooks text[], p_hook_seqs bigint[], p_hook_workflows text[], p_hook_created float8[],
    p_keys_locked text[], p_unique text, p_counted text[], p_limits text[], p_concurrency bigint[], p_rates bigint[],
    p_periods float8[], p_max_queued bigint[],
    OUT refused boolean, OUT session_version bigint, OUT cancel_requested boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    run_known boolean := false;
    run_session text;
    run_status text;
    run_user text;
    run_cancel boolean;
    last_attempt bigint;
    last_owner text;
    session_user_id text;
    old_version bigint;
    session_locked boolean := false;
    replayed boolean;
    run_lane text;
    run_queue text;
    one text;
BEGIN
    -- First of all locks, and in their order: whether the run may be stored depends on others of these keys.
    IF p_keys_locked IS NOT NULL THEN
        FOREACH one IN ARRAY p_keys_locked LOOP
            PERFORM pg_advisory_xact_lock(hashtextextended(@channel || ' key ' || one, 7770));
        END LOOP;
    END IF;
    IF p_subject IS NOT NULL THEN
        SELECT run.session_id, run.status, run.user_id, run.cancel_requested, run.attempt, run.owner,
            run.lane, run.queue
        INTO run_session, run_status, run_user, run_cancel, last_attempt, last_owner, run_lane, run_queue
        FROM @.runs AS run WHERE run.run_id = p_subject FOR NO KEY UPDATE;
        run_known := FOUND;
    END IF;
    IF p_fence_run <> p_subject THEN
        SELECT run.attempt, run.owner INTO last_attempt, last_owner
        FROM @.runs AS run WHERE run.run_id = p_fence_run FOR NO KEY UPDATE;
    END IF;
    IF p_patch THEN
        SELECT session.user_id, session.version INTO session_user_id, old_version
        FROM @.sessions AS session WHERE session.session_id = p_session FOR NO KEY UPDATE;
        session_locked := FOUND;
    ELSIF p_run AND (NOT run_known OR run_user IS DISTINCT FROM p_user) THEN
        -- Whose the session is was checked when the run was first stored.
        SELECT session.user_id INTO session_user_id FROM @.sessions AS session WHERE session.session_id = p_session;
    END IF;
    IF p_run AND NOT run_known AND NOT session_locked THEN
        PERFORM pg_advisory_xact_lock_shared(@.session_lock_3(p_session));
    END IF;

    refused := (p_run AND run_known AND (p_create OR run_session <> p_session))
        OR (p_statuses IS NOT NULL AND (NOT run_known OR run_status <> ALL (p_statuses)))
        OR (p_fence_run IS NOT NULL AND last_attempt IS NULL)
        OR coalesce(last_attempt > p_fence_attempt, false)
        OR coalesce(last_owner <> p_fence_owner, false)
        OR (p_run AND p_fence_run IS NOT NULL AND coalesce(run_status = ANY (p_final), false))
        OR (p_run AND coalesce(run_cancel, false) AND p_status IN ('COMPLETED', 'PAUSED', 'ERROR'))
        OR (p_run AND NOT run_known AND EXISTS (
            SELECT FROM @.deletions AS deletion
            WHERE deletion.session_id = p_session AND p_created < deletion.deleted_at
        ))
        OR coalesce(session_user_id <> p_said, false)
        OR (p_run AND (coalesce(run_user <> p_said, false) OR coalesce(run_user <> session_user_id, false)));
    IF NOT refused AND p_create AND p_keys_locked IS NOT NULL THEN
        refused := EXISTS (
            SELECT FROM @.keys AS live WHERE live.key = p_unique AND live.status IN ('PENDING', 'RUNNING', 'PAUSED')
        ) OR EXISTS (
            SELECT FROM unnest(p_limits, p_max_queued) AS cap (key, max_queued)
            WHERE cap.max_queued <= (
                SELECT count(*) FROM @.keys AS queued WHERE queued.key = cap.key AND queued.status = 'PENDING'
            )
        );
    END IF;
    IF NOT refused AND p_waits IS NOT NULL THEN
        refused := EXISTS (
            SELECT FROM @.requirements AS asked
            WHERE asked.run_id = p_subject AND asked.requirement_id = ANY (p_waits) AND asked.answered_at IS NOT NULL
        );
    END IF;
    IF NOT refused AND p_messages_seen IS NOT NULL THEN
        refused := EXISTS (
            SELECT FROM @.messages AS message WHERE message.run_id = p_subject AND message.number > p_messages_seen
        );
    END IF;
    IF NOT refused AND p_keys IS NOT NULL THEN
        refused := EXISTS (
            SELECT FROM unnest(p_keys, p_expected) AS new (name, expected)
            LEFT JOIN @.session_values AS old ON old.session_id = p_session AND old.name = new.name
            WHERE old.value IS DISTINCT FROM new.expected
        );
    END IF;
    IF refused THEN
        refused := NOT @.used_3(p_writer, p_number);
        IF refused THEN
            RETURN;
        END IF;
        replayed := true;
    ELSE
        replayed := NOT @.use_3(p_writer, p_number);
    END IF;
    IF replayed THEN
        cancel_requested := coalesce(run_cancel, false);
        SELECT session.version INTO session_version FROM @.sessions AS session WHERE session.session_id = p_session;
        RETURN;
    END IF;

    cancel_requested := coalesce(run_cancel, p_run AND p_cancel, false);
    IF p_run AND run_known THEN
        UPDATE @.runs AS run SET
            status = p_status, user_id = coalesce(run.user_id, p_user), workflow_id = p_workflow,
            workflow_name = p_workflow_name, parent_run_id = p_parent, attempt = greatest(run.attempt, p_attempt),
            seq = p_seq, fingerprint = p_fingerprint, created_at = p_created, updated_at = p_updated,
            owner = CASE WHEN p_active THEN run.owner END, leased_until = CASE WHEN p_active THEN run.leased_until END,
            ended_at = CASE WHEN p_status = ANY (p_final) THEN p_updated END,
            pruned = CASE WHEN p_status = ANY (p_final) THEN run.pruned ELSE 0 END,
            forked_from = p_forked, deaths = p_deaths, reserved = p_reserved,
            touched = CASE WHEN p_seq <= run.seq THEN p_seq ELSE run.touched END, data = p_data
        WHERE run.run_id = p_subject;
    ELSIF p_run THEN
        INSERT INTO @.runs (
            run_id, session_id, status, user_id, workflow_id, workflow_name, parent_run_id, attempt, seq, fingerprint,
            created_at, updated_at, owner, leased_until, cancel_requested, forked_from, deaths, reserved, queue, priority,
            not_before, lane, touched, ended_at, data
        ) VALUES (
            p_subject, p_session, p_status, p_user, p_workflow, p_workflow_name, p_parent, p_attempt, p_seq,
            p_fingerprint, p_created, p_updated, CASE WHEN p_active THEN p_owner END,
            CASE WHEN p_active THEN coalesce(@.now_3() + p_lease, p_until) END, p_cancel, p_forked, p_deaths,
            p_reserved, p_queue, p_priority, p_not_before, p_lane, p_seq,
            CASE WHEN p_status = ANY (p_final) THEN p_updated END, p_data
        ) ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'run % was made meanwhile', p_subject USING ERRCODE = 'serialization_failure';
        END IF;
        IF p_tags IS NOT NULL THEN
            INSERT INTO @.tags (tag, status, created_at, run_id, workflow_id)
                SELECT DISTINCT tag, p_status, p_created, p_subject, p_workflow FROM unnest(p_tags) AS tag;
        END IF;
        IF p_counted IS NOT NULL THEN
            INSERT INTO @.keys (run_id, key, status)
                SELECT p_subject, counted.key, p_status FROM unnest(p_counted) AS counted (key);
        END IF;
        IF p_limits IS NOT NULL THEN
            -- Mostly they are as they were, and nothing is written; but they must not be deleted meanwhile.
            PERFORM FROM @.limits AS cap WHERE cap.key = ANY (p_limits) ORDER BY cap.key FOR KEY SHARE;
            INSERT INTO @.limits (key, concurrency, rate, period)
            SELECT * FROM unnest(p_limits, p_concurrency, p_rates, p_periods) AS new (key, concurrency, rate, period)
            WHERE NOT EXISTS (
                SELECT FROM @.limits AS old WHERE old.key = new.key
                AND (old.concurrency, old.rate, old.period) IS NOT DISTINCT FROM (new.concurrency, new.rate, new.period)
            )
            ORDER BY key
            ON CONFLICT (key) DO UPDATE SET
                concurrency = excluded.concurrency, rate = excluded.rate, period = excluded.period;
        END IF;
    END IF;
    IF p_run AND (p_status = ANY (p_final) OR p_status = 'PAUSED') THEN
        UPDATE @.signals SET taken_at = p_updated
            WHERE run_id = p_subject AND taken_at IS NULL AND (p_status <> 'PAUSED' OR kind = 'message');
    END IF;

    IF p_patch AND old_version IS NOT NULL THEN
        session_version := old_version + 1;
        UPDATE @.sessions AS session SET
            user_id = coalesce(p_patch_user, session.user_id),
            workflow_id = coalesce(p_patch_workflow, session.workflow_id),
            workflow_name = coalesce(p_patch_workflow_name, session.workflow_name),
            name = coalesce(p_name, session.name), version = session.version + 1,
            metadata = coalesce(p_metadata, session.metadata),
            metrics = CASE
                WHEN p_metrics IS NULL THEN session.metrics ELSE @.add_metrics_3(session.metrics, p_metrics)
            END,
            workflow_data = coalesce(p_workflow_data, session.workflow_data), updated_at = p_now
        WHERE session.session_id = p_session;
    ELSIF p_patch THEN
        session_version := 1;
        INSERT INTO @.sessions (
            session_id, user_id, workflow_id, workflow_name, name, version, metadata, metrics, workflow_data,
            created_at, updated_at
        ) VALUES (
            p_session, p_patch_user, p_patch_workflow, p_patch_workflow_name, p_name, 1, p_metadata,
            p_metrics, p_workflow_data, p_now, p_now
        ) ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'session % was made meanwhile', p_session USING ERRCODE = 'serialization_failure';
        END IF;
    END IF;
    IF p_keys IS NOT NULL THEN
        IF array_position(p_values, NULL) IS NOT NULL THEN
            DELETE FROM @.session_values AS old USING unnest(p_keys, p_values) AS new (name, value)
            WHERE old.session_id = p_session AND old.name = new.name AND new.value IS NULL;
        END IF;
        INSERT INTO @.session_values (session_id, name, value)
        SELECT p_session, new.name, new.value FROM unnest(p_keys, p_values) AS new (name, value)
        WHERE new.value IS NOT NULL
        ON CONFLICT (session_id, name) DO UPDATE SET value = excluded.value;
    END IF;

    IF p_steps IS NOT NULL THEN
        -- ``position`` keeps its first value: it is the order of first writes.
        INSERT INTO @.steps (run_id, path, position, status, attempt, started_at, finished_at, data, state)
        SELECT * FROM unnest(
            p_steps, p_step_paths, p_step_positions, p_step_statuses, p_step_attempts, p_step_started,
            p_step_finished, p_step_data, p_step_states
        )
        ON CONFLICT (run_id, path) DO UPDATE SET
            status = excluded.status, attempt = excluded.attempt, started_at = excluded.started_at,
            finished_at = excluded.finished_at, data = excluded.data, state = excluded.state;
    END IF;
    IF p_events IS NOT NULL THEN
        INSERT INTO @.events (run_id, seq, last_seq, epoch, kind, path, data)
        SELECT * FROM unnest(
            p_events, p_event_seqs, p_event_lasts, p_event_epochs, p_event_kinds, p_event_paths, p_event_data
        )
        ON CONFLICT (run_id, seq) DO UPDATE SET
            last_seq = excluded.last_seq, epoch = excluded.epoch, kind = excluded.kind, path = excluded.path,
            data = excluded.data;
    END IF;
    IF p_asked IS NOT NULL THEN
        -- A question that was answered is not opened again by a late write of the row that asked it.
        INSERT INTO @.requirements AS old (
            run_id, requirement_id, session_id, user_id, workflow_id, path, kind, created_at, timeout_at, answered_at,
            used_at, withdrawn_at, data
        )
        SELECT new.run_id, new.requirement_id, new.session_id, new.user_id, new.workflow_id, new.path, new.kind,
            new.created_at, new.timeout_at, new.answered_at, new.used_at, new.withdrawn_at, new.data
        FROM unnest(
            p_asked, p_asked_ids, p_asked_sessions, p_asked_users, p_asked_workflows, p_asked_paths, p_asked_kinds,
            p_asked_created, p_asked_timeouts, p_asked_answered, p_asked_used, p_asked_withdrawn, p_asked_data
        ) WITH ORDINALITY AS new (
            run_id, requirement_id, session_id, user_id, workflow_id, path, kind, created_at, timeout_at, answered_at,
            used_at, withdrawn_at, data, place
        )
        ORDER BY new.place
        ON CONFLICT (run_id, requirement_id) DO UPDATE SET
            session_id = excluded.session_id, user_id = excluded.user_id, workflow_id = excluded.workflow_id,
            path = excluded.path, kind = excluded.kind, created_at = excluded.created_at,
            timeout_at = excluded.timeout_at, answered_at = coalesce(excluded.answered_at, old.answered_at),
            used_at = excluded.used_at, withdrawn_at = excluded.withdrawn_at,
            data = CASE
                WHEN old.answered_at IS NOT NULL AND excluded.answered_at IS NULL THEN old.data ELSE excluded.data
            END;
    END IF;
    IF p_hooks IS NOT NULL THEN
        INSERT INTO @.deliveries (hook, run_id, seq, workflow_id, created_at, attempts, due_at)
            SELECT new.hook, p_subject, new.seq, new.workflow_id, new.created_at, 0, @.now_3()
            FROM unnest(p_hooks, p_hook_seqs, p_hook_workflows, p_hook_created)
                AS new (hook, seq, workflow_id, created_at)
            ON CONFLICT DO NOTHING;
    END IF;
    PERFORM @.tell_3(p_wakes);
    IF run_lane IS NOT NULL AND run_status = 'RUNNING' AND p_run AND NOT p_active THEN
        PERFORM @.tell_3(ARRAY['queue:' || run_queue]);
    END IF;
END
$$;
"""

# Why it does not simply notify: ``listen``.
_TELL = """
CREATE FUNCTION @.lock_class_3() RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT hashtext('workflow_runtime ' || @channel)
$$;

CREATE FUNCTION @.tell_3(p_runs text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    run_id text;
BEGIN
    FOREACH run_id IN ARRAY p_runs LOOP
        IF NOT pg_try_advisory_xact_lock(@.lock_class_3(), get_byte(sha256(convert_to(run_id, 'UTF8')), 0)) THEN
            PERFORM pg_notify(@channel, run_id);
        END IF;
    END LOOP;
END
$$;
"""

# Both call it with the runs locked. Batches that are refused whatever is stored are refused here too.
_ANSWERS = """
CREATE FUNCTION @.store_answers_3(
    p_runs text[], p_ids text[], p_data bytea[], p_answered float8[], p_final text[]
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    open_ones bigint;
BEGIN
    PERFORM FROM @.requirements AS asked JOIN unnest(p_runs, p_ids) AS new (run_id, id)
        ON asked.run_id = new.run_id AND asked.requirement_id = new.id
        ORDER BY asked.number FOR NO KEY UPDATE OF asked;
    SELECT count(DISTINCT (asked.run_id, asked.requirement_id)) INTO open_ones
        FROM @.requirements AS asked JOIN unnest(p_runs, p_ids, p_answered) AS new (run_id, id, answered_at)
        ON asked.run_id = new.run_id AND asked.requirement_id = new.id
        LEFT JOIN @.runs AS run ON run.run_id = asked.run_id
        WHERE asked.answered_at IS NULL AND asked.withdrawn_at IS NULL AND new.answered_at IS NOT NULL
            AND coalesce(run.status <> ALL (p_final), true);
    IF open_ones <> cardinality(p_ids) THEN
        RETURN false;
    END IF;
    UPDATE @.requirements AS asked SET data = new.data, answered_at = new.answered_at
        FROM unnest(p_runs, p_ids, p_data, p_answered) AS new (run_id, id, data, answered_at)
        WHERE asked.run_id = new.run_id AND asked.requirement_id = new.id;
    RETURN true;
END
$$;

CREATE FUNCTION @.answer_requirements_3(
    p_writer uuid, p_number bigint, p_runs text[], p_ids text[], p_data bytea[], p_answered float8[],
    p_final text[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM @.runs AS run WHERE run.run_id = ANY (p_runs) ORDER BY run.run_id FOR NO KEY UPDATE;
    IF @.used_3(p_writer, p_number) THEN
        RETURN true;
    END IF;
    IF NOT @.store_answers_3(p_runs, p_ids, p_data, p_answered, p_final) THEN
        RETURN false;
    END IF;
    PERFORM @.use_3(p_writer, p_number);
    UPDATE @.runs AS run SET touched = run.seq WHERE run.run_id = ANY (p_runs);
    INSERT INTO @.signals (run_id, kind, data, created_at)
        SELECT new.run_id, 'answered', '{}', (array_agg(new.answered_at ORDER BY new.place DESC))[1]
        FROM unnest(p_runs, p_answered) WITH ORDINALITY AS new (run_id, answered_at, place)
        GROUP BY new.run_id ORDER BY min(new.place);
    PERFORM @.tell_3(ARRAY(SELECT DISTINCT unnest(p_runs)));
    RETURN true;
END
$$;
"""

# Where it stores nothing, the rules say why: a message is there, or is refused. The lock on the run keeps the numbers in
# the order of the commits.
_SEND = """
CREATE FUNCTION @.send_message_3(
    p_writer uuid, p_number bigint, p_run text, p_id text, p_topic text, p_created float8, p_data bytea, p_wait text,
    p_expires float8, p_only_if_awaited boolean, p_active text[], p_paused text, OUT stored bigint, OUT awaited boolean
) LANGUAGE plpgsql AS $$
DECLARE
    run_status text;
BEGIN
    SELECT run.status INTO run_status FROM @.runs AS run WHERE run.run_id = p_run FOR NO KEY UPDATE;
    awaited := EXISTS (
        SELECT FROM @.requirements AS asked WHERE asked.run_id = p_run AND asked.kind = p_wait
        AND asked.answered_at IS NULL AND asked.withdrawn_at IS NULL
    );
    IF @.used_3(p_writer, p_number) THEN
        SELECT message.number INTO stored FROM @.messages AS message
            WHERE message.run_id = p_run AND message.message_id = p_id;
        RETURN;
    END IF;
    IF run_status IS NULL OR NOT (run_status = ANY (p_active) OR run_status = p_paused)
        OR coalesce(p_created > p_expires, false) OR (p_only_if_awaited AND NOT awaited)
        OR EXISTS (SELECT FROM @.messages AS message WHERE message.run_id = p_run AND message.message_id = p_id)
    THEN
        RETURN;
    END IF;
    PERFORM @.use_3(p_writer, p_number);
    SELECT coalesce(max(message.number), 0) + 1 INTO stored FROM @.messages AS message WHERE message.run_id = p_run;
    INSERT INTO @.messages (run_id, number, message_id, topic, created_at, data)
        VALUES (p_run, stored, p_id, p_topic, p_created, p_data);
    IF awaited OR run_status <> p_paused OR p_topic = '!step' THEN
        INSERT INTO @.signals (run_id, kind, data, created_at) VALUES (p_run, 'message', '{}', p_created);
    END IF;
END
$$;
"""

# A row of nothing but NULL: the run is there to be claimed, but its answers are refused.
_CLAIM = """
CREATE FUNCTION @.claim_run_3(
    p_writer uuid, p_number bigint, p_run text, p_owner text, p_now float8, p_lease float8, p_statuses text[],
    p_final text[], p_expired boolean, p_runs text[], p_ids text[], p_data bytea[], p_answered float8[]
) RETURNS SETOF @.runs LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM @.runs AS run WHERE run.run_id = p_run FOR NO KEY UPDATE;
    IF @.used_3(p_writer, p_number) THEN
        RETURN QUERY SELECT run.* FROM @.runs AS run WHERE run.run_id = p_run AND run.owner = p_owner;
        RETURN;
    END IF;
    PERFORM FROM @.runs AS run WHERE run.run_id = p_run AND run.status = ANY (p_statuses)
        AND NOT (p_expired AND coalesce(run.leased_until > @.now_3(), false));
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF p_ids IS NOT NULL AND NOT @.store_answers_3(p_runs, p_ids, p_data, p_answered, p_final) THEN
        RETURN NEXT NULL;
        RETURN;
    END IF;
    RETURN QUERY UPDATE @.runs AS run SET
        status = 'RUNNING', attempt = run.attempt + 1, owner = p_owner,
        leased_until = @.now_3() + p_lease, updated_at = p_now, touched = run.seq, ended_at = NULL, pruned = 0,
        cancel_requested = run.cancel_requested AND run.status <> ALL (p_final),
        deaths = CASE
            WHEN run.status = ANY (p_final) THEN 0
            WHEN p_expired AND run.status = 'RUNNING' AND run.owner IS NOT NULL THEN run.deaths + 1
            ELSE run.deaths
        END
    WHERE run.run_id = p_run
    RETURNING run.*;
    UPDATE @.signals AS signal SET taken_at = p_now WHERE signal.run_id = p_run AND signal.taken_at IS NULL;
    PERFORM @.use_3(p_writer, p_number);
    PERFORM @.tell_3(ARRAY[p_run]);
END
$$;
"""

# Runs with limits. A claim of one reads what others have claimed, so these are made one after another; it forgets lanes
# that have no runs, so it also waits for the commits that are adding some (``enter_lane`` of the schema).
_LIMITS = """
CREATE FUNCTION @.lane_first_3(p_lane @.lanes) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT run.run_id FROM @.runs AS run
    WHERE run.queue = p_lane.queue AND run.workflow_id = p_lane.workflow_id AND run.priority = p_lane.priority
        AND run.lane = p_lane.lane AND run.owner IS NULL AND run.status = 'PENDING' AND run.not_before IS NULL
    ORDER BY run.created_at, run.run_id LIMIT 1
$$;

-- NULL where there is no run.
CREATE FUNCTION @.is_full_3(p_run text, p_now float8) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN p_run IS NOT NULL THEN EXISTS (
        SELECT FROM @.keys AS mine JOIN @.limits AS cap ON cap.key = mine.key
        WHERE mine.run_id = p_run AND (
            cap.concurrency <= (
                SELECT count(*) FROM @.keys AS held WHERE held.key = cap.key AND held.status = 'RUNNING'
            ) OR cap.rate <= (
                SELECT count(*) FROM @.keys AS begun
                WHERE begun.key = cap.key AND begun.claimed_at > p_now - cap.period
            )
        )
    ) END
$$;

-- Of one queue, the first run that may be claimed, and its place among the others. By index: the first lanes are often
-- enough, whatever the planner thinks of a table of which it has no statistics yet.
CREATE FUNCTION @.first_of_lanes_3(
    p_queue text, p_workflows text[], p_now float8, OUT run text, OUT run_priority int, OUT placed_at float8
) LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    one @.lanes;
BEGIN
    FOR one IN
        SELECT lane.* FROM @.lanes AS lane WHERE lane.queue = p_queue AND lane.workflow_id = ANY (p_workflows)
        ORDER BY lane.priority DESC, lane.served_at, lane.turn
    LOOP
        run := @.lane_first_3(one);
        IF run IS NULL THEN
            DELETE FROM @.lanes AS lane
            WHERE lane.queue = one.queue AND lane.workflow_id = one.workflow_id AND lane.priority = one.priority
                AND lane.lane = one.lane;
        ELSIF NOT @.is_full_3(run, p_now) THEN
            PERFORM FROM @.runs AS found WHERE found.run_id = run AND found.owner IS NULL AND found.status = 'PENDING'
                FOR NO KEY UPDATE SKIP LOCKED;
            IF FOUND THEN
                run_priority := one.priority;
                placed_at := one.served_at;
                RETURN;
            END IF;
        END IF;
    END LOOP;
    run := NULL;
END
$$;
"""

# Runs whose time has come join those that wait. Rows that another claim is taking are skipped, not awaited.
_QUEUES = """
CREATE FUNCTION @.claim_next_3(
    p_writer uuid, p_number bigint, p_queues text[], p_workflows text[], p_owner text, p_now float8, p_lease float8
) RETURNS SETOF @.runs LANGUAGE plpgsql AS $$
DECLARE
    wanted text;
    found_run text;
    limited boolean;
    first_run text;
    first_priority int;
    first_at float8;
BEGIN
    limited := EXISTS (SELECT FROM @.lanes AS lane WHERE lane.queue = ANY (p_queues)) OR EXISTS (
        SELECT FROM @.runs AS late
        WHERE late.queue = ANY (p_queues) AND late.owner IS NULL AND late.status = 'PENDING'
            AND late.not_before IS NOT NULL AND late.not_before <= p_now AND late.lane IS NOT NULL
    );
    IF limited THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(@channel || ' lanes', 7770));
    END IF;
    IF @.used_3(p_writer, p_number) THEN
        RETURN QUERY SELECT run.* FROM @.runs AS run
            WHERE run.owner = p_owner AND run.status = 'RUNNING' AND run.updated_at = p_now
                AND run.queue = ANY (p_queues) LIMIT 1;
        RETURN;
    END IF;
    FOREACH wanted IN ARRAY p_queues LOOP
        UPDATE @.runs AS run SET not_before = NULL WHERE run.run_id = ANY (ARRAY(
            SELECT late.run_id FROM @.runs AS late
            WHERE late.queue = wanted AND late.owner IS NULL AND late.status = 'PENDING'
                AND late.not_before IS NOT NULL AND late.not_before <= p_now AND (limited OR late.lane IS NULL)
            ORDER BY late.not_before LIMIT 100 FOR NO KEY UPDATE SKIP LOCKED
        ));
        IF limited THEN
            SELECT lane.run, lane.run_priority, lane.placed_at INTO first_run, first_priority, first_at
                FROM @.first_of_lanes_3(wanted, p_workflows, p_now) AS lane;
            -- One without limits goes first if it has waited for longer than the lane.
            IF first_run IS NOT NULL THEN
                SELECT run.run_id INTO found_run FROM @.runs AS run
                    WHERE run.queue = wanted AND run.owner IS NULL AND run.status = 'PENDING' AND run.not_before IS NULL
                        AND run.lane IS NULL AND run.workflow_id = ANY (p_workflows)
                        AND (run.priority > first_priority
                            OR (run.priority = first_priority AND run.created_at <= first_at))
                    ORDER BY run.priority DESC, run.created_at, run.run_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
                found_run := coalesce(found_run, first_run);
                EXIT;
            END IF;
        END IF;
        SELECT run.run_id INTO found_run FROM @.runs AS run
            WHERE run.queue = wanted AND run.owner IS NULL AND run.status = 'PENDING' AND run.not_before IS NULL
                AND run.lane IS NULL AND run.workflow_id = ANY (p_workflows)
            ORDER BY run.priority DESC, run.created_at, run.run_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        EXIT WHEN FOUND;
    END LOOP;
    IF found_run IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY UPDATE @.runs AS run SET
        status = 'RUNNING', attempt = run.attempt + 1, owner = p_owner, leased_until = @.now_3() + p_lease,
        updated_at = p_now, touched = run.seq
    WHERE run.run_id = found_run RETURNING run.*;
    IF limited AND found_run = first_run THEN
        UPDATE @.keys AS mine SET claimed_at = p_now
            WHERE mine.run_id = found_run AND mine.key IN (SELECT cap.key FROM @.limits AS cap);
        UPDATE @.lanes AS lane SET served_at = p_now, turn = 1 + coalesce((
                SELECT max(other.turn) FROM @.lanes AS other
                WHERE other.queue = lane.queue AND other.priority = lane.priority AND other.served_at = p_now
            ), 0)
            FROM @.runs AS run WHERE run.run_id = found_run AND lane.queue = run.queue
                AND lane.workflow_id = run.workflow_id AND lane.priority = run.priority AND lane.lane = run.lane;
    END IF;
    UPDATE @.signals AS signal SET taken_at = p_now WHERE signal.run_id = found_run AND signal.taken_at IS NULL;
    PERFORM @.use_3(p_writer, p_number);
    PERFORM @.tell_3(ARRAY[found_run]);
END
$$;

CREATE FUNCTION @.put_back_3(
    p_writer uuid, p_number bigint, p_run text, p_attempt bigint, p_owner text, p_not_before float8
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found_queue text;
BEGIN
    PERFORM FROM @.runs AS run WHERE run.run_id = p_run FOR NO KEY UPDATE;
    IF @.used_3(p_writer, p_number) THEN
        RETURN (SELECT run.queue FROM @.runs AS run WHERE run.run_id = p_run);
    END IF;
    UPDATE @.runs AS run SET
        status = 'PENDING', owner = NULL, leased_until = NULL, not_before = p_not_before, touched = run.seq
    WHERE run.run_id = p_run AND run.attempt = p_attempt AND run.owner IS NOT NULL
        AND coalesce(run.owner = p_owner, true) AND run.status IN ('PENDING', 'RUNNING') AND run.queue IS NOT NULL
    RETURNING run.queue INTO found_queue;
    IF FOUND THEN
        PERFORM @.use_3(p_writer, p_number);
        PERFORM @.tell_3(ARRAY[p_run, 'queue:' || found_queue]);
    END IF;
    RETURN found_queue;
END
$$;

CREATE FUNCTION @.reschedule_3(p_writer uuid, p_number bigint, p_run text, p_not_before float8)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found_queue text;
BEGIN
    UPDATE @.runs AS run SET not_before = p_not_before, touched = run.seq
    WHERE run.run_id = p_run AND run.owner IS NULL AND run.status = 'PENDING' AND run.queue IS NOT NULL
    RETURNING run.queue INTO found_queue;
    IF FOUND THEN
        PERFORM @.tell_3(ARRAY[p_run, 'queue:' || found_queue]);
    END IF;
    RETURN found_queue;
END
$$;
"""

_SIGNALS = """
CREATE FUNCTION @.request_cancel_3(p_writer uuid, p_number bigint, p_run text, p_now float8, p_statuses text[])
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found_status text;
BEGIN
    SELECT run.status INTO found_status FROM @.runs AS run WHERE run.run_id = p_run FOR NO KEY UPDATE;
    IF @.used_3(p_writer, p_number) THEN
        RETURN found_status;
    END IF;
    IF found_status IS NULL OR found_status <> ALL (p_statuses) THEN
        RETURN NULL;
    END IF;
    PERFORM @.use_3(p_writer, p_number);
    UPDATE @.runs AS run SET cancel_requested = true, updated_at = p_now, touched = run.seq WHERE run.run_id = p_run;
    INSERT INTO @.signals (run_id, kind, data, created_at) VALUES (p_run, 'cancel', '{}', p_now);
    PERFORM @.tell_3(ARRAY[p_run]);
    RETURN found_status;
END
$$;

-- Nothing is written where there are none. A repetition finds what it took by its time, which its writer has as well.
CREATE FUNCTION @.take_signals_3(p_writer uuid, p_number bigint, p_owner text, p_active text[])
RETURNS SETOF @.signals LANGUAGE plpgsql AS $$
DECLARE
    mine bigint[];
    taken float8;
BEGIN
    mine := ARRAY(
        SELECT signal.number FROM @.signals AS signal JOIN @.runs AS run ON run.run_id = signal.run_id
        WHERE signal.taken_at IS NULL AND run.owner = p_owner AND run.status = ANY (p_active)
        ORDER BY signal.number FOR NO KEY UPDATE OF signal SKIP LOCKED
    );
    IF @.used_3(p_writer, p_number) THEN
        SELECT extract(epoch FROM used_at)::float8 INTO taken FROM @.writers WHERE writer = p_writer;
        RETURN QUERY SELECT signal.* FROM @.signals AS signal JOIN @.runs AS run ON run.run_id = signal.run_id
            WHERE signal.taken_at = taken AND run.owner = p_owner ORDER BY signal.number;
        RETURN;
    END IF;
    IF cardinality(mine) = 0 THEN
        RETURN;
    END IF;
    PERFORM @.use_3(p_writer, p_number);
    RETURN QUERY UPDATE @.signals AS signal SET taken_at = extract(epoch FROM now())::float8
        WHERE signal.number = ANY (mine) RETURNING signal.*;
END
$$;
"""

_DELETE = """
CREATE FUNCTION @.origin_3(forked_from text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT substring(forked_from FROM '^(.*)@')
$$;

-- By index, whatever the planner thinks of a table of which it has no statistics yet: a slice of a large table would read
-- all of it, and pruning would cost the square of what it deletes.
CREATE FUNCTION @.delete_runs_3(p_runs text[]) RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    went bigint;
    counted text[] := ARRAY(SELECT DISTINCT mine.key FROM @.keys AS mine WHERE mine.run_id = ANY (p_runs));
BEGIN
    -- Runs that were kept for these may be pruned, unless they have other forks.
    UPDATE @.runs SET pruned = 2 WHERE pruned = 3 AND run_id <> ALL (p_runs) AND run_id = ANY (ARRAY(
        SELECT @.origin_3(forked_from) FROM @.runs WHERE run_id = ANY (p_runs) AND forked_from IS NOT NULL
    ));
    DELETE FROM @.steps WHERE run_id = ANY (p_runs);
    DELETE FROM @.events WHERE run_id = ANY (p_runs);
    DELETE FROM @.requirements WHERE run_id = ANY (p_runs);
    DELETE FROM @.signals WHERE run_id = ANY (p_runs);
    DELETE FROM @.messages WHERE run_id = ANY (p_runs);
    DELETE FROM @.deliveries WHERE run_id = ANY (p_runs);
    DELETE FROM @.tags WHERE run_id = ANY (p_runs);
    DELETE FROM @.keys WHERE run_id = ANY (p_runs);
    IF cardinality(counted) > 0 THEN
        -- First the locks, so that the keys of a run that is being stored are seen (``commit_batch``).
        PERFORM FROM @.limits AS cap WHERE cap.key = ANY (counted) ORDER BY cap.key FOR UPDATE;
        DELETE FROM @.limits AS cap WHERE cap.key = ANY (counted)
            AND NOT EXISTS (SELECT FROM @.keys AS other WHERE other.key = cap.key);
    END IF;
    DELETE FROM @.runs WHERE run_id = ANY (p_runs);
    GET DIAGNOSTICS went = ROW_COUNT;
    RETURN went;
END
$$;

CREATE FUNCTION @.delete_session_3(
    p_writer uuid, p_number bigint, p_session text, p_now float8, p_remembered float8, OUT gone text[], OUT known boolean
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(@.session_lock_3(p_session));
    IF p_now IS NOT NULL THEN
        DELETE FROM @.deletions AS old WHERE old.deleted_at < p_now - p_remembered AND old.session_id <> p_session;
        INSERT INTO @.deletions AS mark (session_id, deleted_at) VALUES (p_session, p_now)
        ON CONFLICT (session_id) DO UPDATE SET deleted_at = greatest(mark.deleted_at, excluded.deleted_at);
    END IF;
    gone := ARRAY(
        SELECT run.run_id FROM @.runs AS run WHERE run.session_id = p_session ORDER BY run.run_id FOR UPDATE
    );
    IF @.used_3(p_writer, p_number) THEN
        known := true;
        RETURN;
    END IF;
    -- Who stores a new run of the session waits here or at the lock above, and then meets the mark; or has stored it, and
    -- it is found now.
    PERFORM FROM @.sessions AS session WHERE session.session_id = p_session FOR UPDATE;
    gone := ARRAY(
        SELECT run.run_id FROM @.runs AS run WHERE run.session_id = p_session ORDER BY run.run_id FOR UPDATE
    );
    PERFORM @.delete_runs_3(gone);
    DELETE FROM @.sessions WHERE session_id = p_session;
    known := FOUND OR cardinality(gone) > 0;
    DELETE FROM @.session_values WHERE session_id = p_session;
    IF known THEN
        PERFORM @.use_3(p_writer, p_number);
        PERFORM @.tell_3(gone);
    END IF;
END
$$;

CREATE FUNCTION @.discard_3(p_run text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM @.runs AS run WHERE run.run_id = p_run AND run.reserved AND run.leased_until <= @.now_3() FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM @.delete_runs_3(ARRAY[p_run]);
    PERFORM @.tell_3(ARRAY[p_run]);
    RETURN true;
END
$$;
"""

# Of each workflow ("" for runs without one) and mark, the runs that ended first. Locked rows are left
# to the next call, also those of a run that is being deleted elsewhere.
_PRUNE = """
CREATE FUNCTION @.old_runs_3(p_workflow text, p_marks int[], p_before float8, p_limit bigint) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    workflow text := coalesce(p_workflow, '');
    mark int;
    left_over bigint := p_limit;
    looked bigint;
BEGIN
    WHILE workflow IS NOT NULL AND coalesce(left_over > 0, true) LOOP
        FOREACH mark IN ARRAY p_marks LOOP
            RETURN QUERY SELECT run.run_id FROM @.runs AS run
                WHERE coalesce(run.workflow_id, '') = workflow AND run.pruned = mark AND run.ended_at < p_before
                ORDER BY run.ended_at, run.run_id LIMIT left_over;
            GET DIAGNOSTICS looked = ROW_COUNT;
            left_over := left_over - looked;
        END LOOP;
        EXIT WHEN p_workflow IS NOT NULL;
        SELECT run.workflow_id INTO workflow FROM @.runs AS run
            WHERE run.workflow_id IS NOT NULL AND run.workflow_id > workflow ORDER BY run.workflow_id LIMIT 1;
    END LOOP;
END
$$;

CREATE FUNCTION @.prune_runs_3(
    p_workflow text, p_marks int[], p_final text[], p_before float8, p_limit bigint, OUT went bigint, OUT more boolean
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    old text[] := ARRAY(SELECT @.old_runs_3(p_workflow, p_marks, p_before, p_limit));
    kept text[];
BEGIN
    more := cardinality(old) >= p_limit;
    old := ARRAY(
        SELECT run.run_id FROM @.runs AS run
        WHERE run.run_id = ANY (old) AND run.status = ANY (p_final) AND run.ended_at < p_before
        ORDER BY run.run_id FOR UPDATE SKIP LOCKED
    );
    -- "A" follows "@", so these are all that begin with the id and an "@".
    kept := ARRAY(
        SELECT origin.id FROM unnest(old) AS origin (id), LATERAL (
            SELECT FROM @.runs AS fork
            WHERE fork.forked_from >= origin.id || '@' AND fork.forked_from < origin.id || 'A'
            AND @.origin_3(fork.forked_from) = origin.id
            LIMIT 1 -- so that it is looked up for each, and not joined with all runs
        ) AS found
    );
    UPDATE @.runs AS run SET pruned = 3 WHERE run.run_id = ANY (kept);
    went := @.delete_runs_3(ARRAY(SELECT unnest(old) EXCEPT SELECT unnest(kept)));
END
$$;

CREATE FUNCTION @.prune_events_3(
    p_workflow text, p_marks int[], p_final text[], p_before float8, p_limit bigint, p_kinds text[], p_mark int,
    OUT went bigint, OUT more boolean
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    old text[] := ARRAY(
        SELECT @.old_runs_3(p_workflow, p_marks, p_before, CASE WHEN p_mark > 0 THEN p_limit END)
    );
    one text;
    gone bigint;
BEGIN
    more := p_mark > 0 AND cardinality(old) >= p_limit;
    went := 0;
    FOREACH one IN ARRAY old LOOP
        PERFORM FROM @.runs AS run WHERE run.run_id = one AND run.status = ANY (p_final) AND run.ended_at < p_before
            FOR NO KEY UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        DELETE FROM @.events AS event USING (
            SELECT kept.run_id, kept.seq FROM @.events AS kept
            WHERE kept.run_id = one AND kept.kind = ANY (p_kinds) ORDER BY kept.seq LIMIT p_limit - went
        ) AS due WHERE event.run_id = due.run_id AND event.seq = due.seq;
        GET DIAGNOSTICS gone = ROW_COUNT;
        went := went + gone;
        IF went >= p_limit THEN
            more := true;
            EXIT;
        END IF;
        IF p_mark > 0 THEN
            UPDATE @.runs AS run SET pruned = p_mark WHERE run.run_id = one;
        END IF;
    END LOOP;
END
$$;
"""

FUNCTIONS = (
    _NOW,
    _METRICS,
    _USED,
    _TELL,
    _SESSION_LOCK,
    _COMMIT,
    _ANSWERS,
    _SEND,
    _CLAIM,
    _LIMITS,
    _QUEUES,
    _SIGNALS,
    _DELETE,
    _PRUNE,
)
"""In the order in which they are made: each uses only those before it."""
