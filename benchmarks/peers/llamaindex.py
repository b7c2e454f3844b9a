"""llama-index-workflows: a workflow whose step sends itself the next event; the result of a run is how often."""

from __future__ import annotations

import asyncio
import time

from workflows import Context, Workflow, step
from workflows.events import Event, StartEvent, StepState, StepStateChanged, StopEvent

IMPORT = "from workflows import Context, Workflow, step\nfrom workflows.events import Event, StartEvent, StopEvent"
FIRST_RUN = """
import asyncio
class First(Workflow):
    @step
    async def same(self, ev: StartEvent) -> StopEvent: return StopEvent(result=ev.text)
async def first(): return await First(timeout=None).run(text="x")
assert asyncio.run(first()) == "x"
"""
_STORED = "it leaves it to the application to store a run's context"
CANNOT = {
    "call": "it has no call for synchronous code",
    "saved": _STORED,
    "replay": _STORED,
    "paused": _STORED,
    "dies": _STORED,
    "recovers": _STORED,
    "commits": "its store is not measured by itself",
    "drawing": "it draws no stream on a terminal",
}


class Next(Event):
    n: int


class Chunk(Event):
    text: str


class Line(Workflow):
    count: int
    nap: float

    @step
    async def work(self, ev: StartEvent | Next) -> Next | StopEvent:
        if self.nap:
            await asyncio.sleep(self.nap)
        done = (ev.n if isinstance(ev, Next) else 0) + 1
        return StopEvent(result=done) if done == self.count else Next(n=done)


def line(count, nap=0.0):
    workflow = Line(timeout=None)
    workflow.count, workflow.nap = count, nap
    return workflow


def steps(count, nap):
    workflow = line(count, nap)

    async def run():
        return await workflow.run()

    return run


def events(count):
    """The stream with what happens to its steps; it shows that only if asked for."""
    workflow = line(count)

    async def stream():
        seen = ended = 0
        handler = workflow.run()
        async for event in handler.stream_events(expose_internal=True):
            seen += 1
            ended += isinstance(event, StepStateChanged) and event.step_state == StepState.NOT_RUNNING
        await handler
        return seen, ended

    return stream


class Speaker(Workflow):
    count: int
    patient: bool

    @step
    async def speak(self, ctx: Context, ev: StartEvent) -> StopEvent:
        for _ in range(self.count):
            if self.patient:
                await asyncio.sleep(0)
            ctx.write_event_to_stream(Chunk(text="x"))
        return StopEvent(result="x")


def chunks(count, patient):
    workflow = Speaker(timeout=None)
    workflow.count, workflow.patient = count, patient

    async def stream():
        handler = workflow.run()
        read = 0
        async for event in handler.stream_events():
            read += isinstance(event, Chunk)
        await handler
        return read

    return stream


def first():
    workflow = line(3)

    async def wait():
        start = time.perf_counter()
        handler = workflow.run()
        stream = handler.stream_events(expose_internal=True)
        await anext(stream)
        waited = time.perf_counter() - start
        async for _ in stream:
            pass
        await handler
        return waited

    return wait


class Branch(Event):
    n: int


class Done(Event):
    n: int


def parallel(count, nap):
    class Fan(Workflow):
        @step
        async def out(self, ctx: Context, ev: StartEvent) -> Branch | None:
            for number in range(count):
                ctx.send_event(Branch(n=number))

        @step(num_workers=count)
        async def work(self, ev: Branch) -> Done:
            if nap:
                await asyncio.sleep(nap)
            return Done(n=ev.n)

        @step
        async def together(self, ctx: Context, ev: Done) -> StopEvent | None:
            found = ctx.collect_events(ev, [Done] * count)
            return StopEvent(result=len(found)) if found is not None else None

    workflow = Fan(timeout=None)

    async def run():
        return await workflow.run()

    return run
