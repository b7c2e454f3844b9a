"""Classes by the names that are stored with values: only what is loaded is found, and looking runs no code.

A name is looked up in ``sys.modules`` and then through the namespaces of modules and classes themselves. No module is
imported, no ``__getattr__``, property or descriptor of theirs is used, and no metaclass.
"""

from __future__ import annotations

import importlib
import sys
import weakref
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, Generic, TypeGuard, TypeVar

__all__ = [
    "Damaged",
    "PerClass",
    "Unfit",
    "allow",
    "class_of",
    "declare",
    "has",
    "is_trusted",
    "loaded",
    "lookup",
    "mro",
    "name_of",
    "namespace",
    "stored_class",
]

_MAIN = ("__main__", "__mp_main__")  # another program in each process
_OWN = __name__.partition(".")[0]
_MODEL = __name__.rpartition(".")[0] + "."
_EVENTS = f"{_OWN}.model.executor_events"  # creates its classes on first access

_T = TypeVar("_T")

mro: Any = type.__dict__["__mro__"].__get__
namespace: Any = type.__dict__["__dict__"].__get__
_qualname: Any = type.__dict__["__qualname__"].__get__
_module_of: Any = type.__dict__["__module__"].__get__
_module_namespace: Any = vars(ModuleType)["__dict__"].__get__

_allowed: dict[str, ModuleType] = {}
_declared: dict[str, None] = {}
_calls = 0  # of allow
_known: dict[str, tuple[ModuleType, Mapping[str, Any], type]] = {}  # by stored name; looked at again each time


