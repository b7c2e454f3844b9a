"""What is recorded of agno's agents: each model request by a model of its own, each tool call by a hook.

The agent is copied for one entry; the user's stays as it is. Not recorded are ``output_model``, ``parser_model``,
``reasoning_model`` and what managers of memories and summaries ask their own models.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# The library is only in the environments of those that use it.

from __future__ import annotations

import asyncio
import copy
import inspect
import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from agno.exceptions import AgentRunException
from agno.models.response import ModelResponse
from anyio import to_thread

from ..model.metrics import RunMetrics
from .adapter import Call, Once, Usage
from .recording import Broken, Counts, digest, teed

__all__ = ["Recording"]


class Recording:
    """The records of one entry. ``meet`` is called when a tool has changed the session state, or may have."""

    def __init__(self, call: Call, meet: Callable[[], None]) -> None:
        assert call.once is not None
        self._record: Once = call.once
        self._recorded = call.recorded
        self._meet = meet
        self._counts = Counts()
        self._replaying: dict[str, bool] = {}

    def is_replayed(self, event: Any) -> bool:
        """Whether the text of ``event`` is that of a recorded request, which was published when it was made."""
        return self._replaying.get(_name(event, "team_name", "agent_name", "team_id", "agent_id"), False)

    def durable(self, agent: Any) -> Any:
        """A copy of the agent or team, and of a team's members, that is recorded."""
        clone, who = copy.copy(agent), _name(agent, "name", "id")
        clone.model = self._model(agent.model, who) if agent.model is not None else None
        clone.tool_hooks = [*(agent.tool_hooks or ()), self._hook(who, _synchronous(agent.tools))]
        members = getattr(agent, "members", None)
        if isinstance(members, list):
            clone.members = [self.durable(member) for member in members]
        return clone

    async def _once(
        self, key: str, function: Callable[[], Any], own: list[Exception], usage: Usage | None = None
    ) -> Any:
        """``once``, whose own errors agno does not see. ``own`` has what ``function`` raises itself."""
        try:
            return await self._record(key, function, usage=usage)
        except Exception as error:
            if error in own:
                raise
            raise Broken(error) from error

    def _model(self, model: Any, who: str) -> Any:
        clone, base, recording = copy.copy(model), type(model), self

        async def ainvoke(self: Any, *args: Any, **given: Any) -> Any:
            key, own = recording._request(who), []

            async def ask() -> Any:
                try:
                    return _plain(await base.ainvoke(self, *args, **given))
                except Exception as error:
                    own.append(error)
                    raise

            return _response(await recording._once(key, ask, own, _usage))

        async def ainvoke_stream(self: Any, *args: Any, **given: Any) -> AsyncIterator[Any]:
            async for chunk in recording._streamed(model, who, lambda: base.ainvoke_stream(self, *args, **given)):
                yield chunk

        def parse_tool_calls(_: Any, pieces: Any) -> Any:
            return pieces if all(map(_is_whole, pieces)) else model.parse_tool_calls(pieces)

        methods = {"ainvoke": ainvoke, "ainvoke_stream": ainvoke_stream, "parse_tool_calls": parse_tool_calls}
        clone.__class__ = type(base.__name__, (base,), {**methods, "__module__": base.__module__})
        return clone

    async def _streamed(self, model: Any, who: str, chunks: Callable[[], AsyncIterator[Any]]) -> AsyncIterator[Any]:
        """The chunks of a model's answer: those that were recorded, else those of ``chunks``, which are recorded."""
        calls: list[Any] = []  # pieces of the provider's own classes, which are stored as the parsed whole
        own: list[Exception] = []

        async def source() -> AsyncIterator[Any]:
            try:
                async for chunk in chunks():
                    yield chunk
            except Exception as error:
                own.append(error)
                raise

        def dump(chunk: Any) -> Any:
            calls.extend(chunk.tool_calls or ())
            return {**_plain(chunk), "tool_calls": []}

        def tail() -> Any:
            return _plain(ModelResponse(tool_calls=model.parse_tool_calls(calls)))

        async def once(key: str, function: Callable[[], Any], *, usage: Usage | None = None) -> Any:
            return await self._once(key, function, own, usage)

        async for chunk in teed(once, self._request(who), source, dump, _response, tail, _usage):
            yield chunk

    def _request(self, who: str) -> str:
        key = self._counts.key(f"{who}.model")
        self._replaying[who] = self._recorded(key)
        return key

    def _hook(self, who: str, synchronous: set[str]) -> Any:
        async def record(function_name: str, function_call: Any, arguments: dict[str, Any]) -> Any:
            own: list[Exception] = []

            async def work() -> Any:
                try:
                    found = await _call(function_call, arguments, in_thread=function_name in synchronous)
                except AgentRunException as error:  # it tells agno what to do next: the call is made again
                    own.append(error)
                    raise
                except Exception as error:
                    own.append(error)
                    return {"error": f"{error}"}
                if inspect.isasyncgen(found) or inspect.isgenerator(found):
                    own.append(_Streams(found))
                    raise own[-1]
                self._meet()
                return {"result": json.loads(json.dumps(_of_result(found), default=str))}

            key = self._counts.key(f"{who}.tool:{function_name}:{digest(arguments)}")
            try:
                record = await self._once(key, work, own)
            except _Streams as streams:
                return streams.args[0]  # the run of a member, which is recorded by itself
            self._meet()
            if "error" in record:
                raise own[0] if own else ToolFailed(record["error"])
            return record["result"]

        return record


