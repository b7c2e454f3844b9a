"""What a script shows of its runs, as JSON: the same notes whether agno or this package executes it.

Runs in agno's venv too, so it imports neither of the two libraries.
"""

from __future__ import annotations

import base64
import inspect
from enum import Enum
from pathlib import Path
from typing import Any

__all__ = ["Tape"]

_EVENT_FIELDS = (
    "iteration",
    "max_iterations",
    "should_continue",
    "total_iterations",
    "condition_result",
    "branch",
    "executed_steps",
    "selected_steps",
    "parallel_step_count",
    "steps_count",
    "available_choices",
    "requires_confirmation",
    "confirmation_message",
    "requires_user_input",
    "user_input_message",
    "output_review_message",
    "error",
)


def plain(value: Any) -> Any:
    """``value`` as JSON; a model as its fields, an enum as its value, bytes as base64, anything else as text."""
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if hasattr(value, "model_dump"):
        return plain(value.model_dump())
    return f"<{type(value).__name__}>" if hasattr(value, "step_name") else str(value)


def step(output: Any) -> dict[str, Any]:
    """A StepOutput and what is below it."""
    found = {
        "name": output.step_name,
        "type": plain(output.step_type),
        "content": plain(output.content),
        "success": output.success,
        "error": output.error,
        "stop": output.stop,
    }
    if output.steps:
        found["steps"] = [step(inner) for inner in output.steps]
    return found


def run(output: Any) -> dict[str, Any]:
    return {
        "status": plain(output.status),
        "content": plain(output.content),
        "steps": [step(item) for item in output.step_results or ()],
    }


def event(item: Any) -> dict[str, Any]:
    if not hasattr(item, "event"):  # a StepOutput at the end of a direct call, or a raw chunk
        return {"event": "", "type": type(item).__name__, "content": plain(getattr(item, "content", item))}
    found: dict[str, Any] = {"event": plain(item.event), "depth": item.nested_depth}
    if getattr(item, "step_name", None) is not None:
        index = getattr(item, "step_index", None)
        found["step"] = item.step_name
        found["index"] = list(index) if isinstance(index, tuple) else index
    content = getattr(item, "content", None)
    if content is not None:
        found["content"] = plain(content)
    for name in _EVENT_FIELDS:
        value = getattr(item, name, None)
        if value not in (None, False):
            found[name] = plain(value)
    return found


def raised(error: Exception) -> dict[str, Any]:
    """An exception by the builtin that it is, since that is what a caller can rely on."""
    kind = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
    return {"raised": kind.__name__, "message": str(error)}


class Tape:
    """``notes`` are by label, in the order they were made; ``directory`` is where a script may put its files."""

    def __init__(self, directory: Path) -> None:
        self.notes: dict[str, Any] = {}
        self.directory = directory

    def file(self, name: str) -> str:
        return str(self.directory / name)

    def note(self, label: str, value: Any) -> None:
        assert label not in self.notes, label
        self.notes[label] = plain(value)

    def _failed(self, label: str, error: Exception) -> None:
        self.note(label, raised(error))

    # -- runs ----------------------------------------------------------------------------------------------------------

    def output(self, label: str, output: Any) -> Any:
        self.note(label, run(output))
        return output

    def run(self, label: str, workflow: Any, **call: Any) -> Any:
        """Run without streaming; what was raised is a note as well."""
        try:
            return self.output(label, workflow.run(**call))
        except Exception as error:
            self._failed(label, error)
            return None

    def stream(self, label: str, workflow: Any, *, stream_events: bool = True, **call: Any) -> list[Any]:
        return self.events(label, workflow.run(**call, stream=True, stream_events=stream_events))

    def events(self, label: str, stream: Any) -> list[Any]:
        """Read a stream to its end. What it raises is the last entry."""
        seen: list[Any] = []
        notes: list[dict[str, Any]] = []
        try:
            for item in stream:
                seen.append(item)
                notes.append(event(item))
        except Exception as error:
            notes.append(raised(error))
        self.note(label, notes)
        return seen

    async def arun(self, label: str, workflow: Any, **call: Any) -> Any:
        try:
            return self.output(label, await workflow.arun(**call))
        except Exception as error:
            self._failed(label, error)
            return None

    async def astream(self, label: str, workflow: Any, *, stream_events: bool = True, **call: Any) -> list[Any]:
        return await self.aevents(label, workflow.arun(**call, stream=True, stream_events=stream_events))

    async def aevents(self, label: str, stream: Any) -> list[Any]:
        seen: list[Any] = []
        notes: list[dict[str, Any]] = []
        if inspect.isawaitable(stream) and not hasattr(stream, "__anext__"):
            stream = await stream
        try:
            async for item in stream:
                seen.append(item)
                notes.append(event(item))
        except Exception as error:
            notes.append(raised(error))
        self.note(label, notes)
        return seen

    def modes(self, workflow: Any, label: str = "", **call: Any) -> None:
        """The three ways of a synchronous run: the output, the short stream, the full stream."""
        name = f"{label} " if label else ""
        self.run(f"{name}run", workflow, **call)
        self.stream(f"{name}stream", workflow, stream_events=False, **call)
        self.stream(f"{name}stream_events", workflow, **call)
