"""Workflows and agents of LlamaIndex as steps. Imported when a step has one.

A workflow gets the message as ``input=``, an agent as its user's message; the content is the result. A workflow that waits
for a person (``InputRequiredEvent``) pauses the run. The tools of an agent ask by ``current_context().ask``.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# The library is only in the environments of those that use it.

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any, ClassVar

from anyio import to_thread
from workflows import Context
from workflows.events import HumanResponseEvent, InputRequiredEvent, StopEvent

from ..model.enums import RunStatus
from ..model.events import CustomEvent
from ..model.media import Media
from ..model.metrics import RunMetrics
from ..model.text import as_text
from .adapter import Adapter, Call, ExecutorError, ExecutorOutput
from .events import Events, external_result, plain
from .llama_index_contexts import LoadedModels
from .recording import Broken
from .tasks import in_own_task

__all__ = ["LlamaIndexAgentAdapter", "LlamaIndexWorkflowAdapter"]


class LlamaIndexWorkflowAdapter(Adapter):
    """Runs every ``workflows.Workflow`` that is no agent."""

    library = "llama-index-workflows"

    def name(self, agent: Any) -> str | None:
        return type(agent).__name__

    def run(self, call: Call) -> AsyncIterator[Any]:
        return in_own_task(_run_workflow(call))


class LlamaIndexAgentAdapter(Adapter):
    """Runs ``FunctionAgent``, ``ReActAgent`` and ``AgentWorkflow``."""

    library = "llama-index"
    durable: ClassVar[bool] = True

    def run(self, call: Call) -> AsyncIterator[Any]:
        return in_own_task(_run_agent(call))


async def _stopped(handler: Any) -> None:
    """Cancel a run that has not ended. It is a task of its own, which nobody else ends."""
    if not handler.is_done():
        await handler.cancel_run()


# -- workflows ---------------------------------------------------------------------------------------------------------


async def _run_workflow(call: Call) -> AsyncGenerator[Any, None]:
    events = Events(call)
    began = time.perf_counter()
    if call.paused is None:
        yield events.started()
        handler = call.agent.run(input=call.message, **call.options)
    else:
        yield events.continued()
        handler = call.agent.run(ctx=Context.from_dict(call.agent, call.paused["context"], serializer=LoadedModels()))
        (answer,) = call.answers
        handler.ctx.send_event(HumanResponseEvent(**_response(answer)))
    known = call.paused["asked"] if call.paused is not None else None
    output = ExecutorOutput(run_id=call.run_id, session_id=call.session_id)
    try:
        async for item in handler.stream_events():
            asked = _fields(item) if isinstance(item, InputRequiredEvent) else None
            if asked is not None and asked != known:
                output.status, output.requirements = RunStatus.paused, [_question(call, item, asked)]
                output.paused = {"context": plain(handler.ctx.to_dict()), "asked": asked}
                break
            if not isinstance(item, (StopEvent, InputRequiredEvent)):
                yield CustomEvent(name=type(item).__name__, **_fields(item))
        else:
            output.content = await handler
    finally:
        await _stopped(handler)
    output.metrics = RunMetrics(duration=time.perf_counter() - began)
    yield events.paused() if output.is_paused else events.completed(output.content, output.metrics)
    yield output


def _fields(item: Any) -> dict[str, Any]:
    """The declared fields of an event and those that it was only given."""
    found = {**item.model_dump(), **dict(item.items())}
    return {key: plain(value) for key, value in found.items() if key not in ("name", "event", "_data")}


def _question(call: Call, item: Any, asked: Any) -> dict[str, Any]:
    text = asked.get("prefix") or asked.get("message") or type(item).__name__
    number = len(call.answers)
    return external_result(f"{type(item).__name__}-{number}", type(item).__name__, asked, description=as_text(text))


def _response(answer: dict[str, Any]) -> dict[str, Any]:
    """The fields of the event with a person's answer: those of a dict, else ``response``."""
    if answer.get("confirmation") is False:
        raise ExecutorError(f"the question was declined: {answer.get('confirmation_note') or 'no reason given'}")
    value = answer.get("external_execution_result")
    return value if isinstance(value, dict) else {"response": value}


# -- agents ------------------------------------------------------------------------------------------------------------


