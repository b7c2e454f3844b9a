"""What is recorded inside a step that runs an agent: its model requests and tool calls, and which events were published.

A recorded part is not done again, and says nothing again: the events of a model request or tool call are published while
it runs, before its record is stored with them. All other events have a key of their own here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from ...executors.adapter import Usage
from ...model.executor_events import ExecutorEvent
from ..bus.said import Said
from .context import RunContext

if TYPE_CHECKING:
    from .budgets import AgentUse
    from .frame import Frame

__all__ = ["AgentJournal", "start_over"]

_DELTAS = ("RunContent", "TeamRunContent", "ReasoningContentDelta", "TeamReasoningContentDelta")
_GENERATION = "!agent"


class AgentJournal:
    """The records of the agent at ``path`` in its round ``number``: how often it was continued behind a pause.

    Keys of different rounds differ, or the first request behind a pause would get the first one's response. So do those
    of a step that is tried again since what was recorded led to its failure.
    """

    __slots__ = ("_context", "_counts", "_failure", "_frame", "_path", "_place", "_said", "_use")

    def __init__(
        self, frame: Frame, path: str, context: RunContext, said: Said, number: int, use: AgentUse | None = None
    ) -> None:
        self._use = use
        self._frame, self._path, self._context, self._said = frame, path, context, said
        record = frame.recorded(path + _GENERATION)
        generation = record.value if record is not None else 0
        self._place = f"{number}.{generation}" if generation else str(number)
        self._counts: dict[str, int] = {}
        self._failure: BaseException | None = None

    async def once(self, key: str, function: Callable[[], Any], *, usage: Usage | None = None) -> Any:
        """The result of ``function``, recorded under ``key`` with the number of the events that it has emitted itself. A
        model request says by ``usage`` what it used."""
        if usage is not None and self._use is not None:
            return await self._use.request(key, self.recorded(key), partial(self._once, key, function), usage)
        return await self._once(key, function)

    async def _once(self, key: str, function: Callable[[], Any]) -> Any:
        said = self._said

        async def make() -> Any:
            try:
                found = function()
                value = await found if inspect.isawaitable(found) else found
            except BaseException as error:
                self._failure = error
                raise
            return [value, said.count]

        value, count = await self._context.once(self._key(key), make)
        said.count = max(said.count, count)
        return value

    def recorded(self, key: str) -> bool:
        """Whether ``once`` would return a recorded result."""
        return self._frame.recorded(f"{self._path}!once:{self._key(key)}") is not None

    @contextmanager
    def part(self, key: str) -> Iterator[None]:
        """Work that the library records by itself, by ``once`` or not."""
        try:
            with self._context.inside(f"{self._path}!once:{self._key(key)}"):
                yield
        except BaseException as error:
            self._failure = error
            raise

    def is_new(self, event: ExecutorEvent) -> bool:
        """False for an event that was published before; of a new one it is noted that it is now."""
        name = event.event
        if name in _DELTAS:
            return True
        tool = event.tool if isinstance(event.tool, dict) else {}
        kind = f"{name}:{event.executor_name}:{tool.get('tool_call_id', '')}"
        number = self._counts[kind] = self._counts.get(kind, -1) + 1
        path = f"{self._path}!event:{self._place}:{kind}#{number}"
        if self._frame.recorded(path) is not None:
            return False
        self._frame.remember(path, True)
        return True

    def led_to(self, error: BaseException) -> bool:
        """Whether ``error`` came out of recorded parts alone: tried again with them, the step would fail again."""
        seen: BaseException | None = error
        while seen is not None:
            if seen is self._failure:
                return False
            seen = seen.__cause__ or seen.__context__
        return True

    def _key(self, key: str) -> str:
        return f"agent:{self._place}:{key}"


def start_over(frame: Frame, path: str) -> None:
    """Forget what is recorded of the agent at ``path``: its next attempt does all of it again."""
    record = frame.recorded(path + _GENERATION)
    frame.remember(path + _GENERATION, (record.value if record is not None else 0) + 1)
