"""Workflows over HTTP: an ASGI app, a router for FastAPI, and the verbs that both call. The extra ``server``.

``service.py`` holds every verb, scoped by user and free of any framework; the routes (``http/``), the inspector and the
other protocols call only that. ``guard.py`` is what every request passes first. This room uses the package's public
API, and the database contract's rows to list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..model.extras import missing

try:
    from .app import workflow_app
    from .auth import Authenticate, User
    from .errors import Refused
    from .limits import Limits
    from .requests import AnswerRun, ForkRun, StartRun
    from .rows import Page, PendingItem, RunSummary, SessionSummary
    from .served_run import ServedRun
    from .service import Service
except ModuleNotFoundError as error:
    raise missing("workflow_runtime.server", error, "server") from error

if TYPE_CHECKING:
    from .fastapi import create_router
    from .jwt import JwtAuth

__all__ = [
    "AnswerRun",
    "Authenticate",
    "ForkRun",
    "JwtAuth",
    "Limits",
    "Page",
    "PendingItem",
    "Refused",
    "RunSummary",
    "ServedRun",
    "Service",
    "SessionSummary",
    "StartRun",
    "User",
    "create_router",
    "workflow_app",
]

_LATER = {"JwtAuth": "jwt", "create_router": "fastapi"}  # FastAPI's import takes seconds, and few need tokens


def __getattr__(name: str) -> Any:
    if name in _LATER:
        from importlib import import_module

        try:
            return getattr(import_module(f".{_LATER[name]}", __name__), name)
        except ModuleNotFoundError as error:
            raise missing(name, error, "server", "fastapi" if error.name == "fastapi" else "") from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
