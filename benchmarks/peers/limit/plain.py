"""Without a database."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass


@dataclass(slots=True)
class Result:
    """What is kept of a step."""

    name: str
    content: object
    seconds: float


async def same(given):
    return given


def function(nap):
    async def rest(given):
        await asyncio.sleep(nap)
        return given

    return rest if nap else same


def line(count, nap=0.0):
    return [(f"step{number}", function(nap)) for number in range(count)]


async def execute(name, step, given):
    start = time.perf_counter()
    content = await step(given)
    return Result(name, content, time.perf_counter() - start)


def done(results):
    return sum(result.content == "x" for result in results)


def steps(count, nap):
    nodes = line(count, nap)

    async def run():
        return done([await execute(name, step, "x") for name, step in nodes])

    return run


def parallel(count, nap):
    nodes = line(count, nap)

    async def run():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(execute(name, step, "x")) for name, step in nodes]
        return done([task.result() for task in tasks])

    return run


def call():
    run = steps(1, 0.0)
    return lambda: asyncio.run(run())


@dataclass(slots=True)
class Event:
    kind: str
    seq: int
    path: str
    content: object = None


class Stream:
    """A bounded deque between a run and its one reader: a full one makes the run wait, an empty one the reader."""

    def __init__(self, size=256):
        self.size = size
        self.ready = deque()
        self.closed = False
        self.reader = self.writer = None

    def put(self, event):
        self.ready.append(event)
        if self.reader is not None:
            self.reader.set_result(None)
            self.reader = None

    async def settle(self):
        """Wait until the reader has taken what is there, if that is too much."""
        if len(self.ready) >= self.size:
            self.writer = asyncio.get_running_loop().create_future()
            await self.writer

    def close(self):
        self.closed = True
        if self.reader is not None:
            self.reader.set_result(None)
            self.reader = None

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.ready:
            if self.writer is not None:
                self.writer.set_result(None)
                self.writer = None
            if self.closed:
                raise StopAsyncIteration
            self.reader = asyncio.get_running_loop().create_future()
            await self.reader
            if not self.ready:
                raise StopAsyncIteration
        return self.ready.popleft()


async def produce(nodes, stream):
    """Run the nodes and put their events into the stream."""
    seq = 1
    stream.put(Event("WorkflowStarted", seq, ""))
    for path, step in nodes:
        seq += 3
        stream.put(Event("StepStarted", seq - 2, path))
        result = await execute(path, step, "x")
        stream.put(Event("StepCompleted", seq - 1, path, result))
        stream.put(Event("StepOutput", seq, path, result.content))
        if len(stream.ready) >= stream.size:
            await stream.settle()
    stream.put(Event("WorkflowCompleted", seq + 1, "", "x"))
    stream.close()


def events(count):
    nodes = line(count)

    async def read():
        stream = Stream()
        task = asyncio.create_task(produce(nodes, stream))
        seen = ended = 0
        async for event in stream:
            seen += 1
            ended += event.kind == "StepCompleted"
        await task
        return seen, ended

    return read


def first():
    nodes = line(3)

    async def wait():
        start = time.perf_counter()
        stream = Stream()
        task = asyncio.create_task(produce(nodes, stream))
        await anext(stream)
        waited = time.perf_counter() - start
        task.cancel()
        await asyncio.wait([task])
        return waited

    return wait


def chunks(count, patient):
    async def speak():
        for _ in range(count):
            if patient:
                await asyncio.sleep(0)
            yield "x"

    async def produce(stream):
        seq = 0
        async for chunk in speak():
            seq += 1
            stream.put(Event("StepContent", seq, "speak", chunk))
            if len(stream.ready) >= stream.size:
                await stream.settle()
        stream.close()

    async def read():
        stream = Stream()
        task = asyncio.create_task(produce(stream))
        found = 0
        async for event in stream:
            found += event.kind == "StepContent"
        await task
        return found

    return read
