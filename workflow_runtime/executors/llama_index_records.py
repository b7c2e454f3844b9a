"""What is recorded of LlamaIndex's agents: each model request and each tool call, by copies of the model and the tools.

The agent is copied for one entry; the user's stays as it is. Not recorded are the tools of a ``tool_retriever``, and models
that have methods of their own for requests with tools.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# The library is only in the environments of those that use it.

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from llama_index.core.base.llms.types import ChatResponse
from llama_index.core.tools import AsyncBaseTool, ToolOutput, adapt_to_async_tool

from ..model.metrics import RunMetrics
from .adapter import Once
from .recording import Broken, Counts, digest, teed

__all__ = ["Recording"]


class Recording:
    """The records of one entry."""

    def __init__(self, once: Once) -> None:
        self._record = once
        self._counts = Counts()

    def durable(self, agent: Any) -> Any:
        """A copy of the agent, or of the workflow of agents, that is recorded."""
        clone = copy.copy(agent)
        if hasattr(agent, "agents"):
            _put(clone, "agents", {name: self.durable(member) for name, member in agent.agents.items()})
        else:
            _put(clone, "llm", self._model(agent.llm, agent.name))
            _put(clone, "tools", [self._tool(tool, agent.name) for tool in agent.tools or ()])
        return clone

    def _model(self, model: Any, who: str) -> Any:
        base, recording = type(model), self

        async def achat(self: Any, messages: Any, **given: Any) -> Any:
            async def ask() -> Any:
                return _plain(await base.achat(self, messages, **given))

            return ChatResponse.model_validate(
                await recording._record(recording._key(f"{who}.model"), ask, usage=_usage)
            )

        async def astream_chat(self: Any, messages: Any, **given: Any) -> Any:
            async def source() -> AsyncIterator[Any]:
                async for chunk in await base.astream_chat(self, messages, **given):
                    yield chunk

            key = recording._key(f"{who}.model")
            return teed(recording._record, key, source, _plain, _silent, usage=_usage)

        return _swapped(model, achat=achat, astream_chat=astream_chat)

    def _tool(self, tool: Any, who: str) -> Any:
        tool = tool if isinstance(tool, AsyncBaseTool) else adapt_to_async_tool(tool)
        base, recording = type(tool), self

        async def acall(self: Any, *args: Any, **given: Any) -> Any:
            own: list[Exception] = []

            async def work() -> Any:
                try:
                    return _plain(await base.acall(self, *args, **given))
                except Exception as error:
                    own.append(error)
                    return {"error": str(error)}

            context = getattr(tool, "ctx_param_name", None)
            arguments = {name: value for name, value in given.items() if name != context}
            key = recording._key(f"{who}.tool:{tool.metadata.name}:{digest([list(map(str, args)), arguments])}")
            try:
                record = await recording._record(key, work)
            except Exception as error:
                raise Broken(error) from error
            if "error" in record:
                raise own[0] if own else ToolFailed(record["error"])
            return ToolOutput.model_validate(record)

        return _swapped(tool, acall=acall)

    def _key(self, kind: str) -> str:
        return self._counts.key(kind)


class ToolFailed(Exception):
    """A recorded failure of a tool."""


def _swapped(thing: Any, **methods: Callable[..., Any]) -> Any:
    clone, base = copy.copy(thing), type(thing)
    kind = type(base.__name__, (base,), {"__module__": base.__module__, **methods})
    object.__setattr__(clone, "__class__", kind)
    return clone


def _put(clone: Any, name: str, value: Any) -> None:
    object.__setattr__(clone, name, value)  # pydantic would validate it


def _plain(response: Any) -> Any:
    return json.loads(response.model_dump_json(fallback=str))


def _usage(recorded: Any) -> RunMetrics:
    """Of a response, or of the last chunk that has it: only the provider's own response does."""
    pieces = recorded if isinstance(recorded, list) else [recorded]
    raw = [item["raw"] for item in pieces if isinstance(item.get("raw"), dict)]
    used: dict[str, Any] = next((item["usage"] for item in reversed(raw) if isinstance(item.get("usage"), dict)), {})
    return RunMetrics(
        input_tokens=used.get("prompt_tokens") or used.get("input_tokens") or 0,
        output_tokens=used.get("completion_tokens") or used.get("output_tokens") or 0,
    )


def _silent(data: Any) -> Any:
    """A recorded chunk: its text was published when it came."""
    chunk = ChatResponse.model_validate(data)
    chunk.delta = ""
    return chunk
