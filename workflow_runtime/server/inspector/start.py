"""The page of a workflow: what it is, its steps as a picture, and a form that starts a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import htpy as h
from markupsafe import Markup

from ... import Workflow
from ...view.clean import clean
from ...view.drawing.svg import svg
from ...view.graph import graph
from ...view.tree import View
from .forms import Filled, fields
from .load import Visit
from .safety import CSRF_FIELD
from .words import kept, name_of

__all__ = ["input_form", "start"]


def start(
    visit: Visit, workflow: Workflow, schema: dict[str, Any] | None, filled: Filled | None = None
) -> Iterable[Any]:
    name = name_of(workflow.name or workflow.id)
    picture = graph(View(workflow.name, workflow.outline()), 0.0)
    return [
        h.h1[name],
        h.p[clean(workflow.description)] if workflow.description else None,
        h.div(".columns")[
            h.section(".panel", aria_labelledby="start-title")[
                h.h2("#start-title")["Start a run"], input_form(visit, workflow, schema, filled)
            ],
            h.section(".panel", aria_labelledby="graph-title")[
                h.h2("#graph-title")["Steps"],
                h.div(".graph", tabindex="0", role="region", aria_label=f"The steps of {name}")[
                    Markup(svg(name, picture.parts, {}, link=lambda _: None))
                ]
                if picture.parts
                else h.p(".dim")["It is one function: its steps are known only as it runs."],
            ],
        ],
    ]


def input_form(visit: Visit, workflow: Workflow, schema: dict[str, Any] | None, filled: Filled | None) -> h.Element:
    address = visit.links.workflow(workflow.id)
    typed = filled.raw if filled else {}
    body = (
        list(fields(schema, filled, name="/input", prefix="in", label="Input"))
        if schema is not None
        else h.div(".field")[
            h.label(for_="in")["Input"],
            h.textarea("#in", name="text", rows="5", autofocus=True)[kept("\n".join(typed.get("text", [])))],
            h.label(".inline")[
                h.input(type="checkbox", name="is_json", value="1", checked=bool(typed.get("is_json"))), " it is JSON"
            ],
        ]
    )
    error = filled.errors.get("") if filled else None
    return h.form("#start", method="post", action=address, hx_post=address, hx_swap="outerHTML")[
        h.input(type="hidden", name=CSRF_FIELD, value=visit.token),
        h.p(".problem", role="alert")[clean(error)] if error else None,
        body,
        h.div(".field")[
            h.label(for_="in-session")["Session ", h.span(".dim")["(optional)"]],
            h.input(
                "#in-session",
                name="session_id",
                value="".join(typed.get("session_id", [])),
                maxlength="200",
                autocomplete="off",
                placeholder="a new one",
            ),
        ],
        h.div(".actions")[h.button(".primary", type="submit")["Start"]],
    ]
