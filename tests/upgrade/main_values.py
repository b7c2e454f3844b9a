"""A script whose classes are those of ``__main__``: ``write URL`` stores such values, ``read URL`` prints what is stored."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel

from workflow_runtime import RunContext, Step, Workflow
from workflow_runtime.storage.registry import open_url


class Mood(Enum):
    GOOD = "good"


@dataclass
class Receipt:
    number: int
    mood: Mood


class Letter(BaseModel):
    to: str
    receipt: Receipt


def content() -> list[Any]:
    return [Receipt(7, Mood.GOOD), Letter(to="Ada", receipt=Receipt(8, Mood.GOOD))]


def keep(run_context: RunContext) -> list[Any]:
    run_context.session_state["receipt"] = Receipt(9, Mood.GOOD)
    return content()


def build(url: str, clock: Any = None) -> Workflow:
    options: dict[str, Any] = {} if clock is None else {"clock": clock}
    return Workflow(
        name="main-values",
        steps=[
            Step("keep", executor=keep),
            Step("pay", executor=lambda step_input: step_input.previous_step_content[0], requires_confirmation=True),
        ],
        db=open_url(url),
        store_events=True,
        durability="sync",
        telemetry=False,
        **options,
    )


async def write(url: str, start: float) -> None:
    from workflow_runtime.testing import FakeClock

    workflow = build(url, FakeClock(start))
    await workflow.arun("x", run_id="main-values", session_id="main-values")
    assert workflow.db is not None
    await workflow.db.aclose()


async def read(url: str) -> None:
    """The stored values as text; then the run is continued, and its content printed."""
    workflow = build(url)
    stored = await workflow.aget_run_output("main-values")
    assert stored is not None
    print(stored.step_results[0].content == content(), repr(stored.step_results[0].content[1].receipt))
    print(await workflow.aget_session_state("main-values"))
    (item,) = await workflow.alist_pending()
    item.answer({"confirmed": True})
    done = await workflow.acontinue_run(run_id="main-values", step_requirements=[item])
    print(done.status.value, done.content == Receipt(7, Mood.GOOD))
    assert workflow.db is not None
    await workflow.db.aclose()


if __name__ == "__main__":
    if sys.argv[1] == "write":
        asyncio.run(write(sys.argv[2], float(sys.argv[3])))
    else:
        asyncio.run(read(sys.argv[2]))
