"""Agents of the OpenAI Agents SDK as steps, run by its Runner. Imported when a step has one.

Tools that need an approval, also those of an agent that is a tool, are requirements of the run: its state is stored, and any
process continues it.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# The library is only in the environments of those that use it.

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from typing import Any

from agents import RunConfig, Runner
from agents.run_state import RunState
from anyio import to_thread

from ..model.enums import RunStatus
from ..model.media import Media
from ..model.metrics import RunMetrics
from ..model.text import as_text
from .adapter import Adapter, Call, ExecutorOutput
from .events import Events, approval, plain
from .openai_agents_records import Recording
from .recording import Broken
from .tasks import in_own_task

__all__ = ["OpenAIAgentsAdapter"]

_TEXT = "response.output_text.delta"
_THINKING = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")


class OpenAIAgentsAdapter(Adapter):
    """Runs every ``agents.Agent``."""

    library = "openai-agents"
    durable = True
    counts_on = True

    def refusal(self, agent: Any) -> str | None:
        if hasattr(agent, "model_settings"):
            return None
        return f"a {type(agent).__name__} talks over a connection of its own; make it an agents.Agent"

    def run(self, call: Call) -> AsyncIterator[Any]:
        return in_own_task(_run(call))


async def _run(call: Call) -> AsyncGenerator[Any, None]:
    talk = _Talk(call)
    yield talk.events.started() if call.paused is None else talk.events.continued()
    began = time.perf_counter()
    options = dict(call.options)
    options.setdefault("run_config", RunConfig(group_id=call.session_id or None, trace_metadata=_whose(call)))
    agent = call.agent
    if call.once is not None:
        agent = Recording(call).durable(agent, options)
    given = await _input(call) if call.paused is None else await _state(call, agent, options)
    for event in talk.approved():
        yield event
    result = Runner.run_streamed(agent, given, **options)
    try:
        async for item in result.stream_events():
            for event in talk.of(item):
                yield event
    except Broken as broken:
        raise broken.error from None
    finally:
        await _stopped(result)
    output = ExecutorOutput(run_id=call.run_id, session_id=call.session_id, messages=plain(result.to_input_list()))
    output.metrics = _metrics(result, time.perf_counter() - began, talk.events.first)
    if result.interruptions:
        output.status, output.requirements = RunStatus.paused, [_question(item) for item in result.interruptions]
        output.paused = {"state": _stored(result, options), "waiting": talk.waiting}
        yield talk.events.paused()
    else:
        output.content = result.final_output
        yield talk.events.completed(output.content, output.metrics)
    yield output


async def _stopped(result: Any) -> None:
    """Cancel what is left of a run whose stream was not read to its end, and wait for it."""
    task = result.run_loop_task
    if task is None or task.done():
        return
    result.cancel()
    await asyncio.wait([task])


def _whose(call: Call) -> dict[str, Any] | None:
    return {"user_id": call.user_id} if call.user_id else None


# -- input -------------------------------------------------------------------------------------------------------------


async def _input(call: Call) -> Any:
    text = call.message if isinstance(call.message, str) else as_text(call.message) or ""
    parts: list[dict[str, Any]] = [{"type": "input_text", "text": text}]
    for image in call.images or ():
        parts.append({"type": "input_image", "image_url": await _url(image, "image/png"), "detail": "auto"})
    for file in call.files or ():
        where = {"file_url": file.url} if file.url is not None else {"file_data": await _url(file, "application/pdf")}
        name = {} if file.url is not None else {"filename": file.filename or "file"}
        parts.append({"type": "input_file", **name, **where})
    for sound in call.audio or ():
        audio = {"data": await _data(sound), "format": sound.format or "wav"}
        parts.append({"type": "input_audio", "input_audio": audio})
    return [{"role": "user", "content": parts}] if len(parts) > 1 else text


async def _url(item: Media, kind: str) -> str:
    return item.url if item.url is not None else f"data:{item.mime_type or kind};base64,{await _data(item)}"


async def _data(item: Media) -> str:
    whole = item.content is not None and isinstance(item.content, bytes)
    data = item.content if whole else await to_thread.run_sync(item.get_content_bytes)
    return base64.b64encode(data or b"").decode()


# -- approvals ---------------------------------------------------------------------------------------------------------


def _question(item: Any) -> dict[str, Any]:
    return approval(item.call_id, item.name, item.arguments, agent=item.agent.name)


def _stored(result: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The state as builtins. A context that is no mapping is given anew by ``executor_options``."""
    context = options.get("context")
    lost = context is not None and not isinstance(context, Mapping)
    data: dict[str, Any] = result.to_state().to_json(**({"context_serializer": lambda _: {}} if lost else {}))
    return data


