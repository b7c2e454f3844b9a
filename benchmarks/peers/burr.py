"""burr: asynchronous actions over a state that counts them; a graph built once, an application for each run."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager
from itertools import count as counter
from itertools import pairwise
from pathlib import Path

from burr import telemetry
from burr.core import ApplicationBuilder, GraphBuilder, State, action
from burr.core.action import streaming_action

telemetry.disable_telemetry()

IMPORT = "from burr.core import ApplicationBuilder, State, action"
FIRST_RUN = """
import asyncio
@action(reads=["n"], writes=["n"])
async def more(state: State) -> State: return state.update(n=state["n"] + 1)
async def first():
    builder = ApplicationBuilder().with_actions(more=more).with_state(n=0).with_entrypoint("more")
    return await (await builder.abuild()).arun(halt_after=["more"])
assert asyncio.run(first())[2]["n"] == 1
"""
CANNOT = {
    "parallel": "a branch is an application of its own, made in a class written for it",
    "replay": "it stores the state after each action, not events",
    "commits": "its store is not measured by itself",
    "drawing": "it draws no stream on a terminal",
}


@action(reads=["n"], writes=["n"])
async def same(state: State) -> State:
    return state.update(n=state["n"] + 1)


def function(nap):
    @action(reads=["n"], writes=["n"])
    async def rest(state: State) -> State:
        await asyncio.sleep(nap)
        return state.update(n=state["n"] + 1)

    return rest if nap else same


def line(actions):
    names = [f"step{number}" for number in range(len(actions))]
    builder = GraphBuilder().with_actions(**dict(zip(names, actions, strict=True)))
    return builder.with_transitions(*pairwise(names)).build(), names


async def application(graph):
    return await ApplicationBuilder().with_graph(graph).with_state(n=0).with_entrypoint("step0").abuild()


def steps(count, nap):
    graph, names = line([function(nap)] * count)

    async def run():
        app = await application(graph)
        _, _, state = await app.arun(halt_after=[names[-1]])
        return state["n"]

    return run


def events(count):
    """What it iterates over: each action when it has ended."""
    graph, names = line([same] * count)

    async def stream():
        seen = 0
        app = await application(graph)
        async for _ in app.aiterate(halt_after=[names[-1]]):
            seen += 1
        return seen, app.state["n"]

    return stream


def chunks(count, patient):
    @streaming_action(reads=["n"], writes=["n"])
    async def speak(state: State):
        for _ in range(count):
            if patient:
                await asyncio.sleep(0)
            yield {"text": "x"}, None
        yield {"text": ""}, state.update(n=1)

    graph, names = line([speak])

    async def stream():
        app = await application(graph)
        _, container = await app.astream_result(halt_after=names)
        read = 0
        async for item in container:
            read += item["text"] == "x"
        return read

    return stream


def first():
    graph, names = line([same] * 3)

    async def wait():
        start = time.perf_counter()
        app = await application(graph)
        stream = app.aiterate(halt_after=[names[-1]])
        await anext(stream)
        waited = time.perf_counter() - start
        await stream.aclose()
        return waited

    return wait


def call():
    @action(reads=["n"], writes=["n"])
    def now(state: State) -> State:
        return state.update(n=state["n"] + 1)

    graph, names = line([now])

    def run():
        app = ApplicationBuilder().with_graph(graph).with_state(n=0).with_entrypoint("step0").build()
        _, _, state = app.run(halt_after=names)
        return state["n"]

    return run


@asynccontextmanager
async def persister(url):
    if url.startswith("sqlite"):
        from burr.integrations.persisters.b_aiosqlite import AsyncSQLitePersister

        async with AsyncSQLitePersister.from_values(db_path=url.removeprefix("sqlite:///")) as found:
            await found.initialize()
            yield found
        return
    from urllib.parse import urlsplit

    from burr.integrations.persisters.b_asyncpg import AsyncPostgreSQLPersister

    parts = urlsplit(url)
    place = {"db_name": parts.path[1:], "user": parts.username, "password": "", "host": parts.hostname}
    found = await AsyncPostgreSQLPersister.from_values(**place, port=parts.port, use_pool=True)
    await found.initialize()
    yield found
    await found.cleanup()


def stored_application(graph, keeper, session, number):
    builder = (
        ApplicationBuilder().with_graph(graph).with_identifiers(app_id=f"{session}#{number}", partition_key=session)
    )
    return builder.with_state_persister(keeper)


class Saved:
    def __init__(self, graph, names, keeper):
        self.graph, self.names, self.keeper = graph, names, keeper
        self.numbers, self.last = counter(), {}

    async def run(self, session):
        number = self.last[session] = next(self.numbers)
        builder = stored_application(self.graph, self.keeper, session, number)
        app = await builder.with_state(n=0).with_entrypoint("step0").abuild()
        _, _, state = await app.arun(halt_after=[self.names[-1]])
        return state["n"]

    async def stored(self, session):
        return (await self.keeper.load(session, f"{session}#{self.last[session]}"))["state"]["n"]


@asynccontextmanager
async def saved(url, count, durability, events):
    if durability != "sync" or events:
        raise NotImplementedError("it stores the state after each action and nothing else")
    async with persister(url) as keeper:
        yield Saved(*line([same] * count), keeper)


class Paused:
    def __init__(self, graph, keeper):
        self.graph, self.keeper = graph, keeper

    async def pause(self, session):
        builder = stored_application(self.graph, self.keeper, session, 0)
        app = await builder.with_state(n=0).with_entrypoint("step0").abuild()
        found, _, _ = await app.arun(halt_before=["step1"])
        return session if found.name == "step1" else None

    async def go_on(self, session):
        return await resumed(stored_application(self.graph, self.keeper, session, 0), self.keeper, "step2")


async def resumed(builder, keeper, last):
    builder = builder.initialize_from(keeper, resume_at_next_action=True, default_state={}, default_entrypoint="step0")
    app = await builder.abuild()
    _, _, state = await app.arun(halt_after=[last])
    return state["n"]


@asynccontextmanager
async def paused(url):
    async with persister(url) as keeper:
        yield Paused(line([same] * 3)[0], keeper)


def note(log, number):
    with Path(log).open("a") as file:
        file.write(f"{number}\n")


def logged(log, deadly=None):
    def step(number):
        @action(reads=["n"], writes=["n"])
        async def work(state: State) -> State:
            note(log, number)
            if number == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            return state.update(n=state["n"] + 1)

        return work

    return line([step(number) for number in range(10)])[0]


async def dies(url, log):
    async with persister(url) as keeper:
        builder = stored_application(logged(log, deadly=5), keeper, "s", 0)
        app = await builder.with_state(n=0).with_entrypoint("step0").abuild()
        await app.arun(halt_after=["step9"])


async def recovers(url, log):
    async with persister(url) as keeper:
        return await resumed(stored_application(logged(log), keeper, "s", 0), keeper, "step9")
