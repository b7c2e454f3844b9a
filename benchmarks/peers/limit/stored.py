"""With a database: one table of rows, appended by group commit; SQLite with the flush of every commit (FULL, WAL)."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import sqlite3
import threading
from contextlib import asynccontextmanager
from pathlib import Path

from .plain import Event, done, execute, line, same

TABLE = "CREATE TABLE IF NOT EXISTS log (session TEXT, kind TEXT, number INTEGER, data TEXT)"
INDEX = "CREATE INDEX IF NOT EXISTS log_session ON log (session, kind, number)"


class Sqlite:
    """A thread that commits all that is waiting in one transaction."""

    def __init__(self, path, synchronous="FULL"):
        self.path, self.synchronous = path, synchronous
        self.waiting = queue.SimpleQueue()
        self.loop = asyncio.get_running_loop()
        self.thread = threading.Thread(target=self._write)
        self.thread.start()

    def _write(self):
        connection = sqlite3.connect(self.path, isolation_level=None)
        for statement in ("PRAGMA journal_mode=WAL", f"PRAGMA synchronous={self.synchronous}", TABLE, INDEX):
            connection.execute(statement)
        while (first := self.waiting.get()) is not None:
            group = [first]
            while not self.waiting.empty() and len(group) < 256:
                group.append(self.waiting.get())
            open_ = [entry for entry in group if entry is not None]
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO log VALUES (?, ?, ?, ?)", [row for rows, _ in open_ for row in rows])
            connection.execute("COMMIT")
            self.loop.call_soon_threadsafe(self._tell, [future for _, future in open_])
            if len(open_) < len(group):
                break
        connection.close()

    @staticmethod
    def _tell(futures):
        for future in futures:
            future.set_result(None)

    async def commit(self, rows):
        future = self.loop.create_future()
        self.waiting.put((rows, future))
        await future

    def _read(self, session, kind):
        connection = sqlite3.connect(self.path)
        found = connection.execute(
            "SELECT number, data FROM log WHERE session = ? AND kind = ? ORDER BY number", (session, kind)
        ).fetchall()
        connection.close()
        return found

    async def read(self, session, kind):
        return await asyncio.to_thread(self._read, session, kind)

    async def close(self):
        self.waiting.put(None)
        await asyncio.to_thread(self.thread.join)


class Postgres:
    """A pool; each commit is one statement."""

    INSERT = "INSERT INTO log SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::text[])"

    @classmethod
    async def open(cls, url):
        import asyncpg

        self = cls()
        self.pool = await asyncpg.create_pool(url, min_size=8, max_size=8)
        await self.pool.execute(TABLE)
        await self.pool.execute(INDEX)
        return self

    async def commit(self, rows):
        await self.pool.execute(self.INSERT, *(list(column) for column in zip(*rows, strict=True)))

    async def read(self, session, kind):
        query = "SELECT number, data FROM log WHERE session = $1 AND kind = $2 ORDER BY number"
        return [tuple(row) for row in await self.pool.fetch(query, session, kind)]

    async def close(self):
        await self.pool.close()


@asynccontextmanager
async def opened(url, synchronous="FULL"):
    sqlite = url.startswith("sqlite")
    db = Sqlite(url.removeprefix("sqlite:///"), synchronous) if sqlite else await Postgres.open(url)
    try:
        yield db
    finally:
        await db.close()


def step_row(session, number, result):
    return (session, "step", number, json.dumps([result.name, result.content, result.seconds]))


def event_rows(session, number, path, content):
    """The three events of a step."""
    kinds = ("StepStarted", "StepCompleted", "StepOutput")
    events = [(3 * number + at, kind) for at, kind in enumerate(kinds)]
    return [(session, "event", seq, json.dumps([kind, seq, path, content])) for seq, kind in events]


class Saved:
    def __init__(self, db, count, durability, events):
        self.db, self.nodes, self.durability, self.events = db, line(count), durability, events

    async def run(self, session):
        results, ready, behind = [], [(session, "run", 0, '"RUNNING"')], []
        for number, (name, step) in enumerate(self.nodes):
            result = await execute(name, step, "x")
            results.append(result)
            ready.append(step_row(session, number, result))
            if self.events:
                ready += event_rows(session, number, name, result.content)
            if self.durability == "sync":
                await self.db.commit(ready)
                ready = []
            elif self.durability == "async":
                behind.append(asyncio.create_task(self.db.commit(ready)))
                ready = []
        await self.db.commit([*ready, (session, "run", 1, '"COMPLETED"')])
        for task in behind:
            await task
        return done(results)

    async def stored(self, session):
        rows = await self.db.read(session, "step")
        return sum(json.loads(data)[1] == "x" for _, data in rows[-len(self.nodes) :])


@asynccontextmanager
async def saved(url, count, durability, events):
    async with opened(url) as db:
        yield Saved(db, count, durability, events)


@asynccontextmanager
async def replay(url, count):
    async with opened(url) as db:
        rows = [row for number in range(count // 3 + 1) for row in event_rows("s", number, "item", "x")]
        await db.commit(rows)

        async def read():
            found = [Event(*json.loads(data)) for _, data in await db.read("s", "event")]
            assert [event.seq for event in found] == list(range(len(found)))
            return len(found), len(rows)

        yield read


class Paused:
    def __init__(self, db):
        self.db = db

    async def pause(self, session):
        result = await execute("step0", same, "x")
        await self.db.commit([step_row(session, 0, result), (session, "run", 0, '"PAUSED"')])
        return session

    async def go_on(self, session):
        results = await self.db.read(session, "step")
        rows = [(session, "answer", 0, "true")]
        for number in (1, 2):
            rows.append(step_row(session, number, await execute(f"step{number}", same, "x")))
        await self.db.commit([*rows, (session, "run", 1, '"COMPLETED"')])
        return len(results) + 2


@asynccontextmanager
async def paused(url):
    async with opened(url) as db:
        yield Paused(db)


def note(log, number):
    with Path(log).open("a") as file:
        file.write(f"{number}\n")


async def go(db, log, begin, deadly=None):
    for number in range(begin, 10):
        note(log, number)
        if number == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        await db.commit([step_row("s", number, await execute(f"step{number}", same, "x"))])


async def dies(url, log):
    async with opened(url) as db:
        await go(db, log, 0, deadly=5)


async def recovers(url, log):
    async with opened(url) as db:
        await go(db, log, len(await db.read("s", "step")))
        return len(await db.read("s", "step"))


class Commits:
    def __init__(self, db):
        self.db = db

    async def commit(self, run, number):
        rows = [(run, "event", 2 * number + at, DATA) for at in (0, 1)]
        await self.db.commit([*rows, (run, "run", number, "1"), (run, "step", number, DATA), (run, "key", number, "1")])

    async def stored(self, run):
        return len(await self.db.read(run, "step")), len(await self.db.read(run, "event"))


DATA = json.dumps({"content": "x" * 200})


@asynccontextmanager
async def commits(url, relaxed):
    async with opened(url, "NORMAL" if relaxed else "FULL") as db:
        yield Commits(db)