async def _state(call: Call, agent: Any, options: dict[str, Any]) -> Any:
    """The stored state with the answers in it."""
    context = options.pop("context", None)
    anew = {"context_override": context} if context is not None and not isinstance(context, Mapping) else {}
    state = await RunState.from_json(agent, call.paused["state"], **anew)
    answers = {item["id"]: item for item in call.answers}
    for item in state.get_interruptions():
        answer = answers.get(item.call_id, {})
        if answer.get("confirmation"):
            state.approve(item)
        else:
            note = answer.get("confirmation_note")
            state.reject(item, **({"rejection_message": note} if note else {}))
    return state


# -- events ------------------------------------------------------------------------------------------------------------


class _Talk:
    """The events of the library's stream. A tool that may need an approval has begun when it is approved."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.events = Events(call)
        self._speaker = self.events
        self._members: dict[str, Events] = {}
        self._names: dict[str, str] = {}
        self._rejected: set[str] = set()
        self.waiting: dict[str, list[Any]] = dict(call.paused["waiting"]) if call.paused is not None else {}
        """The name and the arguments of each call that may need an approval, by its id."""

    def approved(self) -> Iterator[Any]:
        """The starts of the calls that are approved now."""
        for item in self._call.answers:
            tool = item["tool_execution"]
            if not item.get("confirmation"):
                self._rejected.add(item["id"])
            elif item["id"] in self.waiting:
                yield self._start(item["id"], tool["tool_name"], tool["tool_args"])

    def of(self, item: Any) -> Iterator[Any]:
        if item.type == "raw_response_event":
            yield from self._delta(item.data)
        elif item.type == "agent_updated_stream_event":
            self._speaker = self._events_of(item.new_agent)
        elif item.name in ("tool_called", "handoff_requested"):
            yield from self._called(item.item)
        elif item.name in ("tool_output", "handoff_occured"):
            yield from self._ended(item.item)

    def _delta(self, data: Any) -> Iterator[Any]:
        if data.type == _TEXT and data.delta:
            made = self._speaker.text(data.delta)
            self.events.first = self.events.first or self._speaker.first
            yield made
        elif data.type in _THINKING and data.delta:
            yield self._speaker.reasoning(data.delta)

    def _events_of(self, agent: Any) -> Events:
        if agent.name == self._call.executor_name:
            return self.events
        return self._members.setdefault(agent.name, Events(self._call, name=agent.name, agent_id=agent.name))

    def _called(self, item: Any) -> Iterator[Any]:
        raw = plain(item.raw_item)
        key, name = raw.get("call_id") or raw.get("id") or "", raw.get("name") or raw.get("type") or "tool"
        if _may_wait(item.agent, name):
            self.waiting[key] = [name, raw.get("arguments")]
        else:
            yield self._start(key, name, raw.get("arguments"))

    def _start(self, key: str, name: str, arguments: Any) -> Any:
        self.waiting.pop(key, None)
        self._names[key] = name
        return self._speaker.tool_started(key, name, arguments)

    def _ended(self, item: Any) -> Iterator[Any]:
        raw = plain(item.raw_item)
        key = raw.get("call_id") or raw.get("id") or ""
        if key in self._rejected:
            self.waiting.pop(key, None)
            return
        if key in self.waiting:
            yield self._start(key, *self.waiting[key])
        output = getattr(item, "output", None)
        result = plain(output if output is not None else raw.get("output"))
        yield self._speaker.tool_completed(key, self._names.get(key, ""), result)


def _may_wait(agent: Any, name: str) -> bool:
    return any(tool.name == name and getattr(tool, "needs_approval", False) is not False for tool in agent.tools)


# -- the output --------------------------------------------------------------------------------------------------------


def _metrics(result: Any, seconds: float, first: float | None) -> RunMetrics:
    usage = result.context_wrapper.usage
    return RunMetrics(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        cache_read_tokens=getattr(usage.input_tokens_details, "cached_tokens", 0) or 0,
        reasoning_tokens=getattr(usage.output_tokens_details, "reasoning_tokens", 0) or 0,
        duration=seconds,
        time_to_first_token=first,
        additional_metrics={"requests": usage.requests},
    )
