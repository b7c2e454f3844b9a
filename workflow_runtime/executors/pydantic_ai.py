"""Agents of pydantic-ai as steps, and their model requests and tool calls recorded by ``once``.

Imported when a step has such an agent. Deferred tools (approvals and external calls) are requirements of the run.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# The library is only in the environments of those that use it.

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any

from anyio import to_thread
from pydantic import TypeAdapter
from pydantic_ai import messages as m
from pydantic_ai.durable_exec import (
    JSON_CODEC,
    BaseDurabilityCapability,
    DurabilityEngineSpec,
    EventStreamHandlerId,
    JournalCallableOperationBackend,
    ModelRequestId,
    RoleBasedOperationConfig,
    ToolsetCallToolId,
)
from pydantic_ai.run import AgentRunResult, AgentRunResultEvent
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults, ToolApproved, ToolDenied

from ..model.enums import RunStatus
from ..model.media import Media
from ..model.metrics import RunMetrics
from ..model.text import as_text
from .adapter import Adapter, Call, ExecutorOutput, Once
from .events import Events, approval, external_result, plain
from .tasks import piped

__all__ = ["Durability", "PydanticAIAdapter"]

logger = logging.getLogger("workflow_runtime")

_REQUESTS = TypeAdapter(DeferredToolRequests)
_MESSAGES = m.ModelMessagesTypeAdapter
_URLS = {"images": m.ImageUrl, "audio": m.AudioUrl, "videos": m.VideoUrl, "files": m.DocumentUrl}
_TYPES = {"images": "image/png", "audio": "audio/wav", "videos": "video/mp4", "files": "application/octet-stream"}


class PydanticAIAdapter(Adapter):
    """Runs every ``pydantic_ai.agent.AbstractAgent``."""

    library = "pydantic-ai"
    durable = True

    def run(self, call: Call) -> AsyncIterator[Any]:
        if call.once is not None and _records_itself(call):
            call.once = None
        return _run(call) if call.once is None else piped(partial(_run_recorded, call))


def _records_itself(call: Call) -> bool:
    """Whether the agent has a durability of its own; the library allows one."""
    own = BaseDurabilityCapability.from_agent(call.agent)
    if own is None:
        return False
    logger.warning(
        "%s records its requests by %s; this run does not record them as well", call.executor_name, type(own).__name__
    )
    return True


def _events(call: Call) -> Events:
    events = Events(call, agent_id=call.executor_name)
    if call.paused is not None:
        requests = _REQUESTS.validate_python(call.paused["requests"])
        for part in (*requests.approvals, *requests.calls):
            events.tool_was_asked_for(part.tool_call_id, part.args)
    return events


async def _run(call: Call) -> AsyncGenerator[Any, None]:
    events = _events(call)
    text = _Text(events)
    yield events.started() if call.paused is None else events.continued()
    async with call.agent.run_stream_events(**await _options(call)) as stream:
        async for event in stream:
            if isinstance(event, AgentRunResultEvent):
                for made in _end(call, event.result, events):
                    yield made
                return
            for made in (*text.of(event), *_tool_events(events, event)):
                yield made


async def _run_recorded(call: Call, put: Callable[[Any], None]) -> None:
    """The text comes from inside the recorded request: a repeated one is silent. The other events come from the run."""
    events = _events(call)
    put(events.started() if call.paused is None else events.continued())
    options = await _options(call)
    capability = Durability(
        call.once, name=call.step_name, models=options.pop("models", None), event_stream_handler=_live(events, put)
    )
    options["capabilities"] = [*(options.get("capabilities") or ()), capability]
    async with call.agent.run_stream_events(**options) as stream:
        async for event in stream:
            if isinstance(event, AgentRunResultEvent):
                for made in _end(call, event.result, events):
                    put(made)
                return
            for made in _tool_events(events, event):
                put(made)


async def _options(call: Call) -> dict[str, Any]:
    """The keywords of the library's own call."""
    options = dict(call.options)
    wanted = options.pop("output_type", None) or call.agent.output_type
    if not _validates_output(call.agent):  # a paused run has another type of output than a finished one
        options["output_type"] = _with_deferred(wanted)
    if call.paused is None:
        options["user_prompt"] = await _prompt(call)
    else:
        options["message_history"] = _MESSAGES.validate_python(call.paused["messages"])
        options["deferred_tool_results"] = _results(call)
    options.setdefault("conversation_id", call.session_id or None)
    return options


def _validates_output(agent: Any) -> bool:
    inner = getattr(agent, "wrapped", None)
    return bool(getattr(agent, "_output_validators", None)) or (inner is not None and _validates_output(inner))


