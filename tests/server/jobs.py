"""What the server processes of the tests serve."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import anyio

from workflow_runtime import Step, Workflow


async def work(step_input: Any) -> AsyncIterator[str]:
    """A fifth of a second, told in ten words."""
    for number in range(10):
        yield f"{number} "
        await anyio.sleep(0.02)


async def gate(step_input: Any) -> Any:
    """Waits until the file that JOB_GATE names is there."""
    while not os.path.exists(os.environ.get("JOB_GATE", "/")):
        await anyio.sleep(0.02)
    return step_input.previous_step_content


job = Workflow(name="Job", steps=[Step("first", executor=work), Step("second", executor=work), gate], telemetry=False)


def by_name(connection: Any) -> str | None:
    """Who asks, as a proxy in front of the server would have found out."""
    name: str | None = connection.headers.get("x-name")
    return name
