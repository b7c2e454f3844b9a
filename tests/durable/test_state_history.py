"""Session state is stored once: runs and steps name versions of it. What is read back is what was there."""

from __future__ import annotations

import copy
import json
import random
import sqlite3
import string
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_runtime import (
    BaseDb,
    InMemoryDb,
    Parallel,
    RunContext,
    RunStatus,
    Step,
    StepInput,
    StorageError,
    Workflow,
)
from workflow_runtime.backends import SqliteDb
from workflow_runtime.storage.base import RunFilter
from workflow_runtime.storage.history import difference, undone

Again = Callable[[], BaseDb]
RUNS = 300
FOREVER = 1e12


def text(size: int = 1000) -> str:
    return "".join(random.choices(string.ascii_letters, k=size))


async def say(run_context: RunContext) -> None:
    run_context.session_state.setdefault("messages", []).append(text())


async def stored_bytes(place: str) -> int:
    """The bytes of all values in all rows."""
    if not place.startswith("postgres"):
        with sqlite3.connect(place) as connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return sum(_bytes_of(connection, table) for table in tables)
    server = await asyncpg.connect(place)
    try:
        columns = await server.fetch(
            "SELECT table_name, column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = 'workflow_runtime'"
        )
        total = 0
        for table, column, kind in columns:
            value = f'"{column}"' if kind == "bytea" else f'"{column}"::text'
            total += await server.fetchval(
                f'SELECT coalesce(sum(octet_length({value})), 0)::bigint FROM workflow_runtime."{table}"'
            )
        return total
    finally:
        await server.close()


