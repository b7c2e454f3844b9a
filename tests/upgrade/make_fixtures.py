"""Writes ``data``: one SQLite file and one PostgreSQL dump with runs in every state, by the version that is installed.

    cd tests && python -m upgrade.make_fixtures

What is there now was written by the first version (schema 1) and is not written again: a version that changes what it
stores adds files of its own. Times and ids are those of a clock and a counter that stand still; ``data/README.md`` says
what is in the files.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import anyio
import msgspec
from servers import _binaries, postgres_server

from workflow_runtime import BaseDb, RunContext
from workflow_runtime.engine.loop import clock as ids
from workflow_runtime.engine.run import execution
from workflow_runtime.model import codec
from workflow_runtime.storage.base import Batch, SessionPatch
from workflow_runtime.storage.registry import open_url
from workflow_runtime.testing import FakeClock

from . import flows
from .classes import values

TESTS = Path(__file__).resolve().parents[1]
DATA = Path(__file__).parent / "data"
START = 1_700_000_000.0

# Where the process of a run dies: what has to be stored by then, as a number of journal rows and one of log rows.
DEATHS: dict[str, tuple[str, int, int]] = {
    "dead-first": ("one", 0, 0),
    "dead-third": ("three", 2, 0),
    "dead-parallel": ("right", 3, 0),
    "dead-map": ("second", 4, 0),
    "dead-loop": ("second", 3, 0),
    "dead-condition": ("b", 3, 0),
    "dead-router": ("b", 3, 0),
    "dead-nested": ("b", 3, 0),
    "dead-text": ("text", 2, 5),
    "dead-once": ("once", 2, 0),
    "dead-sleep": ("", 3, 0),
    "dead-state": ("state", 1, 0),
    "dead-by-hand": ("two", 1, 0),
    "dead-continued": ("b", 1, 0),
}


class Writer:
    """Makes runs one after the other, a minute apart."""

    def __init__(self, url: str, start: float) -> None:
        self.db = open_url(url)
        self.clock = FakeClock(start)
        if hasattr(self.db, "_clock"):  # since version 2 leases are measured with the database's
            self.db._clock = self.clock
        self.workflows = flows.build(self.db, self.clock)

    async def run(self, workflow: str, run_id: str | None = None, **options: Any) -> Any:
        self.clock.advance(60)
        run_id = run_id or workflow
        given = {"session_id": run_id, "run_id": run_id, **options}
        return await self.workflows[workflow].arun("the input", **given)

    async def answer(self, run_id: str, *answers: dict[str, Any]) -> Any:
        """Continue the run with an answer to each of its first open questions."""
        self.clock.advance(1)
        row = await self.db.load_run(run_id)
        assert row is not None
        workflow = self.workflows[str(row.workflow_id)]
        items = [item for item in await workflow.alist_pending() if item.id.startswith(run_id)][: len(answers)]
        for item, answer in zip(items, answers, strict=True):
            item.answer(answer)
        return await workflow.acontinue_run(run_id=run_id, step_requirements=items)

    async def store_answer(self, run_id: str, place: int, answer: dict[str, Any]) -> None:
        """What ``wfr answer`` does: the answer is stored, and nobody continues the run."""
        row = (await self.db.load_requirements(run_id))[place]
        item = codec.decode_requirement(row.data)
        item.answer(answer)
        item.answered_at = self.clock.time()
        row = msgspec.structs.replace(row, data=codec.encode_requirement(item), answered_at=item.answered_at)
        await self.db.answer([row])

    async def fork(self, run_id: str, workflow: str, new: str, **options: Any) -> None:
        self.clock.advance(60)
        await self.workflows[workflow].fork(run_id, new_run_id=new, session_id=new, **options)


async def write_living(url: str, start: float) -> None:
    """Every run that ends or pauses in its process."""
    flows.trouble = True
    writer = Writer(url, start)
    db, workflows, clock = writer.db, writer.workflows, writer.clock
    for name in flows._asking():
        await writer.run(name)
    await writer.answer("ask-twice", {"user_input": {"value": 1}})
    yes = {"confirmed": True}
    await writer.run("gates", "half-answered")
    await writer.answer("half-answered", yes)
    await writer.run("gates", "half-stored")
    await writer.store_answer("half-stored", 1, {"confirmed": False, "rejection_feedback": "too much"})
    await writer.run("confirm", "answer-stored")
    await writer.store_answer("answer-stored", 0, yes)
    await writer.run("confirm", "cancel-requested")
    await db.request_cancel("cancel-requested", now=clock.time())
    await writer.run("evicts", "evicted")
    await anyio.wait_all_tasks_blocked()
    await writer.run("unlogged")
    await writer.run("confirm", "of-eve", user_id="eve", session_id="eve")

    async def meanwhile(run_context: RunContext, label: str) -> None:
        if label == "conflict":  # somebody else changes a key that the step changes too
            await workflows["conflicts"].aupdate_session_state({"shared": "theirs"}, "conflicts")

    flows.reached = meanwhile
    for name in flows._ending():
        await _ended(writer, name)
    await writer.run("confirm", "confirmed")
    await writer.answer("confirmed", yes)
    await writer.run("confirm", "refused")
    await writer.answer("refused", {"confirmed": False, "rejection_feedback": "too much"})
    await writer.run("confirm", "cancelled")
    await workflows["confirm"].acancel_run("cancelled")
    await writer.run("gates", "cancelled-half")
    await writer.answer("cancelled-half", yes)
    await workflows["gates"].acancel_run("cancelled-half")
    await writer.run("late-skip", "timed-out")
    clock.advance(120)
    await workflows["late-skip"].acontinue_run(run_id="timed-out", step_requirements=[])
    await writer.fork("all-kinds", "all-kinds", "forked", at="3.each")
    await writer.fork("confirmed", "confirm", "forked-pause", at="1.pay", session_state={"of": "the fork"})
    await writer.fork("forked", "all-kinds", "forked-twice", at="8.last", outputs={"1.group/0.s1": "by hand"})
    await write_sessions(writer)
    await prune(writer)
    await db.aclose()


async def _ended(writer: Writer, name: str) -> None:
    try:
        await writer.run(name)
    except LookupError:
        assert name == "fails"


async def write_sessions(writer: Writer) -> None:
    """Sessions of several users, with state, metadata, metrics and a name."""
    chat, clock = writer.workflows["chat"], writer.clock
    for number, user in enumerate(["ada", "ada", "bob", None]):
        await writer.run("chat", f"chat-{number}", session_id=f"chat-{user}", user_id=user)
    await chat.aset_session_name("chat-ada", session_name="Ada's desk")
    await chat.aupdate_session_state({"topics": ["owls", "lamps"], **values()}, "chat-ada")
    for number in range(3):
        await writer.run("counts", f"count-{number}", session_id="counted", user_id="ada")
    session = await chat.aread_or_create_session("made-by-hand", user_id="eve")
    session.session_state.update(kept=(1, 2))
    session.metadata = {"by": "hand"}
    await chat.asave_session(session)
    clock.advance(60)
    await writer.db.commit(Batch(session=SessionPatch(session_id="bare", now=clock.time())))
    deleted = await writer.run("counts", "deleted", session_id="deleted")
    assert deleted.session_id == "deleted"
    assert await writer.workflows["counts"].adelete_session("deleted")
    lease = {"lease": 15.0} if writer.db.contract > 1 else {"now": clock.time(), "until": clock.time() + 15}
    await writer.db.acquire("a lock of the dead", owner="somebody", **lease)


async def prune(writer: Writer) -> None:
    """Runs whose text, whose events, or which themselves are pruned; of the last one a fork is left."""
    db = writer.db
    for name in ("pruned-text", "pruned-events"):
        await writer.run("speaks", name)
    kinds = frozenset(row.kind for row in await db.load_events("pruned-text"))
    await _prune_only(writer, "pruned-text", frozenset(kind for kind in kinds if "Content" in kind))
    await _prune_only(writer, "pruned-events", kinds)
    await writer.run("confirm", "pruned-whole")
    await writer.answer("pruned-whole", {"confirmed": True})
    await writer.fork("pruned-whole", "confirm", "fork-of-pruned", at="1.pay")
    await _prune_only(writer, "pruned-whole", None)


async def _prune_only(writer: Writer, run_id: str, kinds: frozenset[str] | None) -> None:
    # ``prune`` goes by age and has no other filter, so for a moment this run is the only old one.
    row = await writer.db.load_run(run_id)
    assert row is not None
    await writer.db.commit(Batch(run=msgspec.structs.replace(row, created_at=1.0, updated_at=1.0)))
    pruned: Any = await writer.db.prune(kinds=kinds, before=2.0, limit=1000)
    # A number, in version 1. Version 2 keeps a run that a fork needs.
    assert pruned > 0 if isinstance(pruned, int) else pruned.rows > 0 or kinds is None
    if kinds is not None:
        await writer.db.commit(Batch(run=row))


async def die(url: str, start: float, name: str) -> None:
    """The run ``name``, whose process dies while it runs."""
    flows.trouble = name == "dead-sleep"
    writer = Writer(url, start)
    label, steps, events = DEATHS.get(name, ("one", 0, 0))

    async def dead(run_context: RunContext, reached: str) -> None:
        if reached == label:
            await _until_stored(writer.db, run_context.run_id, steps, events)
            os._exit(9)

    flows.reached = dead
    if name == "dead-sleep":
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: writer.run(name))
            await writer.clock.wait_sleeping()
            await _until_stored(writer.db, name, steps, 0)
            os._exit(9)
    if name == "dead-continued":
        await writer.run(name)
        await writer.answer(name, {"user_input": {"value": 4}})
    elif name == "waiting":
        async with anyio.create_task_group() as group:
            label = "nowhere"
            flows.reached = _for_ever
            group.start_soon(lambda: writer.run("waits", "dead-turn", session_id="turns"))
            await _until_stored(writer.db, "dead-turn", 0, 1)
            await writer.run("waits", "waiting", session_id="turns", background=True)
            await _until_stored(writer.db, "waiting", 0, 0)
            os._exit(9)
    elif name == "dead-cancel":
        label = "three"

        async def cancelled(run_context: RunContext, reached: str) -> None:
            await _until_stored(writer.db, run_context.run_id, 2, 0)
            await writer.db.request_cancel(run_context.run_id, now=writer.clock.time())
            os._exit(9)

        flows.reached = cancelled
        await writer.run("dead-third", name)
    elif name == "dead-fork":
        label = "b"
        await writer.workflows["dead-continued"].fork(
            "dead-continued", new_run_id=name, session_id=name, outputs={"0.desk": "by hand"}
        )
    else:
        await writer.run(name)
    raise AssertionError(f"{name} did not die")


async def _for_ever(run_context: RunContext, label: str) -> None:
    await anyio.sleep_forever()


async def _until_stored(db: BaseDb, run_id: str, steps: int, events: int) -> None:
    while True:
        if (
            await db.load_run(run_id) is not None
            and len(await db.load_steps(run_id)) >= steps
            and len(await db.load_events(run_id)) >= events
        ):
            return
        await asyncio.sleep(0.01)  # other tasks of this loop write it


async def settle(url: str) -> None:
    """Open and close the database, so that a file has no log beside it."""
    db = open_url(url)
    await db.open()
    await db.aclose()


# -- processes ---------------------------------------------------------------------------------------------------------

DYING = [*DEATHS, "dead-cancel", "dead-fork", "waiting"]


def child(*arguments: object) -> int:
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], cwd=TESTS, env=environment, check=False
    ).returncode


def write(url: str) -> None:
    """All of it, by as many processes as it takes."""
    here = "upgrade.make_fixtures"
    assert child(here, "living", url, START) == 0
    for number, name in enumerate(DYING):
        assert child(here, "die", url, START + 20_000 + 600 * number, name) == 9, name
    assert child("upgrade.main_values", "write", url, START + 40_000) == 0
    assert child(here, "settle", url) == 0


def write_sqlite(target: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "runs.db"
        write(f"sqlite:///{file}")
        connection = sqlite3.connect(file)
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("VACUUM")
        connection.close()
        target.write_bytes(gzip.compress(file.read_bytes(), mtime=0))


def write_postgres(target: Path) -> None:
    """A dump as plain SQL that any client can run; the schema is the default one."""
    with postgres_server(own=True) as server:
        url = server.new_database()
        write(url)
        place = urlsplit(url)
        command = [_binaries(server.directory) / "pg_dump", "--schema=workflow_runtime", "--inserts", "--no-owner"]  # type: ignore[attr-defined]
        address = ["-h", place.hostname, "-p", str(place.port), "-U", "postgres", place.path.strip("/")]
        text = subprocess.run(
            [*command, "--no-privileges", *address], check=True, capture_output=True, text=True
        ).stdout
    # What older servers do not know, what only psql reads, and comments.
    kept = [line for line in text.splitlines() if not re.match(r"SET |\\|--|$|SELECT pg_catalog.set_config", line)]
    whole = "SET check_function_bodies = false;\n" + "\n".join(kept) + "\n"
    target.write_bytes(gzip.compress(whole.encode(), mtime=0))


def main() -> None:
    match sys.argv[1:]:
        case ["living", url, start]:
            _numbered(1)
            asyncio.run(write_living(url, float(start)))
        case ["die", url, start, name]:
            _numbered(int(float(start)))
            asyncio.run(die(url, float(start), name))
        case ["settle", url]:
            asyncio.run(settle(url))
        case []:
            write_sqlite(DATA / "schema-1.db.gz")
            write_postgres(DATA / "schema-1.sql.gz")
        case other:
            raise SystemExit(f"unknown arguments: {other}")


def _numbered(start: int) -> None:
    numbers = iter(range(start, 2**60))
    ids.uuid7 = lambda: UUID(int=next(numbers))  # type: ignore[attr-defined]
    execution._owner = lambda pid: "a-machine:1:00000001"  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
