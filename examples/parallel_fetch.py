"""Fetching from several places at once: retries for a flaky server, a timeout for a slow one, and one that stays down.

The servers are a few lines of asyncio in this process; nothing leaves the machine.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial

from workflow_runtime import Parallel, Retry, Step, StepErrorEvent, StepInput, StepRetryEvent, Workflow

asked: Counter[str] = Counter()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request per connection: ``steady`` answers, ``flaky`` at the third try, ``slow`` and ``down`` never."""
    name = (await reader.readline()).decode().strip()
    asked[name] += 1
    if name == "slow":
        await reader.read()  # until the client times out
    elif name == "steady" or (name == "flaky" and asked[name] == 3):
        writer.write(f"hello from {name}".encode())
    writer.close()


async def fetch(step_input: StepInput, *, name: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", step_input.input["port"])
    try:
        writer.write(f"{name}\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
    if not answer:
        raise ConnectionError(f"{name} closed the connection")
    return answer.decode()


def fetch_step(name: str, timeout: float = 5) -> Step:
    """A step that tries three times and, if all fail, is skipped: the others' results still count."""
    retry = Retry(attempts=3, delay=0.01, on=(ConnectionError,))
    return Step(name, executor=partial(fetch, name=name), retry=retry, timeout=timeout, on_error="skip")


def report(step_input: StepInput) -> list[str]:
    fetched = step_input.get_step_output("fetch all")
    assert fetched is not None
    return [f"{one.step_name:<7} {one.content if one.success else one.error}" for one in fetched.steps or ()]


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    steps = [fetch_step("steady"), fetch_step("flaky"), fetch_step("slow", timeout=0.2), fetch_step("down")]
    workflow = Workflow(name="Fetch", steps=[Parallel(*steps, name="fetch all"), report])

    stream = workflow.arun({"port": server.sockets[0].getsockname()[1]}, stream=True)
    async for event in stream:
        if isinstance(event, StepRetryEvent):
            print(f"{event.step_name}: attempt {event.attempt} failed ({event.error}), trying again")
        elif isinstance(event, StepErrorEvent):
            print(f"{event.step_name}: gave up with {event.error_type}")

    output = await stream.result()
    print(f"\n{output.status.value}")
    print(*output.content, sep="\n")
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
