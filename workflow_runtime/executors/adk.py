"""Agents of Google ADK as steps, by its Runner. Imported when a step has one.

A tool that needs a confirmation, or whose result comes from elsewhere, is a requirement of the run. Each entry has a
session of its own in memory; a session service of the user's gets the events of a run that has ended.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# The library is only in the environments of those that use it.

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

from anyio import to_thread
from google.adk.agents import BaseAgent
from google.adk.agents.run_config import RunConfig, StreamingMode, ToolThreadPoolConfig
from google.adk.apps.app import App, ResumabilityConfig
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.runners import Runner
from google.genai import types
from pydantic import TypeAdapter

from ..model.enums import RunStatus
from ..model.media import Media
from ..model.metrics import RunMetrics
from ..model.text import as_text
from .adapter import Adapter, Call, ExecutorError, ExecutorOutput
from .adk_records import Recording
from .adk_sessions import Conversation
from .events import Events, approval, external_result, plain
from .recording import Broken
from .tasks import in_own_task

__all__ = ["AdkAdapter"]

_CONFIRMATION = "adk_request_confirmation"
_SERVICES = ("session_service", "artifact_service", "memory_service", "credential_service")
_KINDS = {"images": "image/png", "videos": "video/mp4", "audio": "audio/wav", "files": "application/pdf"}

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says of itself that it is experimental
    _RESUMABLE = ResumabilityConfig(is_resumable=True)  # else agents in a sequence do not wait for a confirmation


class AdkAdapter(Adapter):
    """Runs every ``BaseAgent``, and an ``App`` or a ``Runner`` around one."""

    library = "google-adk"
    durable = True

    def name(self, agent: Any) -> str | None:
        name = getattr(agent, "name", None) or getattr(agent, "app_name", None)
        return str(name) if name else None

    def refusal(self, agent: Any) -> str | None:
        root = _root(agent)
        if isinstance(root, BaseAgent):
            return None
        kind = type(root).__name__
        return f"a {kind} of Google ADK is no agent; make its agents steps, or run it in a function step"

    def run(self, call: Call) -> AsyncIterator[Any]:
        return in_own_task(_run(call))


def _root(agent: Any) -> Any:
    """The agent itself: an app's, a runner's."""
    if isinstance(agent, Runner):
        return agent.agent
    return agent.root_agent if isinstance(agent, App) else agent


async def _run(call: Call) -> AsyncGenerator[Any, None]:
    root = _root(call.agent)
    options, services = dict(call.options), _services(call)
    recording = Recording(call) if call.once is not None else None
    talk = _Talk(call, root, recording)
    yield talk.events.started() if call.paused is None else talk.events.continued()
    app = _app(call.agent, root if recording is None else recording.durable(root), talk.plugin)
    conversation = await Conversation.begun(call, app.name, services)
    config = _config(options.pop("run_config", None))
    runner = Runner(app=app, **{**services, "session_service": conversation.service})
    stream = runner.run_async(
        user_id=conversation.user_id,
        session_id=conversation.session_id,
        new_message=await _message(call) if call.paused is None else _answers(call),
        state_delta=conversation.state_to_give(),
        run_config=config,
        **{name: value for name, value in options.items() if name not in _SERVICES},
    )
    try:
        async with aclosing(stream) as items:
            async for item in items:
                conversation.take_state(item)
                for event in talk.of(item):
                    yield event
    except Broken as broken:
        raise broken.error from None
    if talk.error is not None:
        raise ExecutorError(f"{call.executor_name}: {talk.error}")
    output = ExecutorOutput(run_id=call.run_id, session_id=call.session_id, metrics=talk.metrics())
    output.messages = await conversation.messages()
    if talk.waiting:
        output.status, output.requirements = RunStatus.paused, [_question(item) for item in talk.waiting.values()]
        output.paused = {"session": await conversation.stored(), "waiting": list(talk.waiting.values())}
        yield talk.events.paused()
    else:
        output.content = talk.content()
        await conversation.keep()
        yield talk.events.completed(output.content, output.metrics)
    yield output


def _services(call: Call) -> dict[str, Any]:
    """The services of a runner; those of ``executor_options`` come before."""
    own = {name: getattr(call.agent, name) for name in _SERVICES} if isinstance(call.agent, Runner) else {}
    named = {name: call.options[name] for name in _SERVICES if name in call.options}
    return {name: service for name, service in {**own, **named}.items() if service is not None}


def _app(agent: Any, root: Any, plugin: Any) -> Any:
    """A new app around the agent, with what the user's app or runner has."""
    given = agent.app if isinstance(agent, Runner) else agent
    if not isinstance(given, App):
        return App.model_construct(name=root.name, root_agent=root, plugins=[plugin], resumability_config=_RESUMABLE)
    changed = {"root_agent": root, "plugins": [*given.plugins, plugin]}
    if given.resumability_config is None:
        changed["resumability_config"] = _RESUMABLE
    return given.model_copy(update=changed)


