"""DBOS: asynchronous workflows and steps; every step is committed before the next one, that is what it is for."""

from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager
from itertools import count as counter
from pathlib import Path

from dbos import DBOS, SetWorkflowID

IMPORT = "from dbos import DBOS"
_ALWAYS = "it always has a database"
CANNOT = dict.fromkeys(("FIRST_RUN", "steps", "events", "first", "parallel", "call"), _ALWAYS) | {
    "chunks": _ALWAYS,
    "replay": "it stores the outcome of each step, not events",
    "commits": "its store is not measured by itself",
    "drawing": "it draws no stream on a terminal",
}


@DBOS.step()
async def same(given):
    return given


@DBOS.workflow()
async def line(count):
    results = [await same("x") for _ in range(count)]
    return sum(result == "x" for result in results)


@asynccontextmanager
async def launched(url):
    DBOS(config={"name": "bench", "system_database_url": url, "application_version": "1", "log_level": "WARNING"})
    DBOS.launch()
    yield
    DBOS.destroy()


class Saved:
    def __init__(self, count):
        self.count, self.numbers, self.last = count, counter(), {}

    async def run(self, session):
        name = self.last[session] = f"{session}#{next(self.numbers)}"
        with SetWorkflowID(name):
            return await line(self.count)

    async def stored(self, session):
        return sum(step["output"] == "x" for step in await DBOS.list_workflow_steps_async(self.last[session]))


@asynccontextmanager
async def saved(url, count, durability, events):
    if durability != "sync" or events:
        raise NotImplementedError("it stores the outcome of each step before the next one and nothing else")
    async with launched(url):
        yield Saved(count)


@DBOS.workflow()
async def asking():
    results = [await same("x")]
    if await DBOS.recv_async("answer", timeout_seconds=600):
        results += [await same("x"), await same("x")]
    return sum(result == "x" for result in results)


class Paused:
    async def pause(self, session):
        """It has no pause: the workflow waits for a message."""
        with SetWorkflowID(session):
            handle = await DBOS.start_workflow_async(asking)
        while len(await DBOS.list_workflow_steps_async(session)) < 1:
            pass
        return handle

    async def go_on(self, handle):
        await DBOS.send_async(handle.workflow_id, True, topic="answer")
        return await handle.get_result()


@asynccontextmanager
async def paused(url):
    async with launched(url):
        yield Paused()


def note(log, number):
    with Path(log).open("a") as file:
        file.write(f"{number}\n")


@DBOS.step()
async def noted(log, number):
    note(log, number)
    if number == 5 and os.environ.get("BENCH_DIES"):
        os.kill(os.getpid(), signal.SIGKILL)
    return "x"


@DBOS.workflow()
async def logged(log):
    results = [await noted(log, number) for number in range(10)]
    return sum(result == "x" for result in results)


async def dies(url, log):
    os.environ["BENCH_DIES"] = "1"
    async with launched(url):
        with SetWorkflowID("recovered"):
            await logged(log)


async def recovers(url, log):
    async with launched(url):  # it takes up what its executor had left when it is launched
        return await (await DBOS.retrieve_workflow_async("recovered")).get_result()
