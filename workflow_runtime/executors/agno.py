"""Agents and teams of agno as steps (2.9 and 3.x). Imported when a step has one.

What a tool of agno waits for (a yes, values, a result from elsewhere) is a requirement of the run, also that of a team's
member; the paused run is stored and rebuilt, so agno needs no database of its own.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# The library is only in the environments of those that use it.

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from agno import media as agno_media
from agno.models.message import Message
from agno.run import RunContext
from agno.run.agent import RunOutput
from agno.run.team import TeamRunOutput

from ..model import media
from ..model.enums import RunStatus
from ..model.executor_events import executor_event
from ..model.metrics import RunMetrics
from ..model.text import as_text
from .adapter import Adapter, Call, ExecutorError, ExecutorOutput
from .agno_records import Recording
from .events import Events, plain
from .objects import apply_answers
from .recording import Broken
from .tasks import in_own_task

__all__ = ["AgnoAdapter"]

_MEDIA = {"images": "Image", "videos": "Video", "audio": "Audio", "files": "File"}
_STATUS = {"PAUSED": RunStatus.paused, "CANCELLED": RunStatus.cancelled, "ERROR": RunStatus.error}
_OWN_STATE = ("current_session_id", "current_run_id", "current_user_id")


class AgnoAdapter(Adapter):
    """Runs ``agno.agent.Agent`` and ``agno.team.Team``."""

    library = "agno"
    durable = True
    counts_on = True

    def claims(self, agent: Any) -> bool:
        return callable(getattr(agent, "arun", None)) and callable(getattr(agent, "acontinue_run", None))

    def kind(self, agent: Any) -> str:
        return "team" if hasattr(agent, "members") else "agent"

    def run(self, call: Call) -> AsyncIterator[Any]:
        return in_own_task(_run(call))


async def _run(call: Call) -> AsyncGenerator[Any, None]:
    state = _State(call.session_state)
    recording = Recording(call, state.meet) if call.once is not None else None
    agent = recording.durable(call.agent) if recording is not None else call.agent
    is_team = hasattr(agent, "members")
    events = Events(call, agent_id=getattr(agent, "id", None), team=is_team)
    own = "TeamRunContent" if is_team else "RunContent"
    error: str | None = None
    output: Any = None
    try:
        async for item in _stream(agent, call, state):
            name = getattr(item, "event", None)
            if name != own:  # text comes often, and changes nothing
                state.meet()
            if not isinstance(name, str):
                output = item
            elif name.endswith("RunContent") and recording is not None and recording.is_replayed(item):
                continue
            elif name == own and type(item.content) is str and not item.reasoning_content and events.is_own(item):
                if item.content:
                    yield events.text(item.content)
            else:
                if name == ("TeamRunError" if is_team else "RunError") and events.is_own(item):
                    error = as_text(item.content) or "it reported an error"
                yield _event(call, item)
    except Broken as broken:
        raise broken.error from None
    finally:
        state.meet()
    if output is None or _status(output) is RunStatus.error:
        raise ExecutorError(error or as_text(getattr(output, "content", None)) or "the run ended without an output")
    yield _output(output, events)


def _stream(agent: Any, call: Call, state: _State) -> AsyncIterator[Any]:
    """agno's own stream. It is read to its end: agno takes a run that is closed before for cancelled."""
    common: dict[str, Any] = {
        "stream": True,
        "stream_events": True,
        "yield_run_output": True,
        "session_id": call.session_id,
        "user_id": call.user_id,
    }
    for name in ("dependencies", "metadata"):
        if getattr(call, name):
            common[name] = getattr(call, name)
    if call.paused is None:
        given = {name: _theirs(name, getattr(call, name)) for name in _MEDIA if getattr(call, name)}
        common |= {"session_state": state.theirs, "run_id": call.run_id, **given, **call.options}
        return agent.arun(_message(call.message), **common)  # type: ignore[no-any-return]  # agno has no types here
    output = _rebuilt(call.paused, call.answers)
    context = RunContext(
        run_id=output.run_id, session_id=call.session_id, user_id=call.user_id, session_state=state.theirs
    )
    common |= {"run_context": context, "run_response": output, "requirements": output.requirements, **call.options}
    return agent.acontinue_run(**common)  # type: ignore[no-any-return]  # as above


def _message(given: Any) -> Any:
    """What agno takes for a message as it is, all else as text: agno would leave it out."""
    items = given if isinstance(given, list) and given else [given]
    if all(isinstance(item, (str, Message)) or hasattr(item, "model_dump") for item in items):
        return given
    if all(isinstance(item, dict) and "role" in item for item in items):
        return given
    return as_text(given) or ""