def _config(given: Any) -> Any:
    """Streamed, and synchronous tools in threads: the library runs them on the loop."""
    config = given or RunConfig()
    changed: dict[str, Any] = {}
    if config.streaming_mode is StreamingMode.NONE:
        changed["streaming_mode"] = StreamingMode.SSE
    if config.tool_thread_pool_config is None:
        changed["tool_thread_pool_config"] = ToolThreadPoolConfig()
    return config.model_copy(update=changed)


# -- input -------------------------------------------------------------------------------------------------------------


async def _message(call: Call) -> Any:
    text = call.message if isinstance(call.message, str) else as_text(call.message) or ""
    parts = [types.Part(text=text)]
    for name, kind in _KINDS.items():
        for item in getattr(call, name) or ():
            parts.append(await _part(item, item.mime_type or kind))
    return types.Content(role="user", parts=parts)


async def _part(item: Media, kind: str) -> Any:
    if item.url is not None:
        return types.Part.from_uri(file_uri=item.url, mime_type=kind)
    data = await to_thread.run_sync(item.get_content_bytes) if item.filepath is not None else item.content
    return types.Part.from_bytes(data=data or b"", mime_type=kind)


# -- people ------------------------------------------------------------------------------------------------------------


def _question(waiting: dict[str, Any]) -> dict[str, Any]:
    name, arguments, agent = waiting["name"], waiting["arguments"], waiting["agent"]
    if "original" not in waiting:
        return external_result(waiting["id"], name, arguments, agent=agent)
    asked = waiting["confirmation"]
    more = {key: asked[key] for key in ("hint", "payload") if asked.get(key)}
    return approval(waiting["original"], name, arguments, **{"id": waiting["id"], "agent": agent, **more})


def _answers(call: Call) -> Any:
    """The message that the library waits for: a response to each of its calls."""
    answers = {item["id"]: item for item in call.answers}
    parts = []
    for waiting in call.paused["waiting"]:
        answer = answers.get(waiting["id"], {})
        if "original" in waiting:
            name, response = _CONFIRMATION, {"confirmed": bool(answer.get("confirmation"))}
            if answer.get("user_input"):
                response["payload"] = answer["user_input"]
        else:
            name, response = waiting["name"], _external(answer)
        made = types.FunctionResponse(id=waiting["id"], name=name, response=response)
        parts.append(types.Part(function_response=made))
    return types.Content(role="user", parts=parts)


def _external(answer: dict[str, Any]) -> dict[str, Any]:
    if answer.get("confirmation") is False:
        return {"error": f"Declined: {answer.get('confirmation_note') or 'no reason given'}"}
    result = answer.get("external_execution_result")
    return result if isinstance(result, dict) else {"result": result}


class _Reasons(BasePlugin):  # type: ignore[misc]  # the library is not there when types are checked
    """Tells the model why a person said no; the library's own answer does not."""

    def __init__(self, reasons: dict[str, str]) -> None:
        super().__init__("workflow_runtime_reasons")
        self._reasons = reasons

    async def before_tool_callback(self, *, tool: Any, tool_args: Any, tool_context: Any) -> dict[str, Any] | None:
        confirmation = tool_context.tool_confirmation
        reason = self._reasons.get(tool_context.function_call_id or "")
        if reason is None or confirmation is None or confirmation.confirmed:
            return None
        return {"error": f"This tool call is rejected: {reason}"}


# -- events ------------------------------------------------------------------------------------------------------------


