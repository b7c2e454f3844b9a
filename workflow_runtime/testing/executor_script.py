"""What the model and the tools of an agent do in ``ExecutorContract``, written once for every library.

The test of an adapter makes an agent of its library whose model plays a ``Script``: which turn is played depends only on
how many responses the conversation has, so that the script continues in another process where it stopped. What was
called is written to a file, which survives the process.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

__all__ = [
    "PIXELS",
    "Script",
    "ToolCall",
    "Turn",
    "Verdict",
    "ask",
    "charge",
    "fail",
    "heard",
    "log",
    "logged",
    "mail",
    "note",
    "pay",
    "wait",
]

PIXELS = b"pixels of an image"

_LOG = "WORKFLOW_RUNTIME_CONTRACT_LOG"
_HANG = "WORKFLOW_RUNTIME_CONTRACT_HANG"


class ToolCall(msgspec.Struct, frozen=True):
    """A call that the model asks for."""

    name: str
    arguments: dict[str, Any] = {}
    id: str = "call-1"


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One response of the model: text in chunks, or calls of tools, or an object of the agent's output type; or ``error``
    is raised behind the text; or it ``hangs`` there."""

    text: Sequence[str] = ()
    calls: Sequence[ToolCall] = ()
    structured: dict[str, Any] | None = None
    error: Exception | None = None
    hangs: bool = False
    input_tokens: int = 7
    output_tokens: int = 3


class Script(msgspec.Struct, kw_only=True):
    """An agent: its name, its tools (of this module; those in ``approve`` need a person's yes), and its model's turns.

    With ``structured`` its output type is ``Verdict()``.
    """

    turns: Sequence[Turn]
    name: str = "clerk"
    tools: Sequence[Callable[..., Any]] = ()
    approve: Sequence[str] = ()
    structured: bool = False

    def play(self, responses: int, given: Any) -> Turn:
        """The model was asked: the conversation ``given`` has so many responses. What it is to say."""
        log("model")
        with open(_file() + ".heard", "a", encoding="utf-8") as file:
            file.write(f"{given!r}\n")
        turn = self.turns[responses]
        if os.environ.get(_HANG) == f"model {responses}":
            return Turn(text=["half "], hangs=True)
        return turn


def Verdict() -> Any:
    """The output type of a structured agent, a pydantic model: ``title`` and ``score``."""
    from .executor_types import Verdict as model

    return model


# -- what was called -------------------------------------------------------------------------------------------------


def _file() -> str:
    return os.environ[_LOG]


def log(what: str) -> None:
    """Note a call, at once and for good."""
    with open(_file(), "a", encoding="utf-8") as file:
        file.write(f"{what}\n")


def logged() -> list[str]:
    """All calls since the test began, in every process."""
    if not os.path.exists(_file()):
        return []
    with open(_file(), encoding="utf-8") as file:
        return file.read().split()


def heard() -> str:
    """All conversations that the model was given, as their ``repr``."""
    with open(_file() + ".heard", encoding="utf-8") as file:
        return file.read()


# -- tools -----------------------------------------------------------------------------------------------------------


async def charge(eur: int) -> str:
    """Charge an amount of euros."""
    log("charge")
    return f"charged {eur}"


async def mail(to: str) -> str:
    """Send a mail."""
    log("mail")
    if os.environ.get(_HANG) == "mail":
        await asyncio.Event().wait()
    return f"mailed {to}"


async def pay(eur: int) -> str:
    """Pay an amount of euros."""
    log("pay")
    return f"paid {eur}"


async def fail() -> str:
    """Fail."""
    log("fail")
    raise ConnectionError("the bank is closed")


async def wait() -> str:
    """Wait until the run is cancelled, and clean up in several steps."""
    log("wait")
    try:
        await asyncio.Event().wait()
    finally:
        for _ in range(3):
            await asyncio.sleep(0)
        log("cleaned-up")
    return "waited"


async def note(text: str) -> str:
    """Write a note into the session state."""
    from ..executors import current_context

    log("note")
    state = current_context().session_state
    state["notes"] = [*state.get("notes", []), text]
    return f"noted, {len(state['notes'])} in all"


async def ask(question: str) -> str:
    """Ask a person."""
    from ..executors import current_context

    log("ask")
    return f"{question} {await current_context().ask(question, int)}"
