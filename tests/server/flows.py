"""Workflows that the tests of the server serve."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio

from workflow_runtime import HumanReview, Parallel, RunContext, Step, StepInput, StepOutput, UserInputField, Workflow

__all__ = ["Gate", "approval", "chat", "failing", "greeting", "held", "media", "url_of"]


class Gate:
    """Steps wait at it until ``open()``, which any thread may call."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.entered = threading.Event()

    async def passed(self) -> None:
        self.entered.set()
        while not self._open.is_set():
            await anyio.sleep(0.005)

    def open(self) -> None:
        self._open.set()


def url_of(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/runs.db"


def greeting(db: Any = None, **options: Any) -> Workflow:
    def greet(step_input: StepInput) -> str:
        return f"hello {step_input.input}"

    return Workflow(name="Greeting", description="Says hello", steps=[greet], db=db, **options)


def chat(db: Any = None, chunks: int = 5, **options: Any) -> Workflow:
    """Streams as many words as it has chunks."""

    async def talk(step_input: StepInput) -> AsyncIterator[str]:
        for number in range(chunks):
            yield f"w{number} "
            await anyio.lowlevel.checkpoint()

    return Workflow(name="Chat", steps=[talk], db=db, **options)


def held(gate: Gate, db: Any = None, **options: Any) -> Workflow:
    """Says "before", waits at the gate, says "after"."""

    async def wait(step_input: StepInput) -> AsyncIterator[str]:
        yield "before "
        await gate.passed()
        yield "after"

    return Workflow(name="Held", steps=[wait], db=db, **options)


def approval(db: Any = None, **options: Any) -> Workflow:
    """Asks for a yes and for a number of seats, side by side, then tells them."""

    def pay(step_input: StepInput) -> str:
        return "paid"

    def book(step_input: StepInput) -> str:
        return f"seats {(step_input.additional_data or {})['user_input']['seats']}"

    def tell(step_input: StepInput) -> str:
        return f"{step_input.get_step_content('pay')}, {step_input.get_step_content('book')}"

    form = [UserInputField("seats", "int", "How many?")]
    return Workflow(
        name="Approval",
        steps=[
            Parallel(
                Step("pay", executor=pay, human_review=HumanReview(requires_confirmation=True)),
                Step("book", executor=book, human_review=HumanReview(requires_user_input=True, user_input_schema=form)),
                name="both",
            ),
            tell,
        ],
        db=db,
        **options,
    )


def failing(db: Any = None) -> Workflow:
    def fail(step_input: StepInput) -> str:
        raise RuntimeError("the step said no")

    return Workflow(name="Failing", steps=[fail], db=db)


def media(db: Any = None) -> Workflow:
    """Tells what came with the input, and counts up in the session."""

    def look(step_input: StepInput, run_context: RunContext) -> StepOutput:
        state = run_context.session_state
        assert state is not None
        state["runs"] = state.get("runs", 0) + 1
        found = {
            kind: [[item.mime_type, len(item.get_content_bytes() or b"")] for item in getattr(step_input, kind) or ()]
            for kind in ("images", "audio", "videos", "files")
        }
        return StepOutput(content={"input": step_input.input, **{k: v for k, v in found.items() if v}})

    return Workflow(name="Media", steps=[look], db=db)
