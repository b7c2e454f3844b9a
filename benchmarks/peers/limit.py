"""The limit: asyncio written by hand that does the same work as far as it can be observed, and nothing around it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

CANNOT = {}


async def same(given):
    return given


def function(nap):
    async def rest(given):
        await asyncio.sleep(nap)
        return given

    return rest if nap else same


def steps(count, nap):
    line = [function(nap)] * count

    async def run():
        results = []
        for step in line:
            results.append(await step("x"))
        return sum(result == "x" for result in results)

    return run


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


def events(count):
    line = [(f"step{number}", same) for number in range(count)]

    async def produce(stream):
        seq = 1
        stream.put(Event("WorkflowStarted", seq, ""))
        content = "x"
        for path, step in line:
            seq += 1
            stream.put(Event("StepStarted", seq, path))
            content = await step(content)
            seq += 2
            stream.put(Event("StepCompleted", seq - 1, path, content))
            stream.put(Event("StepOutput", seq, path, content))
            if len(stream.ready) >= stream.size:
                await stream.settle()
        stream.put(Event("WorkflowCompleted", seq + 1, "", content))
        stream.close()

    async def read():
        stream = Stream()
        task = asyncio.create_task(produce(stream))
        seen = ended = 0
        async for event in stream:
            seen += 1
            ended += event.kind == "StepCompleted"
        await task
        return seen, ended

    return read


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