class ToolFailed(Exception):
    """A recorded failure of a tool."""


class _Streams(Exception):
    """The tool is a generator."""


async def _call(function_call: Any, arguments: dict[str, Any], *, in_thread: bool) -> Any:
    if in_thread:  # agno calls it on the loop where a hook is async
        return await to_thread.run_sync(partial(asyncio.run, function_call(**arguments)))
    found = function_call(**arguments)
    return await found if inspect.isawaitable(found) else found


def _synchronous(tools: Any) -> set[str]:
    """The names of the tools that are synchronous functions, as far as can be seen."""
    names: set[str] = set()
    for tool in tools if isinstance(tools, (list, tuple)) else ():
        functions = getattr(tool, "functions", None)
        entries = functions.values() if isinstance(functions, dict) else [tool]
        for entry in entries:
            function = getattr(entry, "entrypoint", entry)
            if inspect.isfunction(function) or inspect.ismethod(function):
                is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
                if not is_async and not inspect.isgeneratorfunction(function):
                    names.add(getattr(entry, "name", None) or function.__name__)
    return names


def _name(thing: Any, *names: str) -> str:
    return next((str(value) for name in names if (value := getattr(thing, name, None))), "agent")


def _is_whole(call: Any) -> bool:
    return isinstance(call, dict) and isinstance(call.get("function"), dict)


def _of_result(found: Any) -> Any:
    return found.model_dump(mode="json") if hasattr(found, "model_dump") else found


def _plain(response: Any) -> Any:
    usage = response.response_usage
    data = {**response.to_dict(), "response_usage": usage.to_dict() if usage is not None else None, "parsed": None}
    return json.loads(json.dumps(data, default=str))


def _usage(recorded: Any) -> RunMetrics:
    """Of a response, or of its pieces, each of which has what it adds."""
    pieces = recorded if isinstance(recorded, list) else [recorded]
    used = [item.get("response_usage") or {} for item in pieces]
    costs = [item["cost"] for item in used if item.get("cost") is not None]
    return RunMetrics(
        input_tokens=sum(item.get("input_tokens") or 0 for item in used),
        output_tokens=sum(item.get("output_tokens") or 0 for item in used),
        cost=sum(costs) if costs else None,
    )


def _response(data: Any) -> Any:
    return ModelResponse.from_dict(copy.deepcopy(data))  # it changes its argument
