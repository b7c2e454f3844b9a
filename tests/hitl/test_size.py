"""What a run with many pauses costs in the database: as much for each pause, however many there were before."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import anyio
import pytest

from workflow_runtime import Loop, Parallel, RunContext, Step, Workflow
from workflow_runtime.backends import SqliteDb
from workflow_runtime.testing import answers

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


def work() -> str:
    return "x" * 200


def gates(pauses: int) -> list[Any]:
    return [Step(name=f"s{i:02}", executor=work, requires_confirmation=True) for i in range(pauses)]


def reviews(pauses: int) -> list[Any]:
    return [Step(name=f"s{i:02}", executor=work, requires_output_review=True) for i in range(pauses)]


def iterations(pauses: int) -> list[Any]:
    return [Loop([Step(name="gate", executor=work, requires_confirmation=True)], name="loop", max_iterations=pauses)]


def questions(pauses: int) -> list[Any]:
    async def ask(run_context: RunContext) -> str:
        for i in range(pauses):
            await run_context.ask(f"question {i:02}", int)
        return "x" * 200

    return [Step(name="ask", executor=ask)]


async def size(folder: Path, make: Any, pauses: int, store_events: bool) -> int:
    """Bytes of all values in all tables after a run that paused ``pauses`` times."""
    path = folder / f"{make.__name__}{pauses}{store_events}.db"
    db = SqliteDb(path)
    workflow = Workflow(name="w", steps=make(pauses), db=db, store_events=store_events)
    person = answers().confirms()
    if make is questions:
        person.fills_in("ask", value=1)
    await person.run(workflow, "x")
    assert len(person.asked) == pauses
    await db.aclose()
    return await anyio.to_thread.run_sync(_bytes, path)


def _bytes(path: Path) -> int:
    total = 0
    connection = sqlite3.connect(path)
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
        summed = "+".join(f'coalesce(sum(length(CAST("{column}" AS BLOB))), 0)' for column in columns)
        total += connection.execute(f'SELECT {summed} FROM "{table}"').fetchone()[0]
    connection.close()
    return total


@pytest.mark.parametrize("store_events", [False, True], ids=["no events", "events"])
@pytest.mark.parametrize("make", [gates, reviews, iterations, questions])
async def test_the_stored_size_grows_with_the_number_of_pauses_and_not_with_its_square(
    tmp_path: Path, make: Any, store_events: bool
) -> None:
    small, middle, large = [await size(tmp_path, make, pauses, store_events) for pauses in (4, 8, 16)]
    # Twice as many more pauses add twice as many bytes; were it the square, four times as many.
    assert large - middle < 2.3 * (middle - small)


async def test_questions_that_were_open_at_once_cost_the_same_each_however_many_are_answered_one_by_one(
    tmp_path: Path,
) -> None:
    async def size_of(count: int) -> int:
        path = tmp_path / f"open{count}.db"
        db = SqliteDb(path)
        workflow = Workflow(name="w", steps=[Parallel(*gates(count), name="all")], db=db)
        output = await workflow.arun("x")
        while output.is_paused:
            item = next(item for item in output.active_step_requirements if item.answered_at is None)
            item.confirm()
            output = await workflow.acontinue_run(run_id=output.run_id, step_requirements=[item])
        await db.aclose()
        return await anyio.to_thread.run_sync(_bytes, path)

    small, middle, large = [await size_of(count) for count in (4, 8, 16)]
    assert large - middle < 2.3 * (middle - small)
