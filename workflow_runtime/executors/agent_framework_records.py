"""What is recorded of the agents of Microsoft Agent Framework: each model request and each tool call, by middleware of the
run. The user's agent stays as it is.

An agent that is a tool is one call, recorded when it ends.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# The library is only in the environments of those that use it.

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from agent_framework import (
    ChatMiddleware,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionMiddleware,
    ResponseStream,
)

from ..model.errors import UnserializableError
from ..model.metrics import RunMetrics
from ..model.values import seal
from .adapter import Call, Once, Usage
from .events import Events, plain
from .recording import Broken, Counts, digest, teed

__all__ = ["Recording", "ToolEvents"]

Next = Callable[[], Awaitable[None]]


class ToolEvents(FunctionMiddleware):  # type: ignore[misc]  # the library is not there when types are checked
    """Tells of each tool call when it begins and ends; the library's stream has the results of a turn together."""

    def __init__(self, events: Events, put: Callable[[Any], None]) -> None:
        self._events, self._put = events, put
        self.told: set[str] = set()

    async def process(self, context: Any, call_next: Next) -> None:
        call_id, name = context.metadata.get("call_id") or "", context.function.name
        self.told.add(call_id)
        self._put(self._events.tool_started(call_id, name, plain(_arguments(context))))
        try:
            await call_next()
        except Exception as error:
            if not _is_signal(error):
                self._put(self._events.tool_completed(call_id, name, str(error), error=True))
            raise
        self._put(self._events.tool_completed(call_id, name, _shown(context.result)))


class Recording:
    """The records of one entry.

    Attributes:
        is_replaying: The last model request is a recorded one, whose text was published when it came.
    """

    def __init__(self, call: Call) -> None:
        assert call.once is not None
        self.once: Once = call.once
        self.recorded = call.recorded
        self.counts = Counts()
        self.is_replaying = False

    def middleware(self) -> list[Any]:
        return [_Requests(self), _Tools(self)]


class _Requests(ChatMiddleware):  # type: ignore[misc]  # as above
    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    async def process(self, context: Any, call_next: Next) -> None:
        recording = self._recording
        key = recording.counts.key("model")
        recording.is_replaying = recording.recorded(key)
        if not context.stream:

            async def ask() -> Any:
                await call_next()
                return _builtins(context.result)

            context.result = ChatResponse.from_dict(await recording.once(key, ask, usage=_usage))
            return

        async def source() -> AsyncIterator[Any]:
            await call_next()
            async for update in context.result:
                yield update

        async def once(key: str, function: Callable[[], Any], *, usage: Usage | None = None) -> Any:
            async def whole() -> list[Any]:
                return _joined(await function())

            return await recording.once(key, whole, usage=usage)

        kind = (context.options or {}).get("response_format")
        context.result = ResponseStream(
            teed(once, key, source, _builtins, ChatResponseUpdate.from_dict, usage=_usage),
            finalizer=lambda updates: ChatResponse.from_updates(updates, output_format_type=kind),
        )


class _Tools(FunctionMiddleware):  # type: ignore[misc]  # as above
    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    async def process(self, context: Any, call_next: Next) -> None:
        recording, own = self._recording, []
        arguments = _arguments(context)
        name = context.metadata.get("call_id") or digest(plain(arguments))
        key = recording.counts.key(f"tool:{context.function.name}:{name}")

        async def work() -> Any:
            try:
                await call_next()
            except Exception as error:
                own.append(error)
                if _is_signal(error):
                    raise
                return {"error": str(error)}
            return _storable(context.result)

        try:
            record = await recording.once(key, work)
        except Exception as error:
            if error in own:
                raise
            raise Broken(error) from error
        if "error" in record:
            raise own[0] if own else ToolFailed(record["error"])
        if "contents" in record:
            context.result = [Content.from_dict(dict(item)) for item in record["contents"]]
        else:
            context.result = record["value"]


class ToolFailed(Exception):
    """A recorded failure of a tool."""


def _is_signal(error: Exception) -> bool:
    """Whether the library raises it to steer the run: a question, an end, arguments to be checked again."""
    return type(error).__module__.partition(".")[0] == "agent_framework"


def _arguments(context: Any) -> dict[str, Any]:
    given = context.arguments
    return dict(given) if isinstance(given, dict) else given.model_dump()


def _is_contents(result: Any) -> bool:
    return isinstance(result, list) and bool(result) and all(isinstance(item, Content) for item in result)


def _shown(result: Any) -> Any:
    if _is_contents(result):
        if all(item.type == "text" for item in result):
            return "".join(item.text or "" for item in result)
        return [_builtins(item) for item in result]
    return plain(result)


def _storable(result: Any) -> dict[str, Any]:
    if _is_contents(result):
        return {"contents": [_builtins(item) for item in result]}
    try:
        seal(result)
    except UnserializableError:
        return {"value": str(result)}
    return {"value": result}


def _builtins(model: Any) -> Any:
    return json.loads(json.dumps(model.to_dict(), default=str))


def _usage(recorded: Any) -> RunMetrics:
    """Of a whole response, or of its updates."""
    if isinstance(recorded, dict):
        found = [recorded.get("usage_details") or {}]
    else:
        contents = [content for update in recorded for content in update.get("contents") or ()]
        found = [content.get("usage_details") or {} for content in contents if content["type"] == "usage"]
    return RunMetrics(
        input_tokens=sum(item.get("input_token_count") or 0 for item in found),
        output_tokens=sum(item.get("output_token_count") or 0 for item in found),
    )


def _joined(updates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The updates with neighbours that are only text as one: models stream a few letters at a time."""
    joined: list[dict[str, Any]] = []
    for update in updates:
        last = joined[-1] if joined else None
        if last is not None and _is_text(last) and _is_text(update) and _without(last) == _without(update):
            last["contents"][0]["text"] += update["contents"][0]["text"]
        else:
            joined.append(update)
    return joined


def _is_text(update: dict[str, Any]) -> bool:
    contents = update.get("contents") or []
    if len(contents) != 1 or contents[0]["type"] != "text":
        return False
    return {name for name, value in contents[0].items() if value} == {"type", "text"}


def _without(update: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in update.items() if name != "contents"}
