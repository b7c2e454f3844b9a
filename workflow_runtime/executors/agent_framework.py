"""Agents of Microsoft Agent Framework as steps. Imported when a step has one.

A tool that needs an approval, or that is only declared, is a requirement of the run: the library's session and its requests
are stored, and any process continues them.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false
# The library is only in the environments of those that use it.

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from agent_framework import AgentSession, BaseAgent, Content, Message
from agent_framework._middleware import AgentMiddlewareLayer
from anyio import to_thread

from ..model.enums import RunStatus
from ..model.media import Media
from ..model.metrics import RunMetrics
from ..model.text import as_text
from .adapter import Adapter, Call, ExecutorOutput
from .agent_framework_records import Recording, ToolEvents
from .events import Events, approval, external_result, plain
from .recording import Broken
from .tasks import piped

__all__ = ["AgentFrameworkAdapter"]

_APPROVAL = "function_approval_request"
_KINDS = {"images": "image/png", "videos": "video/mp4", "audio": "audio/wav", "files": "application/pdf"}


class AgentFrameworkAdapter(Adapter):
    """Runs every ``BaseAgent``. One with a ``run`` of its own is not recorded."""

    library = "agent-framework"
    durable = True

    def refusal(self, agent: Any) -> str | None:
        if isinstance(agent, BaseAgent):
            return None
        return f"a {type(agent).__name__} of Agent Framework is no agent; make its agents steps, or give its as_agent()"

    def run(self, call: Call) -> AsyncIterator[Any]:
        async def work(put: Callable[[Any], None]) -> None:
            await _run(call, put)

        return piped(work)


async def _run(call: Call, put: Callable[[Any], None]) -> None:
    events = Events(call, agent_id=getattr(call.agent, "id", None))
    put(events.started() if call.paused is None else events.continued())
    recording = Recording(call) if call.once is not None else None
    tools = ToolEvents(events, put)
    talk = _Talk(events, recording, tools)
    options = dict(call.options)
    session = options.pop("session", None)
    if call.paused is not None:
        session = AgentSession.from_dict(call.paused["session"])
    elif session is None:
        session = AgentSession(session_id=call.session_id or call.run_id)
    if isinstance(call.agent, AgentMiddlewareLayer):
        own = [tools, *(recording.middleware() if recording is not None else ())]
        options["middleware"] = [*(options.get("middleware") or ()), *own]
        options["function_invocation_kwargs"] = {**_run_of(call), **(options.get("function_invocation_kwargs") or {})}
    try:
        stream = call.agent.run(await _message(call), stream=True, session=session, **options)
        async for update in stream:
            for event in talk.of(update):
                put(event)
        response = await stream.get_final_response()
        output = _output(call, response, events)
        requests = list(response.user_input_requests)
        if requests:
            output.status, output.requirements = RunStatus.paused, [_question(item) for item in requests]
            output.paused = {
                "session": plain(session.to_dict()),
                "requests": [plain(item.to_dict()) for item in requests],
            }
        else:
            output.content = _content(response)
    except Broken as broken:
        raise broken.error from None
    put(events.paused() if output.is_paused else events.completed(output.content, output.metrics))
    put(output)


def _run_of(call: Call) -> dict[str, Any]:
    """What tools find in the ``kwargs`` of their context."""
    return {"session_state": call.session_state, "session_id": call.session_id, "user_id": call.user_id}


# -- input -------------------------------------------------------------------------------------------------------------


async def _message(call: Call) -> Any:
    if call.paused is not None:
        return _answers(call)
    text = call.message if isinstance(call.message, str) else as_text(call.message) or ""
    contents = [Content.from_text(text)]
    for name, kind in _KINDS.items():
        for item in getattr(call, name) or ():
            contents.append(await _media(item, item.mime_type or kind))
    return [Message(role="user", contents=contents)]


async def _media(item: Media, kind: str) -> Any:
    name = getattr(item, "filename", None)
    if item.url is not None:
        return Content.from_uri(item.url, media_type=kind, name=name)
    data = await to_thread.run_sync(item.get_content_bytes) if item.filepath is not None else item.content
    return Content.from_data(data or b"", media_type=kind, name=name)


# -- people ------------------------------------------------------------------------------------------------------------


def _question(request: Any) -> dict[str, Any]:
    asked = request.function_call if request.type == _APPROVAL else request
    make = approval if request.type == _APPROVAL else external_result
    return make(asked.call_id, asked.name, _arguments(asked), **{"id": request.id or asked.call_id})


def _arguments(asked: Any) -> Any:
    return asked.arguments if isinstance(asked.arguments, str) else plain(asked.arguments or {})


def _answers(call: Call) -> list[Any]:
    """A response to each request; and why a person said no, for which the library's own has no place."""
    answers = {item["id"]: item for item in call.answers}
    said, results = [], []
    for data in call.paused["requests"]:
        request = Content.from_dict(data)
        if request.type == _APPROVAL:
            answer = answers.get(request.id, {})
            said.append(request.to_function_approval_response(bool(answer.get("confirmation"))))
            if not answer.get("confirmation") and answer.get("confirmation_note"):
                reason = f"{request.function_call.name} was rejected: {answer['confirmation_note']}"
                said.append(Content.from_text(reason))
        else:
            answer = answers.get(request.id or request.call_id, {})
            results.append(Content.from_function_result(request.call_id, result=_external(answer)))
    messages = [Message(role="tool", contents=results)] if results else []
    return [*messages, Message(role="user", contents=said)] if said else messages


