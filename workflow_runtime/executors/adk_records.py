"""What is recorded of the agents of Google ADK: each model request by a model around theirs, each tool call by a copy of
the tool.

The agents are copied for one entry; the user's stay as they are. An agent that is a tool is one call, recorded when it
ends. Tools that the provider runs are parts of their request.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# The library is only in the environments of those that use it.

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Callable
from functools import lru_cache
from typing import Any
from uuid import uuid4

from google.adk.agents import BaseAgent, LlmAgent
from google.adk.events.event_actions import EventActions
from google.adk.models.llm_response import LlmResponse
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.base_toolset import BaseToolset
from google.adk.tools.function_tool import FunctionTool
from google.adk.workflow import BaseNode
from pydantic_core import to_jsonable_python

from ..model.errors import UnserializableError
from ..model.metrics import RunMetrics
from ..model.values import seal
from .adapter import Call, Once, Usage
from .recording import Broken, Counts, digest, teed

__all__ = ["Recording"]

_ID = "adk-"
"""Before the ids that the library makes; it takes them out of what a model is sent."""
_OWN = "_workflow_runtime_recording"


class Recording:
    """The records of one entry."""

    def __init__(self, call: Call) -> None:
        assert call.once is not None
        self.once: Once = call.once
        self.recorded = call.recorded
        self.counts = Counts()
        self.replaying: dict[str, bool] = {}
        self._made: dict[int, Any] = {}

    def is_replayed(self, author: str) -> bool:
        """Whether the agent's last response is a recorded one, whose text was published when it came."""
        return self.replaying.get(author, False)

    def durable(self, agent: Any) -> Any:
        """A copy of the agent, and of all that it has, that is recorded."""
        if id(agent) in self._made:
            return self._made[id(agent)]
        changed: dict[str, Any] = {"sub_agents": [self.durable(item) for item in agent.sub_agents]}
        for name in type(agent).model_fields:  # agents of the user's own hold others in fields as well
            if name != "parent_agent" and isinstance(getattr(agent, name), BaseAgent):
                changed[name] = self.durable(getattr(agent, name))
        if isinstance(agent, LlmAgent):
            changed["model"] = self._own(agent.canonical_model, _recorded_model, agent.name)
            changed["tools"] = [self._given(tool, agent.name) for tool in agent.tools]
        self._made[id(agent)] = clone = agent.clone(update=changed)
        return clone

    def _given(self, tool: Any, who: str) -> Any:
        if isinstance(tool, BaseToolset):
            return self._own(tool, _recorded_toolset, who)
        if isinstance(tool, (BaseTool, BaseNode)):
            return self.recorded_tool(tool, who)
        return self.recorded_tool(FunctionTool(tool), who)

    def recorded_tool(self, tool: Any, who: str) -> Any:
        """A copy that is recorded; a node that is a tool, or a tool that answers later by itself, as it is."""
        if isinstance(tool, BaseNode) or getattr(tool, "_defers_response", False):
            return tool
        return self._own(tool, _recorded_tool, who)

    def _own(self, thing: Any, kind: Callable[[type], type], who: str) -> Any:
        clone = copy.copy(thing)
        object.__setattr__(clone, "__class__", kind(type(thing)))
        clone.__dict__[_OWN] = (self, who)
        return clone


def _storable(result: Any) -> Any:
    try:
        seal(result)
    except UnserializableError:
        return to_jsonable_python(result, serialize_unknown=True)
    return result


def _apply(recorded: str, tool_context: Any) -> None:
    """What the recorded call did besides its result: changes of the state, a transfer, a question."""
    actions = EventActions.model_validate_json(recorded)
    for name, value in actions.state_delta.items():
        tool_context.state[name] = value
    for name in actions.model_fields_set - {"state_delta"}:
        setattr(tool_context.actions, name, getattr(actions, name))


@lru_cache(maxsize=128)
def _recorded_model(base: type) -> type:
    """A model as ``base`` is, so that the library takes it for one, with the recording in ``_OWN``."""

    async def generate_content_async(self: Any, llm_request: Any, stream: bool = False) -> AsyncIterator[Any]:
        """The pieces as they come, and the whole responses once they are recorded. The pieces are not."""
        recording, who = self.__dict__[_OWN]
        key = recording.counts.key(f"{who}.model")
        recording.replaying[who] = recording.recorded(key)

        def source() -> AsyncIterator[Any]:
            return _named(base.generate_content_async(self, llm_request, stream=stream))  # type: ignore[attr-defined]

        async def once(key: str, function: Callable[[], Any], *, usage: Usage | None = None) -> Any:
            async def whole() -> list[Any]:
                return [item for item in await function() if item is not None]

            return await recording.once(key, whole, usage=usage)

        held: list[Any] = []  # the library calls the tools of a response before it asks for the next one
        async for response in teed(once, key, source, _dump, LlmResponse.model_validate_json, usage=_usage):
            if response.partial and not held:
                yield response
            else:
                held.append(response)
        for response in held:  # recorded now
            yield response

    return type(
        base.__name__, (base,), {"__module__": base.__module__, "generate_content_async": generate_content_async}
    )


@lru_cache(maxsize=128)
def _recorded_tool(base: type) -> type:
    async def run_async(self: Any, *, args: dict[str, Any], tool_context: Any) -> Any:
        recording, who = self.__dict__[_OWN]
        own: list[BaseException] = []
        name = tool_context.function_call_id or digest(args)
        key = recording.counts.key(f"{who}.tool:{self.name}:{name}")

        async def work() -> Any:
            try:
                result = await base.run_async(self, args=args, tool_context=tool_context)  # type: ignore[attr-defined]
            except Exception as error:
                own.append(error)
                raise
            return [_storable(result), tool_context.actions.model_dump_json(exclude_defaults=True)]

        is_new = not recording.recorded(key)
        try:
            result, actions = await recording.once(key, work)
        except Exception as error:
            if error in own:
                raise
            raise Broken(error) from error
        if not is_new:
            _apply(actions, tool_context)
        return result

    return type(base.__name__, (base,), {"__module__": base.__module__, "run_async": run_async})


@lru_cache(maxsize=128)
def _recorded_toolset(base: type) -> type:
    async def get_tools_with_prefix(self: Any, *args: Any, **given: Any) -> list[Any]:
        recording, who = self.__dict__[_OWN]
        tools = await base.get_tools_with_prefix(self, *args, **given)  # type: ignore[attr-defined]
        return [recording.recorded_tool(tool, who) for tool in tools]

    return type(base.__name__, (base,), {"__module__": base.__module__, "get_tools_with_prefix": get_tools_with_prefix})


async def _named(responses: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """The responses with an id for each call: those that the library gives would differ when they are read again."""
    async for response in responses:
        for part in (response.content.parts or ()) if response.content is not None else ():
            if part.function_call is not None and not part.function_call.id and not response.partial:
                part.function_call.id = f"{_ID}{uuid4()}"
        yield response


def _usage(recorded: list[str]) -> RunMetrics:
    used = [json.loads(item).get("usage_metadata") or {} for item in recorded]
    return RunMetrics(
        input_tokens=sum(item.get("prompt_token_count") or 0 for item in used),
        output_tokens=sum(
            (item.get("candidates_token_count") or 0) + (item.get("thoughts_token_count") or 0) for item in used
        ),
    )


def _dump(response: Any) -> str | None:
    return None if response.partial else response.model_dump_json(exclude_none=True)
