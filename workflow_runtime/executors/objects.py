"""The adapter for any object with a method that runs it: ``arun``, ``run``, ``ainvoke``, ``acall`` or ``invoke``.

The protocol is in ``workflow_runtime.executors``. A synchronous method is called in a worker thread.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing
from typing import Any

import msgspec

from ..model.enums import RunStatus
from ..model.errors import UnserializableError
from ..model.events import CustomEvent, WorkflowEvent
from ..model.metrics import RunMetrics
from ..model.text import builtins
from ..model.values import seal
from .adapter import Adapter, Call, ExecutorOutput

__all__ = ["VERBS", "ObjectAdapter", "Returned", "apply_answers", "read"]

VERBS = ("arun", "run", "ainvoke", "acall", "invoke")
"""The methods that run an agent; the first that an object has is called."""

_CONTINUE_VERBS = ("acontinue_run", "continue_run")


class Returned(msgspec.Struct):
    """What the method of an agent returned, where that is no output object."""

    value: Any


class ObjectAdapter(Adapter):
    """Runs any object that keeps the protocol of ``workflow_runtime.executors``."""

    library = "an object"
    event_loops = ("asyncio", "trio")

    def kind(self, agent: Any) -> str:
        return "team" if getattr(agent, "members", None) is not None else "agent"

    def refusal(self, agent: Any) -> str | None:
        if any(callable(getattr(agent, verb, None)) for verb in VERBS):
            return None
        return (
            f"{type(agent).__name__} cannot run as an agent: it has none of the methods {', '.join(VERBS)}, and no adapter"
            " is registered for its class; give it arun(input), or register one (workflow_runtime.executors.register)"
        )

    def run(self, call: Call) -> Any:
        """An iterator of what the agent streams and returns: async, or synchronous for a worker thread."""
        if call.paused is None:
            name, verb = _method(call.agent, VERBS)
            arguments = _taken(_arguments(call), verb, f"{call.executor_name}: its {name}()", needs_input=True)
        else:
            name, verb = _method(call.agent, _CONTINUE_VERBS)
            output = apply_answers(call.paused, call.answers)
            own = getattr(output, "requirements", None)
            given = _arguments(call)
            given["run_response"] = output
            given["requirements"] = own if own and not isinstance(own[0], dict) else call.answers
            del given["input"]
            arguments = _taken(given, verb, name, needs_input=False)
        if inspect.iscoroutinefunction(verb) or inspect.isasyncgenfunction(verb):
            return _read(verb, arguments)
        if name.startswith("a") and not inspect.isgeneratorfunction(verb):
            return _read(verb, arguments)
        return _read_in_thread(verb, arguments)


async def _read(verb: Callable[..., Any], arguments: _Arguments) -> AsyncIterator[Any]:
    first, others = arguments
    async with aclosing(read(verb(*first, **others))) as items:
        async for item in items:
            yield item


async def read(found: Any) -> AsyncGenerator[Any, None]:
    """The items of what an agent's method returned: an async iterator, an awaitable of one, or an awaitable of a value."""
    if inspect.isawaitable(found):
        found = await found
    if not hasattr(found, "__aiter__"):
        yield _item(found, last=True)
        return
    try:
        async for item in found:
            yield _item(item)
    finally:
        if hasattr(found, "aclose"):
            await found.aclose()


def _read_in_thread(verb: Callable[..., Any], arguments: _Arguments) -> Iterator[Any]:
    first, others = arguments
    found = verb(*first, **others)
    if not (inspect.isgenerator(found) or (hasattr(found, "__next__") and hasattr(found, "__iter__"))):
        yield _item(found, last=True)
        return
    try:
        for item in found:
            yield _item(item)
    finally:
        if inspect.isgenerator(found):
            found.close()


def _item(item: Any, *, last: bool = False) -> Any:
    """An event or a chunk as it is; an output object as ours; with ``last`` any other value as what was returned."""
    if isinstance(item, ExecutorOutput):
        return item
    is_event = isinstance(item, (WorkflowEvent, CustomEvent, str, dict)) or isinstance(
        getattr(item, "event", None), str
    )
    if not is_event and hasattr(item, "content") and not hasattr(item, "step_name"):
        return _output(item)
    return Returned(item) if last else item


def _output(found: Any) -> ExecutorOutput:
    status = str(getattr(getattr(found, "status", None), "value", getattr(found, "status", "")) or "").upper()
    paused = getattr(found, "is_paused", False) is True or status == "PAUSED"
    asked = getattr(found, "requirements", None) or ()
    return ExecutorOutput(
        content=found.content,
        run_id=getattr(found, "run_id", None),
        session_id=getattr(found, "session_id", None),
        status=RunStatus.paused if paused else _STATUS.get(status, RunStatus.completed),
        metrics=RunMetrics.of(getattr(found, "metrics", None)),
        messages=builtins(getattr(found, "messages", None)),
        images=getattr(found, "images", None),
        videos=getattr(found, "videos", None),
        audio=getattr(found, "audio", None),
        files=getattr(found, "files", None),
        requirements=[_as_dict(item) for item in asked] if paused else None,
        paused=_storable(found) if paused else None,
    )


