"""A run drawn on a terminal. The pictures are counted where they are made, so this uses the console's own module."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TextIO

from workflow_runtime import Step, StepInput, StepOutput, Workflow

__all__ = ["drawing"]

WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "and", "it", "*rests*", "a while.\n\n")


def drawing(rate: int, seconds: float, terminal: TextIO | None, markdown: bool) -> Callable[[], Awaitable[int]]:
    async def speak(_given: StepInput) -> AsyncIterator[str | StepOutput]:
        began, sent, total = time.perf_counter(), 0, int(rate * seconds)
        while sent < total:
            due = min(total, int((time.perf_counter() - began) * rate))
            while sent < due:
                yield f"{WORDS[sent % len(WORDS)]} "
                sent += 1
            await asyncio.sleep(0.001)
        yield StepOutput("the end")  # what is printed at the end is not part of the stream's cost

    workflow = Workflow(name="bench", steps=[Step(name="speak", executor=speak)], telemetry=False)

    async def undrawn() -> int:
        async for _ in workflow.arun("x", stream=True, stream_events=True):
            pass
        return 0

    if terminal is None:
        return undrawn

    from rich.console import Console

    from workflow_runtime.console import live
    from workflow_runtime.console.response import respond

    console = Console(file=terminal, force_terminal=True, width=100, height=40, color_system="truecolor")

    async def drawn() -> int:
        pictures = 0
        surfaces: Any = live.Live
        draw = surfaces._draw

        def counted(surface: Any, shot: Any) -> Any:
            nonlocal pictures
            pictures += 1
            return draw(surface, shot)

        surfaces._draw = counted  # for this run
        try:
            await respond(workflow, "x", console=console, markdown=markdown, show_step_details=False, interactive=False)
        finally:
            surfaces._draw = draw
        return pictures

    return drawn