async def _run_agent(call: Call) -> AsyncGenerator[Any, None]:
    from .llama_index_records import Recording

    talk = _Talk(call)
    yield talk.events.started()
    began = time.perf_counter()
    agent = Recording(call.once).durable(call.agent) if call.once is not None else call.agent
    handler = agent.run(user_msg=await _message(call), **call.options)
    try:
        async for item in handler.stream_events():
            if isinstance(item, InputRequiredEvent):
                raise ExecutorError(
                    f"{call.executor_name} waits for an event, {type(item).__name__}; let its tool ask by"
                    " workflow_runtime.executors.current_context().ask()"
                )
            for event in talk.of(item):
                yield event
        result = await handler
    except Broken as broken:
        raise broken.error from None
    finally:
        await _stopped(handler)
    content = _content(call.agent, result)
    metrics = talk.metrics(time.perf_counter() - began)
    yield talk.events.completed(content, metrics)
    messages = [*talk.heard, plain(result.response.model_dump(mode="json"))]
    yield ExecutorOutput(
        content=content, run_id=call.run_id, session_id=call.session_id, metrics=metrics, messages=messages
    )


def _content(agent: Any, result: Any) -> Any:
    if result.structured_response is None:
        return result.response.content
    kind = getattr(agent, "output_cls", None)
    return result.get_pydantic_model(kind) if kind is not None else result.structured_response


async def _message(call: Call) -> Any:
    from llama_index.core.base.llms import types

    text = call.message if isinstance(call.message, str) else as_text(call.message) or ""
    blocks: list[Any] = []
    for image in call.images or ():
        blocks.append(types.ImageBlock(**await _source(image, "image"), image_mimetype=image.mime_type))
    for sound in call.audio or ():
        blocks.append(types.AudioBlock(**await _source(sound, "audio"), format=sound.format))
    for video in call.videos or ():
        blocks.append(types.VideoBlock(**await _source(video, "video"), video_mimetype=video.mime_type))
    for file in call.files or ():
        source = await _source(file, "data")
        blocks.append(types.DocumentBlock(**source, title=file.filename or "file", document_mimetype=file.mime_type))
    if not blocks:
        return text
    return types.ChatMessage(role="user", blocks=[types.TextBlock(text=text), *blocks])


async def _source(item: Media, name: str) -> dict[str, Any]:
    if item.url is not None:
        return {"url": item.url}
    return {name: await to_thread.run_sync(item.get_content_bytes) if item.filepath is not None else item.content}


class _Talk:
    """The events of the library's stream, and what its requests used."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.events = Events(call)
        self._members: dict[str, Events] = {}
        self._speaker = self.events
        self._usage = RunMetrics()
        self.heard: list[Any] = []

    def of(self, item: Any) -> Iterator[Any]:
        kind = type(item).__name__
        if kind == "AgentInput":
            self._speaker = self._whose(item.current_agent_name)
            self.heard = [plain(message.model_dump(mode="json")) for message in item.input]
        elif kind == "AgentStream":
            yield from self._delta(item)
        elif kind == "AgentOutput":
            self._count(item.raw)
        elif kind == "ToolCall":
            yield self._speaker.tool_started(item.tool_id, item.tool_name, item.tool_kwargs)
        elif kind == "ToolCallResult":
            found = item.tool_output
            yield self._speaker.tool_completed(item.tool_id, item.tool_name, found.content, error=found.is_error)

    def _delta(self, item: Any) -> Iterator[Any]:
        if getattr(item, "thinking_delta", None):
            yield self._speaker.reasoning(item.thinking_delta)
        if item.delta:
            made = self._speaker.text(item.delta)
            self.events.first = self.events.first or self._speaker.first
            yield made

    def _whose(self, name: str) -> Events:
        if not hasattr(self._call.agent, "agents"):
            return self.events
        return self._members.setdefault(name, Events(self._call, name=name, agent_id=name))

    def _count(self, raw: Any) -> None:
        """Only the provider's own response has its usage."""
        used = raw.get("usage") if isinstance(raw, dict) else getattr(raw, "usage", None)
        used = plain(used) if used is not None else {}
        if isinstance(used, dict):
            into = used.get("prompt_tokens") or used.get("input_tokens") or 0
            out = used.get("completion_tokens") or used.get("output_tokens") or 0
            self._usage += RunMetrics(input_tokens=into, output_tokens=out, total_tokens=into + out)

    def metrics(self, seconds: float) -> RunMetrics:
        self._usage.duration, self._usage.time_to_first_token = seconds, self.events.first
        return self._usage
