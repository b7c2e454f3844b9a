"""The pydantic model of a question, found again by its name where the step that asked does not wait. (D8)

A model may refuse what its JSON Schema lets through. Where the step waits, its model is at hand; elsewhere it is known by
the name that is stored with the question. Such a name is only ever looked up among the modules that are loaded: who has the
workflow has them, and nothing that is stored can make a process import a module.
"""

from __future__ import annotations

from typing import Any

from ...model.classes import class_of, has
from ...model.text import builtins

__all__ = ["find_model", "model_name"]

_MAIN = ("__main__", "__mp_main__")  # another program in another process


def model_name(schema: Any) -> str | None:
    """``module:qualname`` of a model that stands at the top of a module, or in a class there; None for all others."""
    if not isinstance(schema, type) or not hasattr(schema, "model_json_schema"):
        return None
    name = f"{schema.__module__}:{schema.__qualname__}"
    return name if _loaded(name) is schema else None


def find_model(name: str | None, described: dict[str, Any] | None) -> Any:
    """The loaded model of this name, if ``described`` is its JSON Schema still; else None: a model that was changed since
    might refuse every answer that the form takes."""
    found = _loaded(name) if name is not None and described is not None else None
    if found is None or not has(found, class_of("pydantic.main", "BaseModel")):
        return None
    try:
        model: Any = found
        schema = model.model_json_schema()
    except Exception:  # whatever a class says that cannot be described now: it is not the one that was
        return None
    return found if builtins(schema) == builtins(described) else None


def _loaded(name: str) -> type | None:
    module, _, qualname = name.partition(":")
    return class_of(module, qualname) if module not in _MAIN else None
