"""What a step costs over calling its agent directly: per step, and per event that the agent streams.

``python benchmarks/agents.py [--toy]``. The agent plays a script, without a model: what is left is the work of this library.
Without a database, the run awaited. CPU time of this process, the least of several rounds: other programs on the machine
add nothing to it. A step: one of 21 in a run, less what calling the agent 21 times takes, and less what the run itself
takes. An event: one of 2,000 chunks of text that one agent streams, less what reading them from the agent takes.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from workflow_runtime import Step, Workflow
from workflow_runtime.testing import ScriptedAgent

STEPS, CHUNKS = 20, 2_000


def flow(agents: int, chunks: int) -> Any:
    steps = [Step(f"step{number}", agent=agent(chunks)) for number in range(agents)]
    return Workflow(name="agents", steps=steps, telemetry=False)


def agent(chunks: int) -> ScriptedAgent:
    return ScriptedAgent("clerk", "x" if chunks == 1 else ["x"] * chunks)


async def direct(made: list[ScriptedAgent]) -> None:
    for item in made:
        assert item.arun is not None
        async for _ in item.arun(input="x", stream=True):
            pass


async def seconds(work: Callable[[], Awaitable[Any]], rounds: int) -> float:
    """CPU seconds of one call: the least of all rounds."""
    taken = []
    for _ in range(rounds):
        begun = time.process_time()
        await work()
        taken.append(time.process_time() - begun)
    return min(taken)


async def measure(rounds: int, chunks: int) -> tuple[float, float]:
    """Microseconds per step and per event."""
    many, one, none = flow(1 + STEPS, 1), flow(1, 1), flow(1, chunks)
    agents, speaker, silent = [agent(1) for _ in range(STEPS)], [agent(chunks)], [agent(1)]
    in_steps = await seconds(lambda: many.arun("x"), rounds) - await seconds(lambda: one.arun("x"), rounds)
    called = await seconds(lambda: direct(agents), rounds)
    streamed = await seconds(lambda: none.arun("x"), rounds) - await seconds(lambda: one.arun("x"), rounds)
    read = await seconds(lambda: direct(speaker), rounds) - await seconds(lambda: direct(silent), rounds)
    return (in_steps - called) / STEPS * 1e6, (streamed - read) / (chunks - 1) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="small, to see that it works")
    given = parser.parse_args()
    step, event = asyncio.run(measure(2, 50) if given.toy else measure(60, CHUNKS))
    print(f"{step:>8.1f} us a step with an agent, over calling the agent")
    print(f"{event:>8.2f} us an event of the agent, over reading it")


if __name__ == "__main__":
    main()