def _external(answer: dict[str, Any]) -> Any:
    if answer.get("confirmation") is False:
        return f"Declined: {answer.get('confirmation_note') or 'no reason given'}"
    return answer.get("external_execution_result")


# -- events ------------------------------------------------------------------------------------------------------------


class _Talk:
    """The text of the library's stream, and the tools that did not go through the middleware."""

    def __init__(self, events: Events, recording: Recording | None, tools: ToolEvents) -> None:
        self._events, self._recording, self._tools = events, recording, tools
        self._called: dict[str, list[Any]] = {}

    def of(self, update: Any) -> Iterator[Any]:
        is_replayed = self._recording is not None and self._recording.is_replaying
        for content in update.contents:
            if content.type == "text" and content.text and update.role != "user" and not is_replayed:
                yield self._events.text(content.text)
            elif content.type == "text_reasoning" and content.text and not is_replayed:
                yield self._events.reasoning(content.text)
            elif content.type == "function_call" and content.call_id:
                called = self._called.setdefault(content.call_id, [content.name or "", ""])
                called[1] = called[1] + content.arguments if isinstance(content.arguments, str) else content.arguments
            elif content.type == "function_result" and content.call_id not in self._tools.told:
                name, arguments = self._called.get(content.call_id, ["", None])
                if name:
                    yield self._events.tool_started(content.call_id, name, arguments)
                    yield self._events.tool_completed(
                        content.call_id, name, plain(content.result), error=content.exception is not None
                    )


# -- the output --------------------------------------------------------------------------------------------------------


def _content(response: Any) -> Any:
    value = response.value
    return value if value is not None else response.text


def _output(call: Call, response: Any, events: Events) -> ExecutorOutput:
    used = response.usage_details or {}
    into, out = used.get("input_token_count") or 0, used.get("output_token_count") or 0
    metrics = RunMetrics(
        input_tokens=into,
        output_tokens=out,
        total_tokens=into + out,
        cache_read_tokens=used.get("cache_read_input_token_count") or 0,
        cache_write_tokens=used.get("cache_creation_input_token_count") or 0,
        reasoning_tokens=used.get("reasoning_output_token_count") or 0,
        duration=events.seconds,
        time_to_first_token=events.first,
    )
    messages = [plain(message.to_dict()) for message in response.messages]
    return ExecutorOutput(run_id=call.run_id, session_id=call.session_id, metrics=metrics, messages=messages)
