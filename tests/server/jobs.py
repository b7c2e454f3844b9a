"""What the server processes of the tests serve."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio

from workflow_runtime import Step, Workflow


async def work(step_input: Any) -> AsyncIterator[str]:
    """A fifth of a second, told in ten words."""
    for number in range(10):
        yield f"{number} "
        await anyio.sleep(0.02)


job = Workflow(name="Job", steps=[Step(f"part {n}", executor=work) for n in range(4)], telemetry=False)


def by_name(connection: Any) -> str | None:
    """Who asks, as a proxy in front of the server would have found out."""
    name: str | None = connection.headers.get("x-name")
    return name
