"""How to call a user's callable: its kind and its parameters, inspected once when the plan is built."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from ..model.errors import BuildError

__all__ = ["ASYNC_GENERATOR", "GENERATOR", "STEP_NAMES", "WORKFLOW_NAMES", "Binding", "bind", "callable_name"]

STEP_NAMES = frozenset({"step_input", "run_context", "session_state", "workflow", "additional_data", "dependencies"})
WORKFLOW_NAMES = frozenset({"workflow", "execution_input", "run_context", "session_state"})

FUNCTION, COROUTINE, GENERATOR, ASYNC_GENERATOR = "function", "coroutine", "generator", "async_generator"


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """``kind``: function, coroutine, generator or async_generator. ``first``: the name of the value that is passed
    positionally, or None. ``names`` are injected by keyword; ``extra`` is True if it takes any keyword."""

    function: Callable[..., Any]
    kind: str
    first: str | None
    names: tuple[str, ...]
    extra: bool = False

    @property
    def only_input(self) -> bool:
        return self.first is not None and not self.names

    def asks_for(self, name: str) -> bool:
        return self.first == name or name in self.names


def callable_name(function: Any) -> str:
    """The name of a function, the wrapped function of a partial, or the class of a callable object."""
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", None) or type(function).__name__)


def bind(function: Any, *, supplied: Iterable[str], default: str, where: str) -> Binding:
    """Inspect ``function``. ``supplied`` can be injected by name; ``default`` is passed to a single positional parameter of
    an unknown name. BuildError names a required parameter that cannot be injected."""
    if not callable(function):
        raise BuildError(f"{where}: {function!r} is not callable")
    supplied = frozenset(supplied)
    names: list[str] = []
    first: str | None = None
    extra = False
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a builtin without a signature: give it the input
        parameters = [inspect.Parameter("value", inspect.Parameter.POSITIONAL_ONLY)]
    for position, parameter in enumerate(parameters):
        required = parameter.default is inspect.Parameter.empty
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            extra = True
        elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            continue
        elif parameter.name in supplied:
            if parameter.kind is inspect.Parameter.POSITIONAL_ONLY or (position == 0 and parameter.name == default):
                first = parameter.name
            else:
                names.append(parameter.name)
        elif position == 0 and parameter.kind is not inspect.Parameter.KEYWORD_ONLY and required:
            first = default
        elif required:
            raise BuildError(
                f"{where}: the parameter {parameter.name!r} of {callable_name(function)}() cannot be injected;"
                f" give it a default, or use one of {', '.join(sorted(supplied))}"
            )
    if default in names and first == default:
        raise BuildError(f"{where}: {callable_name(function)}() asks for {default!r} twice")
    return Binding(function=function, kind=_kind(function), first=first, names=tuple(names), extra=extra)


def _kind(function: Any) -> str:
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    if not (inspect.isfunction(inner) or inspect.ismethod(inner) or inspect.isbuiltin(inner)):
        inner = inner if isinstance(inner, type) else type(inner).__call__
    if inspect.isasyncgenfunction(inner):
        return ASYNC_GENERATOR
    if inspect.iscoroutinefunction(inner):
        return COROUTINE
    return GENERATOR if inspect.isgeneratorfunction(inner) else FUNCTION
