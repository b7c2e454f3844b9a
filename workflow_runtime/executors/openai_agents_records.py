"""What is recorded of the agents of the OpenAI Agents SDK: each model request by a model around theirs, each tool call, and
what is read from and written to a session.

The agent is copied for one entry, with those that it hands over to; the user's stays as it is. Tools that the provider
runs are parts of their request. An agent that is a tool is recorded as one call, once it has ended.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# The library is only in the environments of those that use it.

from __future__ import annotations

import copy
import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import Any

from agents import Agent, FunctionTool, Model, ModelResponse
from openai.types.responses import ResponseCompletedEvent
from pydantic import BaseModel, TypeAdapter

from ..model.metrics import RunMetrics
from .adapter import Call, ExecutorError, Once, Usage
from .recording import Broken, Counts, teed

__all__ = ["Recording"]

_RESPONSE = TypeAdapter(ModelResponse)


class Recording:
    """The records of one entry."""

    def __init__(self, call: Call) -> None:
        assert call.once is not None
        self.once: Once = call.once
        self.counts = Counts()
        self._made: dict[int, Any] = {}

    def durable(self, agent: Any, options: dict[str, Any]) -> Any:
        """A copy of the agent that is recorded, and in ``options`` what else must be."""
        config = options["run_config"]
        if config.model is not None:  # it replaces that of every agent
            options["run_config"] = dataclasses.replace(
                config, model=_RecordedModel(self, "run", config.model, config.model_provider)
            )
        if options.get("session") is not None:
            options["session"] = _RecordedSession(self, options["session"])
        return self._agent(agent, config.model_provider)

    def _agent(self, agent: Any, provider: Any) -> Any:
        if id(agent) in self._made:
            return self._made[id(agent)]
        recording, base = self, type(agent)

        async def get_all_tools(self: Any, run_context: Any) -> list[Any]:
            tools = await base.get_all_tools(self, run_context)
            return [recording._tool(tool, agent.name) for tool in tools]

        clone = self._made[id(agent)] = copy.copy(agent)
        clone.__class__ = type(base.__name__, (base,), {"get_all_tools": get_all_tools, "__module__": base.__module__})
        clone.model = _RecordedModel(self, agent.name, agent.model, provider)
        clone.handoffs = [self._agent(item, provider) if isinstance(item, Agent) else item for item in agent.handoffs]
        return clone

    def _tool(self, tool: Any, who: str) -> Any:
        if not isinstance(tool, FunctionTool):
            return tool
        inner, name = tool.on_invoke_tool, tool.name

        async def invoke(context: Any, arguments: str) -> Any:
            own: list[BaseException] = []

            async def work() -> Any:
                try:
                    found = await inner(context, arguments)
                except Exception as error:
                    own.append(error)
                    raise
                if found is None and getattr(tool, "_is_agent_tool", False):
                    own.append(_Paused())
                    raise own[-1]
                return _storable(found)

            key = self.counts.key(f"{who}.tool:{name}:{context.tool_call_id}")
            try:
                return await self.once(key, work)
            except _Paused:
                return None  # a tool of that agent waits for an approval: it is asked again
            except Exception as error:
                if error in own:
                    raise
                raise Broken(error) from error

        return dataclasses.replace(tool, on_invoke_tool=invoke)


class _Paused(Exception):
    """The run of an agent that is a tool has not ended."""


def _storable(found: Any) -> Any:
    """What a tool may give: text and the library's classes of it; all else the library makes text of."""
    if isinstance(found, (list, tuple)):
        return [_storable(item) for item in found]
    return found if found is None or isinstance(found, (str, int, float, bool, dict, BaseModel)) else str(found)


class _RecordedModel(Model):  # type: ignore[misc]  # the library is not there when types are checked
    """Around the model of an agent, which is looked up when it is first asked."""

    def __init__(self, recording: Recording, who: str, model: Any, provider: Any) -> None:
        self._recording, self._who, self._model, self._provider = recording, who, model, provider

    @property
    def _inner(self) -> Any:
        if not isinstance(self._model, Model):
            self._model = self._provider.get_model(self._model)
        return self._model

    def get_retry_advice(self, request: Any) -> Any:
        return self._inner.get_retry_advice(request)

    async def get_response(self, *args: Any, **given: Any) -> Any:
        async def ask() -> Any:
            return _RESPONSE.dump_python(await self._inner.get_response(*args, **given), mode="json")

        key = self._recording.counts.key(f"{self._who}.model")
        return _RESPONSE.validate_python(await self._recording.once(key, ask, usage=_usage))

    async def stream_response(self, *args: Any, **given: Any) -> AsyncIterator[Any]:
        """The events as they come; what is recorded is the last one, which has the whole response. One that failed or was
        cut short is not: the library raises."""
        done: list[Any] = []

        def dump(event: Any) -> Any:
            if event.type == "response.output_item.done":
                done.append(event.item.model_dump(mode="json"))
            if event.type != "response.completed":
                return None
            data = event.model_dump(mode="json")
            data["response"]["output"] = data["response"]["output"] or done  # some services send no output at the end
            return data

        async def once(key: str, function: Callable[[], Any], *, usage: Usage | None = None) -> Any:
            async def last() -> Any:
                found = [item for item in await function() if item is not None]
                if not found:
                    raise ExecutorError(f"{self._who}: the model's stream ended without a response")
                return found

            return await self._recording.once(key, last, usage=usage)

        def source() -> AsyncIterator[Any]:
            events: AsyncIterator[Any] = self._inner.stream_response(*args, **given)
            return events

        key = self._recording.counts.key(f"{self._who}.model")
        async for event in teed(once, key, source, dump, ResponseCompletedEvent.model_validate, usage=_usage):
            yield event


def _usage(recorded: Any) -> RunMetrics:
    """Of a whole response, or of the last event of a streamed one."""
    used = recorded["usage"] if isinstance(recorded, dict) else recorded[-1]["response"].get("usage")
    used = used or {}
    return RunMetrics(input_tokens=used.get("input_tokens") or 0, output_tokens=used.get("output_tokens") or 0)


class _RecordedSession:
    """Around a session of the user's: entered again, a run does not write its items twice."""

    def __init__(self, recording: Recording, session: Any) -> None:
        self._recording, self._session = recording, session
        self.session_id = session.session_id
        self.session_settings = getattr(session, "session_settings", None)

    async def _once(self, verb: str, *args: Any, **given: Any) -> Any:
        async def call() -> Any:
            return await getattr(self._session, verb)(*args, **given)

        return await self._recording.once(self._recording.counts.key(f"session:{verb}"), call)

    async def get_items(self, *args: Any, **given: Any) -> Any:
        return await self._once("get_items", *args, **given)

    async def add_items(self, *args: Any, **given: Any) -> Any:
        return await self._once("add_items", *args, **given)

    async def pop_item(self) -> Any:
        return await self._once("pop_item")

    async def clear_session(self) -> Any:
        return await self._once("clear_session")