def _bytes_of(connection: sqlite3.Connection, table: str) -> int:
    names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    sums = "+".join(f"coalesce(sum(length(CAST({name} AS BLOB))), 0)" for name in names)
    return connection.execute(f"SELECT {sums} FROM {table}").fetchone()[0]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The file of a SQLite database, or the URL of one in PostgreSQL."""
    return f"{tmp_path}/runs.db" if request.param == "sqlite" else request.getfixturevalue("postgres").new_database()


@pytest.fixture
def opened(place: str) -> Any:
    from workflow_runtime.storage.registry import open_url

    return open_url(place if place.startswith("postgres") else f"sqlite:///{place}")


@pytest.mark.anyio
async def test_a_conversation_in_the_state_takes_at_most_three_times_its_text(opened: BaseDb, place: str) -> None:
    workflow = Workflow(name="Chat", steps=[say], db=opened, session_id="s")
    for _ in range(RUNS):
        output = await workflow.arun("hi")
    await opened.aclose()
    assert await stored_bytes(place) <= 3 * RUNS * 1000
    read = await workflow.aget_run_output(str(output.run_id))
    assert read is not None
    assert read.session_state == output.session_state
    assert len((read.session_state or {})["messages"]) == RUNS
    await opened.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("shape", ["steps", "branches", "edits", "pauses", "failures"])
async def test_a_run_stores_what_it_changes_and_not_the_state(
    opened: BaseDb, place: str, durability: Any, shape: str
) -> None:
    """A state of 200 kB, and a key of it that grows by 1 kB with each step."""

    async def edit(run_context: RunContext) -> None:
        async with run_context.edit_state() as state:
            state["messages"] = [*state.get("messages", []), text()]

    async def ask(run_context: RunContext) -> None:
        await run_context.ask("go on?", int)

    async def fail() -> None:
        raise ValueError("no")

    does = edit if shape == "edits" else say
    steps: list[Any] = [Step(f"s{number}", executor=does) for number in range(20)]
    if shape == "branches":
        steps = [Parallel(*steps[:4], name="both"), *steps[4:]]
    elif shape == "pauses":
        steps.insert(10, Step("ask", executor=ask))
    elif shape == "failures":
        steps.append(Step("fail", executor=fail))
    workflow = Workflow(
        name="W",
        steps=steps,
        db=opened,
        session_id="s",
        durability=durability,
        session_state={"document": text(200_000), "messages": [text(50_000)]},
        evict_after=0,
    )

    async def once() -> None:
        if shape == "failures":
            with pytest.raises(ValueError, match="no"):
                await workflow.arun("x")
            return
        output = await workflow.arun("x")
        if shape == "pauses":
            await anyio.wait_all_tasks_blocked()
            requirement = output.active_step_requirements[0]
            requirement.set_user_input(value=1)
            output = await workflow.acontinue_run(run_id=output.run_id, step_requirements=[requirement])
        assert output.status is RunStatus.completed

    await once()
    before = await stored_bytes(place)
    for _ in range(3):
        await once()
    added = await stored_bytes(place) - before
    await opened.aclose()
    most = 3 * 20 * 1000 + 20 * 1000  # the text, and the rows of the steps
    if shape == "branches":
        most += 4 * 70_000  # branches that change one key leave one value; the others are kept as they are
    assert added / 3 < most


@pytest.mark.anyio
async def test_pruned_runs_take_the_history_of_their_time_with_them(opened: BaseDb, place: str) -> None:
    async def replace(run_context: RunContext) -> None:
        run_context.session_state["document"] = text(10_000)

    workflow = Workflow(name="W", steps=[replace], db=opened, session_id="s")
    outputs = [await workflow.arun("x") for _ in range(6)]
    before = await stored_bytes(place)
    await opened.prune(kinds=None, before=FOREVER, limit=4)
    assert await stored_bytes(place) < before - 3 * 10_000
    for output in outputs[4:]:
        read = await workflow.aget_run_output(str(output.run_id))
        assert read is not None
        assert read.session_state == output.session_state
    await opened.prune(kinds=None, before=FOREVER, limit=4)
    assert await stored_bytes(place) < 12_000  # the document, as it is now
    await opened.aclose()


@pytest.mark.anyio
async def test_listing_runs_reads_no_states(again: Again) -> None:
    db = again()
    workflow = Workflow(name="W", steps=[say], db=db, session_id="s", session_state={"document": text(100_000)})
    for _ in range(3):
        await workflow.arun("x")
    assert all(len(row.data) < 2000 for row in await db.list_runs(RunFilter(), limit=10))


# -- what is read back ---------------------------------------------------------------------------------------------------

EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sampled_from("ab"), st.integers(0, 300)),
        st.tuples(st.just("set"), st.sampled_from("abc"), st.integers(0, 300)),
        st.tuples(st.just("inside"), st.sampled_from("ab"), st.integers(0, 300)),
        st.tuples(st.just("delete"), st.sampled_from("abc"), st.just(0)),
    ),
    max_size=3,
)
RUN = st.fixed_dictionaries(
    {
        "do": st.just("run"),
        "edits": st.tuples(EDITS, EDITS, EDITS, EDITS),
        "ask": st.booleans(),
        "parallel": st.booleans(),
        "durability": st.sampled_from(["sync", "async", "exit"]),
        "name": st.sampled_from(["A", "B"]),
        "state": st.none() | st.fixed_dictionaries({"c": st.integers(0, 9)}),
    }
)
OPERATIONS = st.lists(
    st.one_of(
        RUN,
        RUN,
        st.fixed_dictionaries({"do": st.just("update"), "value": st.integers(0, 300)}),
        st.fixed_dictionaries(
            {
                "do": st.just("fork"),
                "which": st.integers(0, 9),
                "at": st.sampled_from([None, 1, 2]),
                "same": st.booleans(),
            }
        ),
        st.fixed_dictionaries({"do": st.just("prune"), "name": st.sampled_from(["A", "B"])}),
    ),
    min_size=2,
    max_size=8,
)


def apply(state: dict[str, Any], edits: Any) -> None:
    for kind, key, size in edits:
        if kind == "append":
            known = state.get(key)
            state[key] = [*(known if isinstance(known, list) else []), f"é{size}" * size]
        elif kind == "set":
            state[key] = {"x": "y" * size, "list": list(range(size))}
        elif kind == "inside" and isinstance(state.get(key), dict):
            state[key]["x"] = size
            state[key]["list"].append(size)
        elif kind == "delete":
            state.pop(key, None)


class Book:
    """Plays operations on one session, and remembers what each run has found and left."""

    def __init__(self, db: BaseDb) -> None:
        self.db = db
        self.numbers = count(1)
        self.found: dict[tuple[str, str], dict[str, Any]] = {}  # by run and path: the state that the step found
        self.left: dict[str, dict[str, Any] | None] = {}  # by run
        self.parallel: set[str] = set()
        self.names: dict[str, str] = {}

    def workflow(self, name: str, **options: Any) -> Workflow:
        async def step(step_input: StepInput, run_context: RunContext) -> str:
            path = run_context.path
            given = json.loads(step_input.get_input_as_string() or "{}")
            self.found[run_context.run_id, path] = copy.deepcopy(dict(run_context.session_state))
            number = int(path.rpartition(".")[2][1:])
            apply(run_context.session_state, given["edits"][number])
            if given["ask"] and number == 1:
                await run_context.ask("go on?", int)
            return "done"

        def steps() -> list[Any]:
            return [Step(f"s{number}", executor=step) for number in range(4)]

        one, two, three, four = steps()
        inner = [Parallel(two, three, name="both")] if options.pop("parallel", False) else [two, three]
        return Workflow(name=name, steps=[one, *inner, four], db=self.db, evict_after=0, **options)

    async def play(self, operation: dict[str, Any]) -> None:
        await getattr(self, operation.pop("do"))(**operation)
        await self.check()

    async def run(self, edits: Any, ask: bool, parallel: bool, durability: Any, name: str, state: Any) -> None:
        workflow = self.workflow(f"{name}{'p' if parallel else ''}", durability=durability, parallel=parallel)
        output = await workflow.arun(
            json.dumps({"edits": edits, "ask": ask}),
            run_id=f"r{next(self.numbers)}",
            session_id="s",
            session_state=state,
        )
        await self._finish(workflow, output)
        if parallel:
            self.parallel.add(str(output.run_id))

    async def _finish(self, workflow: Workflow, output: Any) -> None:
        self.names[output.run_id] = workflow.name or ""
        while output.status is RunStatus.paused:
            read = await workflow.aget_run_output(output.run_id)
            assert read is not None
            assert read.session_state == output.session_state
            requirement = output.active_step_requirements[0]
            requirement.set_user_input(value=1)
            output = await workflow.acontinue_run(run_id=output.run_id, step_requirements=[requirement])
        assert output.status is RunStatus.completed
        self.left[output.run_id] = copy.deepcopy(output.session_state)

    async def update(self, value: int) -> None:
        if self.left:
            await self.workflow("A").aupdate_session_state({"a": ["z" * value]}, "s")

    async def fork(self, which: int, at: int | None, same: bool) -> None:
        known = [run_id for run_id in self.left if run_id not in self.parallel]
        if not known:
            return
        source = known[which % len(known)]
        workflow = self.workflow(self.names[source])
        path = None if at is None else f"{at}.s{at}"
        options: dict[str, Any] = {"session_id": "s"} if same else {}
        output = await workflow.fork(source, at=path, new_run_id=f"r{next(self.numbers)}", **options)
        await self._finish(workflow, output)
        if path is not None and not same:  # of a session that is there, the fork may find more keys
            assert self.found[str(output.run_id), path] == self.found[source, path]

    async def prune(self, name: str) -> None:
        await self.db.prune(kinds=None, before=FOREVER, limit=1, workflow_id=self.workflow(name).id)
        for run_id in list(self.left):
            if await self.db.load_run(run_id) is None:
                del self.left[run_id]

    async def check(self) -> None:
        workflow = self.workflow("A")
        for run_id, state in self.left.items():
            read = await workflow.aget_run_output(run_id)
            assert read is not None
            assert read.session_state == (state or {}), run_id
            if run_id in self.parallel:
                continue
            shown: dict[str, Any] = {}
            for entry in await workflow.history(run_id):
                for key, (before, after) in (entry.changes or {}).items():
                    if entry.path.endswith(("s1", "s2", "s3")) and (run_id, entry.path) in self.found:
                        assert before == self.found[run_id, entry.path].get(key), (run_id, entry.path, key)
                    shown[key] = after
            assert all((state or {}).get(key) == value for key, value in shown.items())
        session = await workflow.aget_session("s")
        for output in (session and session.runs) or ():
            if output.run_id in self.left:
                assert output.session_state == (self.left[output.run_id] or {})


def play(db: BaseDb, operations: list[dict[str, Any]]) -> None:
    async def main() -> None:
        book = Book(db)
        try:
            for operation in operations:
                await book.play(dict(operation))
        finally:
            await db.aclose()

    anyio.run(main)


@settings(max_examples=80)
@given(operations=OPERATIONS)
def test_what_is_read_back_is_what_was_there(operations: list[dict[str, Any]]) -> None:
    play(InMemoryDb(), operations)


@settings(max_examples=20)
@given(operations=OPERATIONS)
def test_what_is_read_back_from_sqlite_is_what_was_there(
    tmp_path_factory: pytest.TempPathFactory, operations: list[dict[str, Any]]
) -> None:
    play(SqliteDb(tmp_path_factory.mktemp("runs") / "runs.db"), operations)


@settings(max_examples=8)
@given(operations=OPERATIONS)
def test_what_is_read_back_from_postgres_is_what_was_there(postgres: Any, operations: list[dict[str, Any]]) -> None:
    from workflow_runtime.backends import PostgresDb

    play(PostgresDb(postgres.new_database()), operations)


@given(st.binary(max_size=2000), st.binary(max_size=2000), st.binary(max_size=2000), st.binary(max_size=50))
def test_a_difference_is_undone(one: bytes, two: bytes, three: bytes, new: bytes) -> None:
    old = one + two + three
    for value in (
        one + two + three + new,
        new + one + two,
        one + new + three,
        one + three + two,
        one + new + two + new,
    ):
        change = difference(value, old)
        assert change is None or undone(value, change) == old


# -- what was deleted ----------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_state_that_is_not_stored_any_more_is_not_made_up(again: Again) -> None:
    db = again()
    workflow = Workflow(name="W", steps=[say], db=db, session_id="s", session_state={"begun": True})
    first, second = [await workflow.arun("x") for _ in range(2)]
    # As if the first run had not been stored yet when the history of its time was pruned.
    await forget_history(db, "s")
    read = await workflow.aget_run_output(str(first.run_id))
    assert read is not None
    assert read.session_state is None
    with pytest.raises(StorageError, match="not stored any more"):
        await workflow.fork(str(first.run_id), at="0.say")
    read = await workflow.aget_run_output(str(second.run_id))
    assert read is not None
    assert read.session_state == second.session_state


async def forget_history(db: BaseDb, session_id: str) -> None:
    """Delete the history of the session up to the version before its last."""
    row = await db.load_session(session_id)
    assert row is not None
    last = row.version - 1
    if isinstance(db, InMemoryDb):
        db._history[session_id] = [change for change in db._history[session_id] if change.version > last]
        db._begins[session_id] = last
    elif isinstance(db, SqliteDb):
        with sqlite3.connect(db.location.path) as connection:
            connection.execute("DELETE FROM workflow_session_history WHERE version <= ?", (last,))
            connection.execute("UPDATE workflow_sessions SET history_begins = ?", (last,))
    else:
        postgres: Any = db
        await postgres._fetch("DELETE FROM @.session_history WHERE version <= $1", last)
        await postgres._fetch("UPDATE @.sessions SET history_begins = $1", last)
