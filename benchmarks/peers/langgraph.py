"""LangGraph: a compiled StateGraph; each node adds one to the state's count; threads are sessions."""

from __future__ import annotations

import asyncio
import operator
import os
import signal
import time
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Annotated, TypedDict

from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

IMPORT = "from langgraph.graph import END, START, StateGraph"
FIRST_RUN = """
import asyncio
from typing import TypedDict
class Count(TypedDict):
    n: int
async def more(state: Count): return {"n": state["n"] + 1}
builder = StateGraph(Count).add_node("more", more).add_edge(START, "more").add_edge("more", END)
assert asyncio.run(builder.compile().ainvoke({"n": 0})) == {"n": 1}
"""
CANNOT = {
    "replay": "it stores the state after each step, not events",
    "commits": "its store is not measured by itself",
    "drawing": "it draws no stream on a terminal",
}


class Count(TypedDict):
    n: int


class Sum(TypedDict):
    n: Annotated[int, operator.add]


async def same(state: Count):
    return {"n": state["n"] + 1}


def function(nap):
    async def rest(state: Count):
        await asyncio.sleep(nap)
        return {"n": state["n"] + 1}

    return rest if nap else same


def line(nodes, checkpointer=None):
    """The functions one after the other."""
    builder = StateGraph(Count)
    names = [f"step{number}" for number in range(len(nodes))]
    for name, node in zip(names, nodes, strict=True):
        builder.add_node(name, node)
    places = [START, *names, END]
    for before, after in pairwise(places):
        builder.add_edge(before, after)
    return builder.compile(checkpointer=checkpointer)


def limit(count, **configurable):
    return {"recursion_limit": count + 10, "configurable": configurable}


def steps(count, nap):
    graph, config = line([function(nap)] * count), limit(count)

    async def run():
        return (await graph.ainvoke({"n": 0}, config))["n"]

    return run


def events(count):
    """The stream of tasks: one event when a task begins, one when it ends."""
    graph, config = line([same] * count), limit(count)

    async def stream():
        seen = ended = 0
        async for event in graph.astream({"n": 0}, config, stream_mode="tasks"):
            seen += 1
            ended += "result" in event
        return seen, ended

    return stream


def chunks(count, patient):
    async def speak(state: Count):
        write = get_stream_writer()
        for _ in range(count):
            if patient:
                await asyncio.sleep(0)
            write("x")
        return {"n": 1}

    graph = line([speak])

    async def stream():
        read = 0
        async for chunk in graph.astream({"n": 0}, stream_mode="custom"):
            read += chunk == "x"
        return read

    return stream


def first():
    graph = line([same] * 3)

    async def wait():
        start = time.perf_counter()
        stream = graph.astream({"n": 0}, stream_mode="tasks")
        await anext(stream)
        waited = time.perf_counter() - start
        await stream.aclose()
        return waited

    return wait


def parallel(count, nap):
    async def branch(state: Sum):
        if nap:
            await asyncio.sleep(nap)
        return {"n": 1}

    builder = StateGraph(Sum)
    for number in range(count):
        builder.add_node(f"step{number}", branch)
        builder.add_edge(START, f"step{number}")
        builder.add_edge(f"step{number}", END)
    graph = builder.compile()

    async def run():
        return (await graph.ainvoke({"n": 0}))["n"]

    return run


def call():
    def now(state: Count):
        return {"n": state["n"] + 1}

    graph = line([now])
    return lambda: graph.invoke({"n": 0})["n"]


@asynccontextmanager
async def saver(url):
    if url.startswith("sqlite"):
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        async with AsyncSqliteSaver.from_conn_string(url.removeprefix("sqlite:///")) as checkpointer:
            await checkpointer.setup()
            yield checkpointer
        return
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from psycopg.rows import dict_row
    from psycopg_pool import AsyncConnectionPool

    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(url, min_size=8, max_size=8, kwargs=options) as pool:
        checkpointer = AsyncPostgresSaver(pool)
        await checkpointer.setup()
        yield checkpointer


class Saved:
    def __init__(self, graph, count, durability):
        self.graph, self.count, self.durability = graph, count, durability

    async def run(self, session):
        config = limit(self.count, thread_id=session)
        return (await self.graph.ainvoke({"n": 0}, config, durability=self.durability))["n"]

    async def stored(self, session):
        return (await self.graph.aget_state(limit(self.count, thread_id=session))).values.get("n", 0)


@asynccontextmanager
async def saved(url, count, durability, events):
    if events:
        raise NotImplementedError("it stores the state after each step, not events")
    async with saver(url) as checkpointer:
        yield Saved(line([same] * count, checkpointer), count, durability)


class Paused:
    def __init__(self, graph):
        self.graph = graph

    async def pause(self, session):
        config = limit(3, thread_id=session)
        found = await self.graph.ainvoke({"n": 0}, config)
        return config if found.get("__interrupt__") else None

    async def go_on(self, config):
        return (await self.graph.ainvoke(Command(resume=True), config))["n"]


@asynccontextmanager
async def paused(url):
    async def asks(state: Count):
        return {"n": state["n"] + bool(interrupt("go on?"))}

    async with saver(url) as checkpointer:
        yield Paused(line([same, asks, same], checkpointer))


def note(log, number):
    with Path(log).open("a") as file:
        file.write(f"{number}\n")


def logged(log, checkpointer, deadly=None):
    def step(number):
        async def work(state: Count):
            note(log, number)
            if number == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            return {"n": state["n"] + 1}

        return work

    return line([step(number) for number in range(10)], checkpointer)


async def dies(url, log):
    async with saver(url) as checkpointer:
        graph = logged(log, checkpointer, deadly=5)
        await graph.ainvoke({"n": 0}, limit(10, thread_id="s"), durability="sync")


async def recovers(url, log):
    async with saver(url) as checkpointer:
        graph = logged(log, checkpointer)
        return (await graph.ainvoke(None, limit(10, thread_id="s"), durability="sync"))["n"]
