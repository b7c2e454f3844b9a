"""From a URL to a database: ``sqlite:///runs.db`` finds the backend that is installed for ``sqlite``."""

from __future__ import annotations

from functools import cache
from typing import Any

from ..model.checks import nearest
from ..model.errors import BuildError
from .base import CONTRACT, BaseDb

__all__ = ["GROUP", "backend_names", "load_backend", "open_url", "refuse_other_contract"]

GROUP = "workflow_runtime.backends"


def _installed() -> Any:
    from importlib.metadata import entry_points  # costs a seventh of importing Workflow without it

    return entry_points(group=GROUP)


def backend_names() -> list[str]:
    """The URL schemes that can be used here, sorted."""
    return sorted({point.name for point in _installed()})


@cache
def load_backend(scheme: str) -> Any:
    """The class behind ``scheme``, imported now. BuildError, with the installed ones, if there is none."""
    for point in _installed():
        if point.name == scheme:
            return point.load()
    known = ", ".join(f"{name}://" for name in backend_names()) or "none"
    hint = nearest(scheme, backend_names()) or ". Install one, or pass a BaseDb object"
    raise BuildError(f"no database backend for {scheme!r}; installed: {known}{hint}")


def open_url(url: str) -> BaseDb:
    """A database for ``url``; nothing is connected yet."""
    scheme, separator, _ = url.partition("://")
    if not separator:
        known = ", ".join(f"{name}://" for name in backend_names()) or "none"
        raise BuildError(f"db={url!r} is no database URL; write for example sqlite:///{url} (installed: {known})")
    database: BaseDb = load_backend(scheme).from_url(url)
    refuse_other_contract(database)
    return database


def refuse_other_contract(db: BaseDb) -> None:
    """BuildError when ``db`` was written for another version of the database contract."""
    kind, version = type(db), db.contract
    if version == CONTRACT:
        return
    where = f"db: {kind.__module__}.{kind.__qualname__} keeps version {version} of the database contract"
    if version > CONTRACT:
        raise BuildError(f"{where}, and this workflow-runtime knows version {CONTRACT}; upgrade workflow-runtime")
    raise BuildError(
        f"{where}, and this workflow-runtime needs version {CONTRACT}. Upgrade the package that the class is from. If it is"
        " yours, see the docstring of workflow_runtime.storage.base for what a database must do, run"
        f" workflow_runtime.testing.DbContract against it, and set `contract = {CONTRACT}` in the class"
    )