def _with_deferred(wanted: Any) -> Any:
    types = list(wanted) if isinstance(wanted, (list, tuple)) else [wanted]
    return types if DeferredToolRequests in types else [*types, DeferredToolRequests]


async def _prompt(call: Call) -> Any:
    text = call.message if isinstance(call.message, str) else as_text(call.message)
    parts: list[Any] = []
    for kind in _URLS:
        for item in getattr(call, kind) or ():
            parts.append(await _media(kind, item))
    return [*([text] if text else []), *parts] if parts else text


async def _media(kind: str, item: Media) -> Any:
    if item.url is not None:
        return _URLS[kind](url=item.url)
    data = await to_thread.run_sync(item.get_content_bytes) if item.filepath is not None else item.content
    return m.BinaryContent(data=data or b"", media_type=item.mime_type or _TYPES[kind])


# -- events ----------------------------------------------------------------------------------------------------------


class _Text:
    """The text and thinking of model responses, as deltas."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def of(self, event: Any) -> list[Any]:
        if isinstance(event, m.PartStartEvent):
            part = event.part
            if isinstance(part, m.TextPart) and part.content:
                return [self._events.text(part.content)]
            if isinstance(part, m.ThinkingPart) and part.content:
                return [self._events.reasoning(part.content)]
        elif isinstance(event, m.PartDeltaEvent):
            delta = event.delta
            if isinstance(delta, m.TextPartDelta) and delta.content_delta:
                return [self._events.text(delta.content_delta)]
            if isinstance(delta, m.ThinkingPartDelta) and delta.content_delta:
                return [self._events.reasoning(delta.content_delta)]
        return []


def _tool_events(events: Events, event: Any) -> list[Any]:
    if isinstance(event, m.FunctionToolCallEvent):
        part = event.part
        if events.is_started(part.tool_call_id):
            return []  # it waited for an answer
        return [events.tool_started(part.tool_call_id, part.tool_name, part.args)]
    if isinstance(event, m.FunctionToolResultEvent):
        result = event.part
        failed = isinstance(result, m.RetryPromptPart) or getattr(result, "outcome", "success") not in (
            "success",
            "denied",
        )
        return [events.tool_completed(result.tool_call_id, result.tool_name or "", result.content, error=failed)]
    return []


# -- the result --------------------------------------------------------------------------------------------------------


def _end(call: Call, result: AgentRunResult[Any], events: Events) -> list[Any]:
    output = _output(call, result, events)
    last = events.paused() if output.is_paused else events.completed(output.content, output.metrics)
    return [last, output]


def _output(call: Call, result: AgentRunResult[Any], events: Events) -> ExecutorOutput:
    metrics = _metrics(result, events.seconds, events.first)
    messages = _MESSAGES.dump_python(result.all_messages(), mode="json")
    output = result.output
    if not isinstance(output, DeferredToolRequests):
        return ExecutorOutput(content=output, run_id=call.run_id, metrics=metrics, messages=messages)
    questions = [
        make(part.tool_call_id, part.tool_name, part.args, **_about(output, part.tool_call_id))
        for make, parts in ((approval, output.approvals), (external_result, output.calls))
        for part in parts
    ]
    return ExecutorOutput(
        run_id=call.run_id,
        session_id=call.session_id,
        status=RunStatus.paused,
        metrics=metrics,
        messages=messages,
        requirements=questions,
        paused={"messages": messages, "requests": _REQUESTS.dump_python(output, mode="json")},
    )


def _about(requests: DeferredToolRequests, call_id: str) -> dict[str, Any]:
    metadata = requests.metadata.get(call_id)
    return {"metadata": plain(metadata)} if metadata else {}


def _metrics(result: AgentRunResult[Any], seconds: float, first: float | None) -> RunMetrics:
    usage = result.usage
    return RunMetrics(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        audio_input_tokens=usage.input_audio_tokens,
        audio_output_tokens=usage.output_audio_tokens,
        audio_total_tokens=usage.input_audio_tokens + usage.output_audio_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.details.get("reasoning_tokens", 0),
        cost=float(usage.cost) if usage.cost is not None else None,
        duration=seconds,
        time_to_first_token=first,
        additional_metrics={"requests": usage.requests, "tool_calls": usage.tool_calls},
    )


def _results(call: Call) -> DeferredToolResults:
    requests = _REQUESTS.validate_python(call.paused["requests"])
    answers = {item["id"]: item for item in call.answers}
    results = DeferredToolResults()
    for part in requests.approvals:
        results.approvals[part.tool_call_id] = _verdict(part, answers.get(part.tool_call_id, {}))
    for part in requests.calls:
        answer = answers.get(part.tool_call_id, {})
        if answer.get("confirmation") is False:
            results.calls[part.tool_call_id] = f"Declined: {answer.get('confirmation_note') or 'no reason given'}"
        else:
            results.calls[part.tool_call_id] = answer.get("external_execution_result")
    return results


def _verdict(part: m.ToolCallPart, answer: Mapping[str, Any]) -> ToolApproved | ToolDenied:
    if not answer.get("confirmation"):
        note = answer.get("confirmation_note")
        return ToolDenied(note) if note else ToolDenied()
    changed = answer.get("user_input")
    return ToolApproved(override_args={**part.args_as_dict(), **changed}) if changed else ToolApproved()


# -- durable inside ----------------------------------------------------------------------------------------------------


class Durability(BaseDurabilityCapability):  # type: ignore[misc]  # the library is not there when types are checked
    """Records each model request and tool call of a run: ``agent.run(prompt, capabilities=[Durability(run_context)])``.

    Entered again after a crash, the run gets the recorded responses and results, and continues where it was cut.

    Args:
        once: The ``run_context`` of the function step that runs the agent, or its ``once``.
        name: Names the records; the agent's own name where it has one. It must not change while runs are under way.
        models: Further models that the agent is run with, by a name: ``{"second": model}``.
        event_stream_handler: Gets the events of a request while it runs; those of a recorded request it does not get.
    """

    engine_spec = DurabilityEngineSpec(
        engine_name="workflow_runtime",
        durable_unit_noun="once",
        durable_container_noun="step",
        codec=JSON_CODEC,
        unsupported_runtime_toolset_kinds=frozenset({"function", "mcp", "dynamic"}),  # they would not be recorded
    )

    def __init__(
        self,
        once: Any,
        *,
        name: str | None = None,
        models: Mapping[str, Any] | None = None,
        event_stream_handler: Any = None,
    ) -> None:
        self._once: Once = _with_usage(once) if callable(once) else _numbered(once)
        self._backend: Any = None
        super().__init__(name=name, models=models, event_stream_handler=event_stream_handler)

    @property
    def in_durable_context(self) -> bool:
        return True

    def get_durable_operation_backend(self) -> Any:
        if self._backend is None or self._backend.agent_name != self.name:
            self._backend = _Backend(self.name, self._once)
        return self._backend


class _Backend(JournalCallableOperationBackend):  # type: ignore[misc]  # as above
    def __init__(self, name: str, once: Once) -> None:
        super().__init__(agent_name=name, config=RoleBasedOperationConfig(model={}, event={}, capability={}, tool={}))
        self.agent_name = name
        self._record = once
        self._counts: dict[str, int] = {}

    async def execute(
        self, *, operation_id: Any, name: str, body: Callable[[], Awaitable[Any]], cache_key: Any, config: Any
    ) -> Any:
        if isinstance(operation_id, EventStreamHandlerId):
            return await body()  # else each event would be a record
        if isinstance(operation_id, ToolsetCallToolId):
            name = f"{name}:{cache_key[2].tool_call_id}"  # (tool, arguments, the library's run context, ...)
        number = self._counts[name] = self._counts.get(name, -1) + 1
        if isinstance(operation_id, ModelRequestId):
            return await self._record(f"{name}#{number}", body, usage=_usage)
        return await self._record(f"{name}#{number}", body)


def _with_usage(once: Any) -> Once:
    """``once`` of a run context counts nothing."""
    if "usage" in inspect.signature(once).parameters:
        return once  # type: ignore[no-any-return]

    async def record(key: str, function: Callable[[], Any], **_usage: Any) -> Any:
        return await once(key, function)

    return record


def _usage(recorded: Any) -> RunMetrics:
    used = recorded.get("usage") if isinstance(recorded, dict) else None
    used = used if isinstance(used, dict) else {}
    return RunMetrics(input_tokens=used.get("input_tokens") or 0, output_tokens=used.get("output_tokens") or 0)


def _numbered(run_context: Any) -> Once:
    """``once`` of a step that may run several agents: the number of the run is part of each key."""
    number = run_context._next("agent")

    async def once(key: str, function: Callable[[], Any], **_usage: Any) -> Any:
        return await run_context.once(f"agent{number}:{key}", function)

    return once


def _live(events: Events, publish: Callable[[Any], None]) -> Any:
    text = _Text(events)

    async def handler(_: Any, stream: Any) -> None:
        async with aclosing(stream) as items:
            async for event in items:
                for made in text.of(event):
                    publish(made)

    return handler
