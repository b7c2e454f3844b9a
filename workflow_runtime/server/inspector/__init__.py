"""The inspector: server-rendered pages for people who would rather look than read.

From the inside out: ``words`` and ``forms`` are small pieces of HTML; ``home``, ``start``, ``run``, ``step`` and ``log`` are
pages and their parts, each a pure function of what ``load`` read from the Service; ``live`` sends the parts of a run's page
that changed as server-sent events; ``actions`` takes what a person posts; ``safety`` holds headers and the CSRF token;
``routes`` puts them together. The scripts are htmx, its SSE extension (``static/LICENSE.htmx``) and ``static/inspector.js``.
"""

from __future__ import annotations

from .routes import inspector_routes

__all__ = ["inspector_routes"]
