"""What a listing reads does not grow with what is stored: the plans, counted row by row, on a session of 10,000 runs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any

import asyncpg
import pytest

from workflow_runtime import Workflow
from workflow_runtime.model.enums import RunStatus
from workflow_runtime.storage import rules
from workflow_runtime.storage.base import RunFilter
from workflow_runtime_postgres import PostgresDb, queries
from workflow_runtime_postgres import statements as sql
from workflow_runtime_postgres.schema import qualify

from .conftest import SCHEMA

pytestmark = pytest.mark.anyio

RUNS = 10_000

# Of 12,500 runs all but a few have ended, and all but a few are of one session, user and workflow.
FILL = f"""
    INSERT INTO @.runs SELECT
        'r' || lpad(n::text, 6, '0'), CASE WHEN n <= {RUNS} THEN 's1' ELSE 's' || n END,
        CASE WHEN n % 10 = 5 THEN 'PAUSED' WHEN n % 1000 = 1 THEN 'RUNNING' ELSE 'COMPLETED' END,
        'u1', 'w1', 'w', CASE WHEN n % 100 = 0 THEN 'parent' END, 1, 9, 'f', n, n, CASE WHEN n % 1000 = 1 THEN 'o' END,
        CASE WHEN n % 1000 = 1 THEN CASE WHEN n <= 1001 THEN n ELSE 9e9 END END, n % 2000 = 1, NULL, 0,
        convert_to(repeat('x', 300), 'UTF8')
        FROM generate_series(1, {RUNS + 2500}) AS n;
    INSERT INTO @.sessions SELECT DISTINCT ON (session_id)
        session_id, user_id, workflow_id, 'w', NULL, 1, NULL::bytea, NULL, NULL::bytea, created_at, created_at FROM @.runs;
    INSERT INTO @.events SELECT 'r000001', n, n, 1, 'E', '', 'data' FROM generate_series(1, {RUNS}) AS n;
    INSERT INTO @.steps SELECT run_id, '0.a', 0, 'completed', 1 FROM @.runs;
    INSERT INTO @.requirements (
        run_id, requirement_id, session_id, user_id, workflow_id, path, kind, created_at, answered_at, data
    ) SELECT run_id, 'q', session_id, user_id, workflow_id, '', 'k', created_at,
        CASE WHEN status <> 'PAUSED' THEN 1.0 END, 'd' FROM @.runs;
    UPDATE @.runs SET ended_at = updated_at, pruned = 1 WHERE status = 'COMPLETED';
    INSERT INTO @.session_values SELECT session_id, 'k', 'v' FROM @.sessions;
