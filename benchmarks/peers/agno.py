"""agno, 2 and 3: asynchronous functions as steps and its asynchronous databases; telemetry off, log at WARNING."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import asynccontextmanager

os.environ["AGNO_TELEMETRY"] = "false"

from agno.run.agent import RunContentEvent
from agno.run.workflow import StepCompletedEvent
from agno.workflow import HumanReview, Parallel, Step, StepInput, StepOutput, Workflow

for name in ("agno", "agno-team", "agno-workflow"):
    logging.getLogger(name).setLevel(logging.WARNING)

IMPORT = "from agno.workflow import Step, StepInput, StepOutput, Workflow"
FIRST_RUN = """
import asyncio
async def same(step_input): return StepOutput(content=step_input.input)
flow = Workflow(name="first", steps=[Step(name="same", executor=same)], telemetry=False)
assert asyncio.run(flow.arun(input="x")).content == "x"
"""
CANNOT = {
    "replay": "it keeps no log of events that can be read on its own",
    "dies": "nothing is stored before a run's end",
    "recovers": "nothing is stored before a run's end",
    "commits": "its store is not measured by itself",
    "drawing": "its drawing prints chunk by chunk and is not comparable",
}


async def same(step_input: StepInput) -> StepOutput:
    return StepOutput(content=step_input.input)


def line(count, nap=0.0):
    async def rest(step_input: StepInput) -> StepOutput:
        await asyncio.sleep(nap)
        return StepOutput(content=step_input.input)

    return [Step(name=f"step{number}", executor=rest if nap else same) for number in range(count)]


def workflow(steps, **options):
    return Workflow(name="bench", steps=steps, telemetry=False, **options)


def done(results):
    return sum(result.content == "x" for result in results or ())


def steps(count, nap):
    flow = workflow(line(count, nap))

    async def run():
        return done((await flow.arun(input="x")).step_results)

    return run


def events(count):
    flow = workflow(line(count))

    async def stream():
        seen = ended = 0
        async for event in flow.arun(input="x", stream=True, stream_events=True):
            seen += 1
            ended += isinstance(event, StepCompletedEvent)
        return seen, ended

    return stream


def chunks(count, patient):
    """Its function steps stream what they yield as events; plain text that they yield is only joined."""

    async def speak(step_input: StepInput):
        for _ in range(count):
            if patient:
                await asyncio.sleep(0)
            yield RunContentEvent(content="x")

    flow = workflow([Step(name="speak", executor=speak)])

    async def stream():
        read = 0
        async for event in flow.arun(input="x", stream=True, stream_events=True):
            read += isinstance(event, RunContentEvent)
        return read

    return stream


def first():
    flow = workflow(line(3))

    async def wait():
        start = time.perf_counter()
        stream = flow.arun(input="x", stream=True, stream_events=True)
        await anext(stream)
        waited = time.perf_counter() - start
        await stream.aclose()
        return waited

    return wait


def parallel(count, nap):
    flow = workflow([Parallel(*line(count, nap), name="all")])

    async def run():
        (together,) = (await flow.arun(input="x")).step_results
        return done(together.steps)

    return run


def call():
    def same_now(step_input: StepInput) -> StepOutput:
        return StepOutput(content=step_input.input)

    flow = workflow([Step(name="step", executor=same_now)])  # run() takes no asynchronous functions
    return lambda: done(flow.run(input="x").step_results)


def database(url):
    if url.startswith("sqlite"):
        from agno.db.sqlite import AsyncSqliteDb

        return AsyncSqliteDb(db_file=url.removeprefix("sqlite:///"))
    from agno.db.postgres import AsyncPostgresDb

    return AsyncPostgresDb(db_url=url.replace("postgresql://", "postgresql+psycopg_async://"))


class Saved:
    def __init__(self, flow):
        self.flow = flow

    async def run(self, session):
        return done((await self.flow.arun(input="x", session_id=session)).step_results)

    async def stored(self, session):
        found = await self.flow.aget_session(session_id=session)
        return done(found.runs[-1].step_results) if found is not None and found.runs else 0


@asynccontextmanager
async def saved(url, count, durability, events):
    if durability != "exit":
        raise NotImplementedError("it stores a run at its end only")
    db = database(url)
    yield Saved(workflow(line(count), db=db, store_events=events))
    await db.db_engine.dispose()


class Paused:
    def __init__(self, flow):
        self.flow = flow

    async def pause(self, session):
        output = await self.flow.arun(input="x", session_id=session)
        return output if output.is_paused else None

    async def go_on(self, output):
        for requirement in output.step_requirements:
            requirement.confirm()
        return done((await self.flow.acontinue_run(output)).step_results)


@asynccontextmanager
async def paused(url):
    before, _, after = line(3)
    asks = Step(name="asks", executor=same, human_review=HumanReview(requires_confirmation=True))
    db = database(url)
    yield Paused(workflow([before, asks, after], db=db))
    await db.db_engine.dispose()