class PerClass(Generic[_T]):
    """A cache of facts about classes. Keyed by identity, since a metaclass may have its own hash; holds no reference to a
    class."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[weakref.ref[type], _T]] = {}

    def get(self, kind: type) -> _T | None:
        entry = self._found.get(id(kind))
        return entry[1] if entry is not None and entry[0]() is kind else None

    def put(self, kind: type, value: _T) -> _T:
        """``value``, which must not hold the class."""
        found, key = self._found, id(kind)

        def gone(reference: weakref.ref[type]) -> None:
            entry = found.get(key)
            if entry is not None and entry[0] is reference:
                del found[key]

        found[key] = (weakref.ref(kind, gone), value)
        return value


class Unfit(Exception):
    """Why a value cannot be made, as the end of a sentence."""


class Damaged(Unfit):
    """The stored value is damaged; the class in this process is not the reason."""


def allow(*modules: str) -> None:
    """Import these modules, so that stored values of their classes can be read.

    A stored value is only rebuilt if the module of its class is loaded: stored data never makes a process import anything.
    Call this if a module is imported late (inside a step), or only by another program.

    Raises:
        ImportError: There is no such module, or importing it failed.
    """
    global _calls
    for name in modules:
        _allowed[name] = importlib.import_module(name)
    _calls += 1


def loaded() -> tuple[int, int]:
    """Another one whenever modules were loaded or allowed: then more may be readable than before."""
    return len(sys.modules), _calls


def declare(*modules: str) -> None:
    """Register modules that define workflows: classes that their program stored while it was ``__main__`` are looked up
    there. Imports nothing."""
    for name in modules:
        if name not in _MAIN and name.partition(".")[0] != _OWN:
            _declared[name] = None


def is_trusted(kind: type) -> bool:
    """Whether the class is of an allowed module, or is a value class of this package."""
    module = namespace(kind).get("__module__")
    return isinstance(module, str) and (module in _allowed or module.startswith(_MODEL))


def lookup(kind: type, name: str) -> Any:
    """The attribute ``name`` from the namespace of a class or of a base, unbound; None if there is none."""
    for base in mro(kind):
        found = namespace(base)
        if name in found:
            return found[name]
    return None


def has(kind: type, base: type | None) -> bool:
    """``issubclass`` without asking a metaclass."""
    return any(found is base for found in mro(kind))  # not by ==, which a metaclass may define


def name_of(kind: type) -> str:
    """``module:qualname``, as stored values name the class."""
    return f"{_module_of(kind)}:{_qualname(kind)}"


def class_of(module: str, name: str) -> type | None:
    """The class of that name at the top of a module, if the module is loaded."""
    found = sys.modules.get(module)
    return _within(_module_namespace(found), name) if _is_module(found) else None


def stored_class(name: str) -> type:
    """The class that a stored value names as ``module:qualname``. Raises Unfit."""
    module, _, qualname = name.partition(":")
    known = _known.get(name)
    if known is not None:
        kind: type = known[2]
        if sys.modules.get(module) is known[0] and id(known[1].get(qualname)) == id(kind):
            return kind
    if not qualname:
        raise Unfit("that is no name of a class")
    loaded = False
    for found in _modules(module):
        loaded = True
        names = _module_namespace(found)
        made = _within(names, qualname)
        if made is not None:
            _known[name] = (found, names, made)
            return made
    if module == _EVENTS:
        return _event_class(qualname)
    if module in _MAIN:
        return _of_another_program(qualname)
    if not loaded:
        raise Unfit(
            f"the module {module!r} is not loaded here; if it is yours, workflow_runtime.allow({module!r}) loads it"
        )
    raise Unfit(f"the module {module!r} has no class {qualname!r} any more")


def _modules(name: str) -> Iterator[ModuleType]:
    """The loaded modules that ``name`` may mean: itself, and the program that runs here if that is its real name."""
    found = sys.modules.get(name) or _allowed.get(name)
    if _is_module(found):
        yield found
    if name not in _MAIN:
        main = sys.modules.get("__main__")
        if _is_module(main) and _is_real_name(name, _module_namespace(main)):
            yield main
    elif name == "__mp_main__":
        main = sys.modules.get("__main__")
        if _is_module(main):
            yield main


def _is_module(found: Any) -> TypeGuard[ModuleType]:
    return has(type(found), ModuleType)


def _is_real_name(name: str, main: Mapping[str, Any]) -> bool:
    """Whether the running program is the module ``name``: by ``python -m``, or by its file."""
    spec: Any = main.get("__spec__")
    if type(spec).__name__ == "ModuleSpec" and name == spec.name:
        return True
    file = main.get("__file__")
    if not isinstance(file, str):
        return False
    parts = file.replace("\\", "/").removesuffix(".py").split("/")
    wanted = name.split(".")
    return parts[-len(wanted) :] == wanted


def _of_another_program(qualname: str) -> type:
    """A class that was stored by a program of its own, which here is a module that was allowed or has workflows."""
    found: dict[int, type] = {}
    for module in (*_allowed, *_declared):
        kind = class_of(module, qualname)
        if kind is not None:
            found[id(kind)] = kind
    if len(found) == 1:
        return next(iter(found.values()))
    why = "several modules have one" if found else "this program has none"
    raise Unfit(
        f"it was stored by a program that had the class {qualname!r} itself, and {why};"
        " workflow_runtime.allow(...) the module of that program"
    )


def _within(names: Mapping[str, Any], qualname: str) -> type | None:
    whole = names.get(qualname)  # a generic model's name has dots of its own
    if _is_class(whole):
        return whole
    found: Any = None
    for part in qualname.split("."):
        found = names.get(part)
        if not _is_class(found):
            return None
        names = namespace(found)
    kind: type = found
    return kind


def _is_class(found: Any) -> bool:
    return has(type(found), type)


def _event_class(qualname: str) -> type:
    from .executor_events import EXECUTOR_EVENTS

    kind = EXECUTOR_EVENTS.get(qualname.removesuffix("Event")) if qualname.endswith("Event") else None
    if kind is None:
        raise Unfit(f"the module {_EVENTS!r} has no class {qualname!r}")
    return kind