class _State:
    """The session state that agno changes, and the run's: what one side changes, the other sees at the next ``meet``."""

    def __init__(self, live: dict[str, Any]) -> None:
        self._live = live
        self.theirs: dict[str, Any] = copy.deepcopy(dict(live))
        self._met = copy.deepcopy(self.theirs)

    def meet(self) -> None:
        """Give and take what was changed. What both have changed since is agno's."""
        theirs, live, met = self.theirs, self._live, self._met
        for key in {*theirs, *live, *met}:
            if key in _OWN_STATE:
                continue
            before = met.get(key, _ABSENT)
            source, target = (theirs, live) if theirs.get(key, _ABSENT) != before else (live, theirs)
            value = source.get(key, _ABSENT)
            if value == before and target.get(key, _ABSENT) == before:
                continue
            for side in (target, met):
                if value is _ABSENT:
                    side.pop(key, None)
                else:
                    side[key] = copy.deepcopy(value)


_ABSENT: Any = object()


# -- events and the output -------------------------------------------------------------------------------------------


def _event(call: Call, item: Any) -> Any:
    fields = {key: value for key, value in vars(item).items() if value is not None and not key.startswith("_")}
    fields = {key: value if key == "content" else _builtins(value) for key, value in fields.items()}
    for key in ("nested_depth", "step_index", "step_name", "step_id", "tools", "model_provider_data"):
        fields.pop(key, None)
    if "tool" in fields:
        fields["tool"].pop("metrics", None)
    own_id = fields.get("team_id" if hasattr(call.agent, "members") else "agent_id")
    if not fields.get("agent_name") and not fields.get("team_name"):
        fields["team_name" if "team_id" in fields else "agent_name"] = call.executor_name if own_id else None
    kind = "team" if fields["event"].startswith("Team") else "agent"
    return executor_event(fields, executor_type=kind, executor_name=call.executor_name)


def _builtins(value: Any) -> Any:
    told = getattr(value, "to_dict", None)
    return plain(told() if callable(told) else value)


def _status(output: Any) -> RunStatus:
    status = getattr(output, "status", None)
    return _STATUS.get(str(getattr(status, "value", status)).upper(), RunStatus.completed)


def _output(output: Any, events: Events) -> ExecutorOutput:
    status = _status(output)
    ours = {name: _ours(name, getattr(output, name, None)) for name in _MEDIA}
    metrics = RunMetrics.of(_builtins(output.metrics)) if output.metrics is not None else None
    if metrics is not None:
        metrics.total_tokens = metrics.input_tokens + metrics.output_tokens
        metrics.time_to_first_token = metrics.time_to_first_token or events.first
    result = ExecutorOutput(
        content=output.content,
        run_id=output.run_id,
        session_id=output.session_id,
        status=status,
        metrics=metrics,
        messages=[_builtins(message) for message in output.messages or ()],
        **ours,
    )
    if status is RunStatus.paused:
        result.content = None
        result.requirements = [_builtins(item) for item in output.requirements or ()]
        result.paused = {"output": plain(output.to_dict()), "members": _members(output)}
    return result


def _members(output: Any) -> dict[str, Any]:
    """The paused runs of members, by the id of the requirement that they wait for."""
    runs = {item.id: getattr(item, "_member_run_response", None) for item in output.requirements or ()}
    return {key: {"output": plain(run.to_dict()), "members": _members(run)} for key, run in runs.items() if run}


def _rebuilt(paused: dict[str, Any], answers: list[dict[str, Any]]) -> Any:
    """The paused run as it was, with the answers in the objects that agno looks at."""
    data = paused["output"]
    output = (TeamRunOutput if "team_id" in data else RunOutput).from_dict(copy.deepcopy(data))
    apply_answers(output, answers)
    asked = output.requirements or []
    by_id = {item.tool_execution.tool_call_id: item.tool_execution for item in asked if item.tool_execution}
    output.tools = [by_id.get(tool.tool_call_id, tool) for tool in output.tools or ()]
    for item in asked:
        if item.id in paused["members"]:
            item._member_run_response = _rebuilt(paused["members"][item.id], answers)
    return output


# -- media -------------------------------------------------------------------------------------------------------------

_FIELDS = ("url", "filepath", "content", "id", "mime_type", "format")


def _theirs(name: str, items: list[media.Media]) -> list[Any]:
    kind = getattr(agno_media, _MEDIA[name])
    return [kind(**_set_fields(item, (*_FIELDS, "filename", "detail"))) for item in items]


def _ours(name: str, items: Any) -> list[Any] | None:
    kind = getattr(media, _MEDIA[name])
    listed = items if isinstance(items, (list, tuple)) else [items] if items else []
    return [kind(**_set_fields(item, _FIELDS)) for item in listed] or None


def _set_fields(item: Any, names: tuple[str, ...]) -> dict[str, Any]:
    fields = {name: getattr(item, name, None) for name in names}
    return {name: value for name, value in fields.items() if value is not None}