class _Talk:
    """The events of the library's stream, what waits for a person, and what the requests used."""

    def __init__(self, call: Call, root: Any, recording: Recording | None) -> None:
        self._call, self._root, self._recording = call, root, recording
        self.events = Events(call, name=call.executor_name)
        self._members: dict[str, Events] = {}
        self._streamed: dict[str, bool] = {}
        self._usage = RunMetrics()
        self._last: Any = None
        self._rejected: set[str] = set()
        self.waiting: dict[str, dict[str, Any]] = {}
        """The calls that a person has to answer, by their id."""
        self.error: str | None = None
        self.plugin = _Reasons(self._answered())

    def _answered(self) -> dict[str, str]:
        """Why calls were rejected. All that were asked about have begun, before the pause."""
        answers = {item["id"]: item for item in self._call.answers}
        reasons = {}
        for waiting in (self._call.paused or {}).get("waiting", ()):
            call_id, answer = waiting.get("original", waiting["id"]), answers.get(waiting["id"], {})
            self._whose(waiting["agent"]).tool_was_asked_for(call_id, waiting["arguments"])
            if "original" in waiting and not answer.get("confirmation"):
                self._rejected.add(call_id)
                if answer.get("confirmation_note"):
                    reasons[call_id] = answer["confirmation_note"]
        return reasons

    def of(self, item: Any) -> Iterator[Any]:
        events = self._whose(item.author)
        for part in (item.content.parts or ()) if item.content is not None else ():
            if part.text and self._is_new_text(item):
                made = events.reasoning(part.text) if part.thought else events.text(part.text)
                self.events.first = self.events.first or events.first
                yield made
        if item.partial:
            self._streamed[item.author] = True
            return
        self._streamed.pop(item.author, None)
        self._count(item.usage_metadata)
        if item.error_code or item.content is not None:
            self.error = (item.error_message or item.error_code) if item.error_code else None
        yield from self._tools(events, item)
        if (item.content is not None or item.output is not None) and item.is_final_response() and item.author != "user":
            self._last = item  # others say where an agent is, and have no content

    def _is_new_text(self, item: Any) -> bool:
        """False for the whole text of a response that was streamed, and for that of a recorded request."""
        if item.partial:
            return True
        if item.author == "user" or self._streamed.get(item.author):
            return False
        return self._recording is None or not self._recording.is_replayed(item.author)

    def _tools(self, events: Events, item: Any) -> Iterator[Any]:
        held = item.actions.requested_tool_confirmations or {}
        for called in item.get_function_calls():
            if called.name == _CONFIRMATION:
                self._wait_for(called, item.author)
                continue
            if called.id in (item.long_running_tool_ids or ()):
                self.waiting[called.id] = _waiting(called, item.author)
            yield events.tool_started(called.id, called.name, called.args)
        for done in item.get_function_responses():
            self.waiting.pop(done.id, None)
            if done.id not in held:
                response = done.response or {}
                result = response["result"] if list(response) == ["result"] else response
                yield events.tool_completed(done.id, done.name, plain(result))

    def _wait_for(self, called: Any, author: str) -> None:
        original = types.FunctionCall.model_validate(called.args["originalFunctionCall"])
        self.waiting[called.id] = {
            **_waiting(original, author),
            "id": called.id,
            "original": original.id,
            "confirmation": plain(called.args.get("toolConfirmation") or {}),
        }

    def _whose(self, author: str) -> Events:
        if author in (self._root.name, "user"):
            return self.events
        return self._members.setdefault(author, Events(self._call, name=author, agent_id=author))

    # -- the end -------------------------------------------------------------------------------------------------------

    def content(self) -> Any:
        """The last response: text, the object of the agent's output type, or what the last tool returned."""
        if self._last is None:
            return None
        parts = (self._last.content.parts or ()) if self._last.content is not None else ()
        text = "".join(part.text for part in parts if part.text and not part.thought)
        if text:
            return self._structured(text)
        responses = self._last.get_function_responses()
        if responses:
            response = plain(responses[-1].response or {})
            return response["result"] if list(response) == ["result"] else response
        return self._last.output if self._last.output is not None else text

    def _structured(self, text: str) -> Any:
        author = self._root.find_agent(self._last.author)
        schema = getattr(author, "output_schema", None)
        if schema is None or isinstance(schema, (dict, types.Schema)):
            return text
        return TypeAdapter(schema).validate_json(text)

    def _count(self, used: Any) -> None:
        if used is None:
            return
        into, out = used.prompt_token_count or 0, used.candidates_token_count or 0
        thoughts = used.thoughts_token_count or 0
        self._usage += RunMetrics(
            input_tokens=into,
            output_tokens=out + thoughts,
            total_tokens=into + out + thoughts,
            cache_read_tokens=used.cached_content_token_count or 0,
            reasoning_tokens=thoughts,
        )

    def metrics(self) -> RunMetrics:
        self._usage.duration, self._usage.time_to_first_token = self.events.seconds, self.events.first
        return self._usage


def _waiting(called: Any, agent: str) -> dict[str, Any]:
    return {"id": called.id, "name": called.name, "arguments": plain(called.args or {}), "agent": agent}
