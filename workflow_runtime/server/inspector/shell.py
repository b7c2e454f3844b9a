"""What is around every page: head, bar, footer; and the page of an error."""

from __future__ import annotations

import json
from typing import Any

import htpy as h

from ..http.call import VERSION
from .load import Visit

__all__ = ["error_body", "page"]

_HTMX = json.dumps(
    {
        "includeIndicatorCSS": False,
        "history": "reload",
        "defaultTimeout": 20_000,
        "morphIgnore": ["data-htmx-powered", "open", "data-away"],  # what a person has opened stays open
        "sse": {"reconnectMaxDelay": 5_000},
    }
)


def page(visit: Visit, title: str, *content: Any, trail: Any = None) -> str:
    """A whole document."""
    links, static = visit.links, visit.versions
    document = h.html(lang="en")[
        h.head[
            h.meta(charset="utf-8"),
            h.meta(name="viewport", content="width=device-width, initial-scale=1"),
            h.meta(name="color-scheme", content="light dark"),
            h.meta(name="htmx-config", content=_HTMX),
            h.title[title],
            h.link(rel="icon", href=links.static("icon.svg", static["icon.svg"])),
            h.link(rel="stylesheet", href=links.static("inspector.css", static["inspector.css"])),
            h.script(src=links.static("inspector.js", static["inspector.js"])),
            [h.script(src=links.static(name, static[name]), defer=True) for name in ("htmx.min.js", "hx-sse.min.js")],
        ],
        h.body[
            h.a(".skip", href="#main")["Skip to the content"],
            h.header(".bar")[
                h.nav(aria_label="Where you are")[
                    h.a(".home", href=links.home)["Runs"], h.span(".trail")[trail] if trail is not None else None
                ],
                h.button("#theme", type="button", aria_label="Colours: as the system", hidden=True)["Auto"],
            ],
            h.p("#connection", role="status", aria_live="polite"),
            h.main("#main", tabindex="-1")[content],
            h.footer[f"workflow_runtime {VERSION}"],
        ],
    ]
    return f"{document}"


def error_body(status: int, message: str, home: str) -> h.Element:
    said = {404: "Not found", 403: "Not allowed", 401: "Who are you?", 409: "Too late", 503: "The database is away"}
    return h.section(".empty", role="alert")[
        h.h1[said.get(status, "That did not work")],
        h.p[message],
        h.p[h.a(".button", href=home)["All runs"]],
    ]
