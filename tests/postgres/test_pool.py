"""How many connections there are, whose they are, and when they go."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable
from random import Random
from threading import Thread
from typing import Any

import anyio
import asyncpg
import pytest

from workflow_runtime.model.errors import StorageError
from workflow_runtime.storage.base import Batch, RunFilter
from workflow_runtime.testing.contract_rows import event, session, started
from workflow_runtime_postgres import PostgresDb, listen
from workflow_runtime_postgres.schema import qualify

from .conftest import SCHEMA

pytestmark = pytest.mark.anyio

New = Callable[..., PostgresDb]


def named(name: str) -> dict[str, Any]:
    return {"options": {"server_settings": {"application_name": name}}}


async def connections(url: str, name: str) -> int:
    """How many connections of this name the server has."""
    connection = await asyncpg.connect(url)
    try:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1"
        found: int = await connection.fetchval(query, name)
        return found
    finally:
        await connection.close()


async def until_gone(url: str, name: str) -> None:
    with anyio.fail_after(60):
        while await connections(url, name):
            await anyio.lowlevel.checkpoint()


async def test_connections_are_bounded_however_many_call(new_db: New, url: str) -> None:
    db = new_db(max_size=3, **named("bounded"))
    await db.open()
    blocker = await asyncpg.connect(url)
    await blocker.execute("BEGIN; " + qualify("LOCK TABLE @.sessions IN EXCLUSIVE MODE", SCHEMA))
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for number in range(100):
                group.start_soon(db.commit, started(f"r{number}", session_id=f"s{number}"))
            while await connections(url, "bounded") < 3:
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            assert await connections(url, "bounded") == 3
            await blocker.close()
    assert len(await db.list_runs(RunFilter(), limit=200)) == 100
    await asyncio.gather(*(db.commit(Batch(session=session(f"s{number}"))) for number in range(100)))
    await db.aclose()
    await until_gone(url, "bounded")
    reader = await asyncpg.connect(url)
    assert await reader.fetchval(qualify("SELECT count(*) FROM @.writers", SCHEMA)) <= 100
    await reader.close()


async def test_a_pool_that_stays_busy_is_an_error_that_names_its_size(new_db: New, url: str) -> None:
    db = new_db(max_size=1, retry_for=0.2)
    await db.commit(started())
    blocker = await asyncpg.connect(url)
    await blocker.execute("BEGIN; " + qualify("LOCK TABLE @.sessions IN EXCLUSIVE MODE", SCHEMA))
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(db.commit, Batch(session=session(name="waits")))
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(StorageError, match=r"no answer in time.*max_size"):
                await db.load_run("r1")
            await blocker.close()
    row = await db.load_session("s1")
    assert row is not None
    assert row.name == "waits"
    await db.aclose()


async def test_a_pool_may_be_filled_when_it_is_made(new_db: New, url: str) -> None:
    db = new_db(min_size=2, max_size=4, **named("filled"))
    await db.open()
    assert await connections(url, "filled") == 2
    await db.aclose()


async def test_who_watches_has_one_connection_more_until_nobody_does(
    new_db: New, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "IDLE", 0.0)
    db = new_db(max_size=1, **named("watching"))
    await db.commit(started())
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(_watch, db, "r1")
        with anyio.fail_after(60):
            while await connections(url, "watching") < 2:
                await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        assert await connections(url, "watching") == 2
        await db.commit(Batch(events=[event(1)]))
    with anyio.fail_after(60):
        while await connections(url, "watching") > 1:
            await anyio.lowlevel.checkpoint()
    await db.aclose()


async def _watch(db: PostgresDb, run_id: str) -> None:
    while not await db.changed(run_id, seen=0, timeout=60):
        pass


async def test_a_listener_that_was_lost_is_replaced_and_nothing_is_missed(
    db: PostgresDb, new_db: New, url: str
) -> None:
    watcher = new_db(**named("to be lost"))
    await db.commit(started())
    await db.commit(Batch(events=[event(1)]))
    with anyio.fail_after(60):
        for seen in range(1, 4):
            waiting = asyncio.create_task(watcher.changed("r1", seen=seen, timeout=60))
            await anyio.wait_all_tasks_blocked()
            ear = await asyncpg.connect(url)
            await ear.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'to be lost'"
            )
            await ear.close()
            await db.commit(Batch(events=[event(seen + 1)]))
            assert await waiting
    await watcher.aclose()


def test_a_loop_takes_its_connections_along_when_it_ends(new_db: New, url: str) -> None:
    db = new_db(**named("short"))

    async def use(run_id: str) -> None:
        await db.commit(started(run_id, session_id=run_id))
        await db.changed(run_id, seen=0, timeout=0.01)
        assert await connections(url, "short") >= 1

    for number in range(3):
        asyncio.run(use(f"r{number}"))
        asyncio.run(until_gone(url, "short"))


def test_a_loop_that_was_closed_without_ceremony_does_not_disturb_the_next(new_db: New, url: str) -> None:
    db = new_db(**named("rude"))
    loop = asyncio.new_event_loop()
    loop.run_until_complete(db.commit(started("r1")))
    loop.close()
    asyncio.run(_commit(db, "r2"))
    with warnings.catch_warnings():
        # Python's word for it: the sockets of that loop are closed when the objects go.
        warnings.simplefilter("ignore", ResourceWarning)
        del loop
        gc.collect()
    asyncio.run(until_gone(url, "rude"))


async def _commit(db: PostgresDb, run_id: str) -> None:
    await db.commit(started(run_id))


async def test_an_object_that_nobody_holds_lets_its_connections_go(new_db: New, url: str) -> None:
    await new_db(**named("forgotten")).commit(started())
    assert await connections(url, "forgotten") == 1
    gc.collect()
    await until_gone(url, "forgotten")


async def test_loops_in_threads_have_pools_of_their_own_and_closing_reaches_them(new_db: New, url: str) -> None:
    db = new_db(max_size=1, **named("threads"))
    done = asyncio.Event()
    here = asyncio.get_running_loop()
    ready: list[Callable[[], object]] = []

    async def other() -> None:
        stop = asyncio.Event()
        await db.commit(started("theirs"))
        there = asyncio.get_running_loop()
        ready.append(lambda: there.call_soon_threadsafe(stop.set))
        here.call_soon_threadsafe(done.set)
        await stop.wait()

    thread = Thread(target=asyncio.run, args=(other(),))
    thread.start()
    with anyio.fail_after(60):
        await db.commit(started("mine"))
        await done.wait()
        assert await connections(url, "threads") == 2
        await db.aclose()
        await until_gone(url, "threads")
    ready[0]()
    await anyio.to_thread.run_sync(thread.join)


async def test_closing_waits_for_what_was_submitted_and_the_object_can_be_used_again(new_db: New) -> None:
    db = new_db(max_size=2)
    async with anyio.create_task_group() as group:
        for number in range(30):
            group.start_soon(db.commit, started(f"r{number}"))
        await anyio.lowlevel.checkpoint()
        await db.aclose()
    assert len(await db.list_runs(RunFilter(), limit=100)) == 30
    await db.aclose()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://postgres@{host}/no_such_database", "no such database"),
        ("postgresql://nobody_like_that@{host}/postgres", "does not let this user in"),
    ],
)
async def test_what_waiting_does_not_mend_is_an_error_at_once(postgres: Any, url: str, words: str) -> None:
    host = postgres.url.partition("@")[2].partition("/")[0]
    db = PostgresDb(url.format(host=host))
    with anyio.fail_after(60), pytest.raises(StorageError, match=words) as caught:
        await db.open()
    assert caught.value.__cause__ is not None
    await db.aclose()


CALLS: dict[str, Callable[[PostgresDb], Awaitable[object]]] = {
    "a NUL in a key": lambda db: db.commit(Batch(session=session(state={"a\0b": b"1"}))),
    "a lone surrogate": lambda db: db.commit(started("\ud800")),
    "a number of more than 64 bits": lambda db: db.commit(started(seq=2**70)),
    "an id of 10 kB": lambda db: db.commit(started(Random(1).randbytes(5_000).hex())),
}


@pytest.mark.parametrize("call", CALLS)
async def test_what_the_server_cannot_store_is_a_storage_error_and_nothing_is_stored(db: PostgresDb, call: str) -> None:
    with pytest.raises(StorageError, match="PostgreSQL") as caught:
        await CALLS[call](db)
    assert caught.value.__cause__ is not None
    assert await db.list_runs(RunFilter()) == []
    assert await db.list_sessions() == []


def test_trio_is_refused_with_a_word_on_what_to_use(new_db: New) -> None:
    with pytest.raises(StorageError, match="InMemoryDb"):
        anyio.run(new_db().open, backend="trio")


async def test_a_vacuum_leaves_what_is_stored(new_db: New, url: str) -> None:
    db = new_db()
    await db.commit(started("r1"))
    assert await db.vacuum() is not None
    assert await db.load_run("r1") is not None