_STATUS = {"ERROR": RunStatus.error, "CANCELLED": RunStatus.cancelled}


# -- calling ---------------------------------------------------------------------------------------------------------


def _method(agent: Any, names: tuple[str, ...]) -> tuple[str, Callable[..., Any]]:
    for name in names:
        verb = getattr(agent, name, None)
        if callable(verb):
            return name, verb
    raise TypeError(f"{type(agent).__name__} has none of the methods {', '.join(names)}")


def _arguments(call: Call) -> dict[str, Any]:
    return {
        "input": call.message,
        "images": call.images,
        "videos": call.videos,
        "audio": call.audio,
        "files": call.files,
        "session_id": call.session_id,
        "user_id": call.user_id,
        "session_state": call.session_state,
        "run_context": call.run_context,
        "run_id": call.run_id,
        "stream": True,
        "stream_events": True,
        "yield_run_output": True,
        **call.given_answers,
    }


_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_Arguments = tuple[list[Any], dict[str, Any]]


def _taken(given: dict[str, Any], verb: Callable[..., Any], where: str, *, needs_input: bool) -> _Arguments:
    """Of all that can be given, what the method's signature takes. The input is its ``input``, or else the first parameter
    that is none of the others."""
    parameters = inspect.signature(verb).parameters
    kinds = [parameter.kind for parameter in parameters.values()]
    named = {name for name, parameter in parameters.items() if parameter.kind is not inspect.Parameter.POSITIONAL_ONLY}
    first: list[Any] = []
    if needs_input and "input" not in named:
        place = _input_of(parameters, given)
        if place is not None and place.kind is not inspect.Parameter.POSITIONAL_ONLY:
            given[place.name] = given.pop("input")
        elif place is not None or inspect.Parameter.VAR_POSITIONAL in kinds:
            first = [given.pop("input")]
        elif inspect.Parameter.VAR_KEYWORD not in kinds:
            raise TypeError(f"{where} takes no input; see workflow_runtime.executors")
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return first, given
    return first, {key: value for key, value in given.items() if key in named}


def _input_of(parameters: Mapping[str, inspect.Parameter], given: dict[str, Any]) -> inspect.Parameter | None:
    """The parameter that the input goes to, in a method that has none of this name."""
    places = [parameter for parameter in parameters.values() if parameter.kind in _BY_POSITION]
    if places and places[0].kind is inspect.Parameter.POSITIONAL_ONLY:
        return places[0]
    others = [parameter for parameter in places if parameter.name not in given]
    wanted = [
        parameter
        for name, parameter in parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        and parameter.default is parameter.empty
        and name not in given
    ]
    return next(iter([*others, *wanted, *places]), None)


# -- pauses ----------------------------------------------------------------------------------------------------------


def apply_answers(output: Any, answered: list[dict[str, Any]]) -> Any:
    """Put the answers into the agent's own requirement objects, matched by id (by position where there is none)."""
    own = getattr(output, "requirements", None) or ()
    by_id = {item.get("id"): item for item in answered if item.get("id") is not None}
    for position, requirement in enumerate(own):
        known = requirement.get("id") if isinstance(requirement, dict) else getattr(requirement, "id", None)
        answer = by_id.get(known) if known is not None else None
        if answer is None and position < len(answered):
            answer = answered[position]
        if isinstance(requirement, dict):
            requirement.update(answer or {})
        elif answer is not None:
            _answer(requirement, answer)
    return output


_ANSWERS = {
    "user_input": "provide_user_input",
    "user_feedback": "provide_user_feedback",
    "external_execution_result": "set_external_execution_result",
}


def _answer(requirement: Any, answer: dict[str, Any]) -> None:
    """Answer an agent's own object by its own methods, which may change more than one field; else by its fields."""
    resolved = getattr(requirement, "is_resolved", False)
    if resolved() if callable(resolved) else resolved:
        return  # it is continued a second time, with the objects of the first
    verbs = {name: getattr(requirement, verb, None) for name, verb in _ANSWERS.items()}
    if getattr(requirement, "needs_confirmation", False):
        verbs["confirmation"] = lambda yes: (
            requirement.confirm() if yes else requirement.reject(answer.get("confirmation_note"))
        )
    for name in ("confirmation", "confirmation_note", *_ANSWERS):
        value = answer.get(name)
        if value is None:
            continue
        verb = verbs.get(name)
        if callable(verb):
            verb(value)
        elif hasattr(requirement, name):
            setattr(requirement, name, value)


def _as_dict(item: Any) -> dict[str, Any]:
    told = getattr(item, "to_dict", None)  # it knows better than its fields what it is
    data = builtins(told() if callable(told) else item)
    return data if isinstance(data, dict) else {"value": data}


def _storable(found: Any) -> Any:
    """The output itself if it keeps its type in a database, else its fields."""
    try:
        seal(found, "executor output")
    except UnserializableError:
        return builtins(found)
    return found
