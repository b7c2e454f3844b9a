"""Workflows over HTTP: an ASGI app, a router for FastAPI, and the verbs that both call. The extra ``server``.

``service.py`` holds every verb, scoped by user and free of any framework; the routes (``http/``), the inspector and the
other protocols call only that. This room uses the package's public API, and the database contract's rows to list.
"""

from __future__ import annotations

from .app import workflow_app
from .auth import Authenticate, User
from .errors import Refused
from .limits import Limits
from .requests import StartRun
from .service import Page, RunSummary, ServedRun, Service

__all__ = [
    "Authenticate",
    "Limits",
    "Page",
    "Refused",
    "RunSummary",
    "ServedRun",
    "Service",
    "StartRun",
    "User",
    "workflow_app",
]
