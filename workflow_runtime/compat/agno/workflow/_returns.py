"""What agno makes of the values that a function returns or yields: text, unless it is a StepOutput or an event.

The function behind a Binding is wrapped, so that the engine runs it like any other.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing, closing
from functools import wraps
from typing import Any

import msgspec

from workflow_runtime.core.binding import COROUTINE, Binding
from workflow_runtime.executors import ExecutorRun
from workflow_runtime.model.events import CustomEvent, WorkflowEvent
from workflow_runtime.model.run import WorkflowRunOutput
from workflow_runtime.model.step_io import StepOutput

__all__ = ["as_returned", "step_returns", "workflow_chunks"]

_Convert = Callable[[Any], Any]


def as_returned(value: Any) -> Any:
    """A returned value as agno keeps it: StepOutputs as they are, of a run its content, everything else by ``str``."""
    if isinstance(value, StepOutput):
        return value
    if isinstance(value, (ExecutorRun, WorkflowRunOutput)) or _is_of_agno(type(value)):
        return value.content
    return str(value)


def _is_of_agno(kind: type) -> bool:
    """Whether it is what a run of agno's own agents returns: known by name, for agno need not be there."""
    return kind.__name__ in ("RunOutput", "TeamRunOutput") and kind.__module__.partition(".")[0] == "agno"


def _as_chunk(value: Any) -> Any:
    """A yielded value: events are published, a StepOutput ends the step, the rest is text of its content."""
    is_event = isinstance(value, (WorkflowEvent, CustomEvent)) or isinstance(getattr(value, "event", None), str)
    return value if is_event else as_returned(value)


def _as_workflow_chunk(value: Any) -> Any:
    """The same in a workflow function, where a yielded StepOutput ends nothing: its content is a part of the text."""
    chunk = _as_chunk(value)
    return str(chunk.content) if isinstance(chunk, StepOutput) else chunk


def step_returns(binding: Binding) -> Binding:
    """``binding`` with the results of its function converted."""
    function = binding.function
    if binding.kind == COROUTINE:

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            return _result(await function(*args, **kwargs))

        return msgspec.structs.replace(binding, function=awaited)
    return msgspec.structs.replace(binding, function=lambda *args, **kwargs: _result(function(*args, **kwargs)))


def _result(found: Any) -> Any:
    """``found`` converted, whatever kind of result it is: a value, an awaitable, a generator."""
    if inspect.isgenerator(found):
        return _chunks(found, _as_chunk)
    if inspect.isasyncgen(found):
        return _async_chunks(found, _as_chunk)
    if inspect.isawaitable(found):
        return _later(found)
    return as_returned(found)


async def _later(found: Awaitable[Any]) -> Any:
    return _result(await found)


def _chunks(
    generator: Generator[Any, Any, Any], convert: _Convert, last: _Convert = as_returned
) -> Generator[Any, None, Any]:
    silent = True
    with closing(generator):
        while True:
            try:
                chunk = next(generator)
            except StopIteration as end:
                return last(end.value) if end.value is not None else "" if silent else None
            silent = False
            yield convert(chunk)


async def _async_chunks(generator: AsyncGenerator[Any, Any], convert: _Convert) -> AsyncGenerator[Any, None]:
    async with aclosing(generator):
        async for chunk in generator:
            yield convert(chunk)


def workflow_chunks(function: Any) -> Any:
    """A workflow function with what it yields converted; a returned value keeps its type."""
    if inspect.isgeneratorfunction(function):

        @wraps(function)
        def chunks(*args: Any, **kwargs: Any) -> Generator[Any, None, Any]:
            return (yield from _chunks(function(*args, **kwargs), _as_workflow_chunk, lambda value: value))

        return chunks
    if inspect.isasyncgenfunction(function):

        @wraps(function)
        async def async_chunks(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
            async with aclosing(_async_chunks(function(*args, **kwargs), _as_workflow_chunk)) as found:
                async for chunk in found:
                    yield chunk

        return async_chunks
    return function