"""

# What ``old_runs_2`` asks.
PRUNED = """
    SELECT run.run_id FROM @.runs AS run
    WHERE coalesce(run.workflow_id, '') = $1 AND run.pruned = $2::int AND run.ended_at < $3::float8
    ORDER BY run.ended_at, run.run_id LIMIT $4::bigint"""

DONE = frozenset({RunStatus.COMPLETED})
BEFORE = (5000.5, "r")

LISTINGS: dict[str, tuple[str, list[Any], int]] = {
    "the last run of a session": (*queries.list_runs(RunFilter(session_id="s1"), 1, None), 1),
    "three runs of a session": (*queries.list_runs(RunFilter(session_id="s1"), 3, None), 3),
    "three completed runs of a session": (*queries.list_runs(RunFilter(session_id="s1", statuses=DONE), 3, None), 3),
    "a later page of a session": (*queries.list_runs(RunFilter(session_id="s1", statuses=DONE), 3, BEFORE), 3),
    "the last runs of all": (*queries.list_runs(RunFilter(), 3, None), 3 * len(RunStatus)),
    "the last paused ones": (*queries.list_runs(RunFilter(statuses=frozenset({RunStatus.PAUSED})), 3, None), 3),
    "runs of a user": (*queries.list_runs(RunFilter(user_id="u1"), 3, None), 3),
    "runs of a workflow": (*queries.list_runs(RunFilter(workflow_id="w1"), 3, BEFORE), 3),
    "runs of a parent": (*queries.list_runs(RunFilter(parent_run_id="parent"), 3, None), 125),
    "leases that ran out": (*queries.list_runs(RunFilter(expired=True, statuses=rules.ACTIVE), 3, None), 2),
    "sessions": (*queries.list_sessions(None, None, 3, None), 3),
    "sessions of a user": (*queries.list_sessions("u1", None, 3, None), 3),
    "open questions": (*queries.list_requirements(None, None, None, None, 3, None), 3),
    "open questions of a workflow": (*queries.list_requirements(None, None, "w1", None, 3, None), 3),
    "open questions of an idle workflow": (*queries.list_requirements(None, None, "idle", None, 3, None), 0),
    "open questions of an idle user": (*queries.list_requirements(None, "nobody", None, None, 3, None), 0),
    "questions of a workflow whose time is up": (*queries.list_requirements(None, None, "w1", 0.5, 3, None), 0),
    "runs that ended before": (PRUNED, ["w1", 1, 0.5, 200], 0),
    "text that is pruned": (PRUNED, ["w1", 0, 9e9, 200], 0),
    "open questions of a session": (*queries.list_requirements("s1", None, None, None, 3, None), 3),
    "a page of events": (sql.EVENTS, ["r000001", 5000, 3], 3),
    "the journal of a run": (sql.STEPS, ["r000007"], 1),
    "what a watcher looks at": (sql.MOVED, ["r000001"], 1),
    "a session with its state": (sql.SESSIONS, [["s1"]], 1),
}


@pytest.fixture(scope="module")
def filled(postgres: Any, url: str, empty: Any) -> str:
    import anyio

    db: PostgresDb = empty()()
    anyio.run(db.open)
    for statement in qualify(FILL, SCHEMA).split(";\n"):
        postgres.execute(statement, url)
    postgres.execute("ANALYZE", url)
    return url


@pytest.fixture
async def connection(filled: str) -> AsyncIterator[Any]:
    made = await asyncpg.connect(filled)
    yield made
    await made.close()


_names = count()


async def explain(connection: Any, text: str, values: list[Any]) -> dict[str, Any]:
    """The plan that a prepared statement has settled on, with what was read."""
    name = f"listing_{next(_names)}"
    arguments = ", ".join(map(_literal, values))
    await connection.execute(f"PREPARE {name} AS {qualify(text, SCHEMA)}")
    for _ in range(7):
        await connection.execute(f"EXECUTE {name} ({arguments})")
    [(found,)] = await connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE {name} ({arguments})")
    plan: dict[str, Any] = json.loads(found)[0]["Plan"]
    return plan


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(_literal, value))}]::text[]"
    return f"'{value}'"


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


@pytest.mark.parametrize("name", LISTINGS)
async def test_a_listing_uses_an_index_and_reads_only_what_it_returns(connection: Any, name: str) -> None:
    text, values, most = LISTINGS[name]
    scans = [node for node in nodes(await explain(connection, text, values)) if "Relation Name" in node]
    assert scans
    for scan in scans:
        assert "Index" in scan["Node Type"], scan
        assert scan.get("Rows Removed by Filter", 0) <= 1, scan
        assert round(scan["Actual Rows"] * scan["Actual Loops"]) <= most, scan


async def test_the_verbs_of_a_workflow_make_these_calls(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is explained above is what ``get_last_run_output`` and ``get_chat_history`` send."""
    asked: list[tuple[RunFilter, int]] = []
    db = PostgresDb(filled, schema="verbs")
    listing = db.list_runs

    async def list_runs(where: RunFilter, *, limit: int = 50, before: tuple[float, str] | None = None) -> Any:
        asked.append((where, limit))
        return await listing(where, limit=limit, before=before)

    monkeypatch.setattr(db, "list_runs", list_runs)
    workflow = Workflow(name="w", steps=[lambda: "done"], db=db, session_id="s1")
    for _ in range(5):
        await workflow.arun(input="x")
    asked.clear()
    assert await workflow.aget_last_run_output() is not None
    assert len(await workflow.aget_chat_history(last_n_runs=3)) == 3
    assert [limit for _, limit in asked] == [1, 3]
    assert {where.session_id for where, _ in asked} == {"s1"}
    await db.aclose()


READ = """
    SELECT coalesce(sum(seq_tup_read), 0) FROM pg_stat_xact_user_tables
 WHERE schemaname = $1 AND relname = ANY (ARRAY['runs', 'events', 'steps', 'requirements'])"""


@pytest.mark.parametrize("what", ["runs", "events"])
async def test_a_slice_that_is_pruned_reads_no_table_as_a_whole(url: str, new_db: Any, what: str) -> None:
    db = new_db()
    await db.open()
    connection = await asyncpg.connect(url)
    await connection.execute(qualify("ALTER TABLE @.runs SET (autovacuum_enabled = false)", SCHEMA))
    await connection.execute(qualify(FILL, SCHEMA))  # of which there are no statistics
    transaction = connection.transaction()
    await transaction.start()
    text: str = sql.PRUNE_RUNS if what == "runs" else sql.PRUNE_EVENTS
    values: list[Any] = ["w1", [0, 1, 2], ["COMPLETED"], 9e9, 200, *([] if what == "runs" else [["E"], 3])]
    before = await connection.fetchval(READ, SCHEMA)  # what the server has not reported yet of the statements above
    went, _ = await connection.fetchrow(qualify(text, SCHEMA), *values)
    read = await connection.fetchval(READ, SCHEMA) - before
    await transaction.rollback()
    await connection.close()
    await db.aclose()
    assert (read, went) == (0, 200 if what == "runs" else 0)
