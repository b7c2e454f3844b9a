"""The databases that are installed, by class: ``from workflow_runtime.backends import SqliteDb``.

A class is loaded when it is first asked for, so that nobody pays for the driver of another. ``InMemoryDb`` needs none
and is in ``workflow_runtime`` itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .model.errors import BuildError
from .storage.registry import load_backend

if TYPE_CHECKING:
    # The alias exports it: in __all__ a star import would load its driver, which not everybody has.
    from workflow_runtime_postgres import PostgresDb as PostgresDb  # noqa: PLC0414
    from workflow_runtime_sqlite import SqliteDb

__all__ = ["SqliteDb"]

_SCHEMES = {"SqliteDb": "sqlite", "PostgresDb": "postgres"}
_EXTRAS = {"SqliteDb": "workflow-runtime", "PostgresDb": "workflow-runtime[postgres]"}

if not TYPE_CHECKING:  # to a type checker a module with __getattr__ has every name, also misspelt ones

    def __getattr__(name: str) -> Any:
        if name not in _SCHEMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}; databases: {', '.join(_SCHEMES)}")
        try:
            found = load_backend(_SCHEMES[name])
        except (BuildError, ImportError) as error:
            raise ImportError(f"{name}: {error}; for this one: pip install '{_EXTRAS[name]}'") from error
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_SCHEMES})
