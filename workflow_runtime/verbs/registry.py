"""Names of callables and classes, so that a workflow written as data finds its functions again."""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from ..model.errors import BuildError

__all__ = ["Registry", "qualified_name"]

_T = TypeVar("_T")


def qualified_name(item: Any) -> str:
    """``module:qualname`` of a function or class; of an object with a ``name`` (an agent) that name; of any other
    callable object the name of its class; of a partial that of its function and ``(partial)``."""
    if isinstance(item, functools.partial):
        return f"{qualified_name(item.func)}(partial)"
    own = getattr(item, "__qualname__", None)
    if own is not None:
        return f"{item.__module__}:{own}"
    name = getattr(item, "name", None) or getattr(item, "id", None)
    return str(name) if name else f"{type(item).__module__}:{type(item).__qualname__}"


class Registry:
    """What ``Workflow.from_dict`` may use: functions, agents, workflows, models, exception classes.

    ``Registry(fetch, Report, count=count_words)`` knows ``fetch`` and ``Report`` by their qualified names and
    ``count_words`` also as "count". ``functions`` is a list of more.
    """

    def __init__(self, *items: Any, functions: Iterable[Any] = (), **named: Any) -> None:
        self._known: dict[str, Any] = {}
        for item in (*items, *functions):
            self.add(item)
        for name, item in named.items():
            self.add(item, name)

    @classmethod
    def of(cls, found: Registry | Mapping[str, Any] | Iterable[Any] | None) -> Registry:
        """A registry of what a caller gave: itself, a mapping of names, a list of callables, nothing."""
        if isinstance(found, Registry):
            return found
        made = cls()
        if isinstance(found, Mapping):
            for name, item in found.items():
                made.add(item, name)
        else:
            for item in found or ():
                made.add(item)
        return made

    def add(self, item: _T, name: str | None = None) -> _T:
        """Know ``item`` by its qualified name, and by ``name``. BuildError: something else has the name already."""
        for each in {qualified_name(item), name or qualified_name(item)}:
            known = self._known.setdefault(each, item)
            if known is not item and each == name:
                raise BuildError(f"the registry has another {each!r} already: {known!r}")
            if known is not item:
                raise BuildError(f"the registry has two different {each!r}; give one of them a name of its own")
        return item

    def register(self, name: str | None = None) -> Callable[[_T], _T]:
        """``add`` as a decorator."""
        return lambda item: self.add(item, name)

    def classes(self) -> list[type]:
        """The classes among what it knows."""
        return [item for item in self._known.values() if isinstance(item, type)]

    def names(self) -> list[str]:
        return sorted(self._known)

    def find(self, name: str, what: str) -> Any:
        """What is known by ``name``, or by it as the last part of a qualified name that nobody else ends in.

        Raises:
            BuildError: Nothing is, or several things are; ``what`` says for what it was needed.
        """
        if not isinstance(name, str):
            raise BuildError(f"{what} needs a name, and has {name!r}")
        if name in self._known:
            return self._known[name]
        module, _, own = name.partition(":")
        known_error = vars(builtins).get(own) if module == "builtins" else None
        if isinstance(known_error, type) and issubclass(known_error, BaseException):
            return known_error
        short = {id(item): item for known, item in self._known.items() if _last(known) == name}
        if len(short) == 1:
            return next(iter(short.values()))
        known = ", ".join(self.names()) or "nothing"
        why = "several things of this name are" if short else "it is not"
        told = f"which knows {known}; pass registry=Registry(...) with it"
        raise BuildError(f"{what} needs {name!r}, and {why} in the registry, {told}")


def _last(name: str) -> str:
    return name.rpartition(":")[2].rpartition(".")[2]
