"""A question of a paused run as a form, and the answer that was given in it. What may be answered is said by the
requirement's own JSON Schema; a strict check of the answer is the requirement's, too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import htpy as h

from ...model.text import read_json
from ...view.clean import clean
from ...view.tree import as_text
from .forms import Filled, fields, read
from .load import Visit
from .safety import CSRF_FIELD
from .words import kept, key_of, name_of, value, when

__all__ = ["answer_of", "question"]

_OWN = ("confirmed", "rejection_feedback", "edited_output", "executor_requirements", "decision")


def question(visit: Visit, run_id: str, item: Any, said: str, filled: Filled | None = None) -> h.Element:
    """The form. ``filled`` is what was sent before and did not fit."""
    schema = item.schema()
    parts = schema.get("properties", {})
    key = key_of(item.id)
    address = visit.links.run(run_id, "answer")
    top = filled.errors.get("") if filled else None
    return h.form(
        f"#q-{key}.card.question", method="post", action=address, hx_post=address, hx_swap="outerHTML",
        aria_labelledby=f"qt-{key}",
    )[
        h.input(type="hidden", name=CSRF_FIELD, value=visit.token),
        h.input(type="hidden", name="requirement", value=item.id),
        h.p(".ask", id=f"qt-{key}")[clean(said)[:2000]],
        h.p(".dim")[
            name_of(item.step_name or item.path), " · ", when(item.created_at),
            [" · until ", when(item.timeout_at.timestamp())] if item.timeout_at else None,
        ],
        h.p(".problem", role="alert")[clean(top)] if top else None,
        _context(item),
        _fields(item, schema, filled, f"q{key}"),
        _edit(item, parts, key, filled),
        _buttons(parts, filled),
    ]  # fmt: skip


def _fields(item: Any, schema: Mapping[str, Any], filled: Filled | None, prefix: str) -> list[Any]:
    """The fields; a form that is all there is to answer needs no frame of its own."""
    form = _own_form(item, schema)
    parts = form["properties"]
    if list(parts) == ["user_input"]:
        own = {**parts["user_input"], "$defs": form["$defs"]}
        return list(fields(own, filled, name="/user_input", prefix=prefix))
    return list(fields(form, filled, prefix=prefix))


def _own_form(item: Any, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the answer that has fields."""
    parts = {name: part for name, part in schema.get("properties", {}).items() if name not in _OWN}
    wanted = list(parts)
    if "selected_choices" in parts and parts["selected_choices"].get("maxItems") == 1:
        parts["selected_choices"] = {"enum": parts["selected_choices"]["items"]["enum"], "title": "Choice"}
    elif "selected_choices" in parts:
        parts["selected_choices"] = {**parts["selected_choices"], "title": "Choices"}
    if "user_input" in parts and "properties" not in parts["user_input"] and "$ref" not in parts["user_input"]:
        parts["user_input"] = {"title": "Values", **parts["user_input"]}
    for index, asked in enumerate(_executor_items(schema)):
        parts[f"tool-{index}"] = {"title": _tool(item, index), **asked[1]}
        wanted.append(f"tool-{index}")
    return {"type": "object", "properties": parts, "required": wanted, "$defs": schema.get("$defs", {})}


def _executor_items(schema: Mapping[str, Any]) -> list[tuple[str, dict[str, Any], str]]:
    """(id, schema of the answer, the answer's field) for each question of an agent's tools."""
    found = []
    for asked in schema.get("properties", {}).get("executor_requirements", {}).get("items", {}).get("anyOf", ()):
        parts = asked["properties"]
        if "confirmation" in parts:
            found.append((parts["id"]["const"], {"type": "boolean"}, "confirmation"))
        else:
            (need, wanted), *_ = asked["anyOf"][0]["properties"].items()
            found.append((parts["id"]["const"], {} if "not" in wanted else wanted, need))
    return found


def _tool(item: Any, index: int) -> str:
    asked = (item.executor_requirements or [])[index]
    tool = asked.get("tool_execution")
    tool = tool if isinstance(tool, dict) else asked
    name = tool.get("tool_name") or "a tool"
    given = tool.get("tool_args")
    return f"{name}({json.dumps(given, ensure_ascii=False, default=str)})" if given else str(name)


def _context(item: Any) -> Any:
    """What the question is about: the output to review, or what the step would get."""
    if getattr(item, "step_output", None) is not None:
        return value(item.reviewed_content, "Output to review", 8000)
    given = getattr(item, "step_input", None)
    if given is not None and given.previous_step_content is not None:
        return h.details[h.summary["What came before"], value(given.previous_step_content, "What came before", 8000)]
    return None


def _edit(item: Any, parts: Mapping[str, Any], key: str, filled: Filled | None) -> h.Element | None:
    if "edited_output" not in parts:
        return None
    typed = filled.raw.get("edited", [""])[-1] if filled else as_text(_output(item))
    error = filled.errors.get("edited") if filled else None
    return h.details(open=filled is not None)[
        h.summary["Change the output"],
        h.div(".field")[
            h.label(for_=f"edit-{key}")["Output" if isinstance(_output(item), str) else "Output (JSON)"],
            h.textarea(id=f"edit-{key}", name="edited", rows="6", class_="code")[kept(typed)],
            h.p(".problem")[error] if error else None,
        ],
    ]


def _output(item: Any) -> Any:
    return item.reviewed_content


def _buttons(parts: Mapping[str, Any], filled: Filled | None) -> h.Element:
    if "decision" in parts:
        return h.div(".actions")[
            h.button(".primary", name="do", value="retry")["Try again"],
            h.button(name="do", value="skip")["Go on without it"],
        ]
    yes = "Send" if any(name not in _OWN for name in parts) or "confirmed" not in parts else "Approve"
    return h.div(".actions")[
        h.button(".primary", name="do", value="yes")[yes],
        h.button(".danger", name="do", value="no", formnovalidate=True)["Reject"] if "confirmed" in parts else None,
        h.textarea(  # Enter in it sends nothing: who explains a rejection must not approve by it
            name="feedback",
            rows="1",
            aria_label="Why, if you reject it (optional)",
            placeholder="Why, if you reject it",
        )[kept(filled.raw.get("feedback", [""])[-1]) if filled else ""]
        if "rejection_feedback" in parts
        else None,
    ]


def answer_of(item: Any, form: Mapping[str, Sequence[str]]) -> tuple[dict[str, Any], Filled]:
    """The plain answer (see ``StepRequirement.answer``) that was given, and the form with its errors."""
    schema = item.schema()
    parts = schema.get("properties", {})
    do = form.get("do", [""])[-1]
    if "decision" in parts:
        return {"decision": do}, Filled(None, {}, {key: list(found) for key, found in form.items()})
    if do == "no" and "confirmed" in parts:
        answer: dict[str, Any] = {"confirmed": False}
        if note := form.get("feedback", [""])[-1].strip():
            answer["rejection_feedback"] = note
        return answer, Filled(None, {}, {key: list(found) for key, found in form.items()})
    filled = read(_own_form(item, schema), form)
    answer = {name: found for name, found in filled.value.items() if not name.startswith("tool-")}
    if "selected_choices" in answer and not isinstance(answer["selected_choices"], list):
        answer["selected_choices"] = [answer["selected_choices"]]
    if "executor_requirements" in parts:
        answer["executor_requirements"] = [
            {"id": ident, need: filled.value.get(f"tool-{index}")}
            for index, (ident, _, need) in enumerate(_executor_items(schema))
        ]
    if "confirmed" in schema.get("required", ()):
        answer["confirmed"] = True
    _edited(item, parts, form, answer, filled)
    return answer, filled


def _edited(
    item: Any, parts: Mapping[str, Any], form: Mapping[str, Sequence[str]], answer: dict[str, Any], filled: Filled
) -> None:
    """The output as it was changed, if it was."""
    if "edited_output" not in parts or "edited" not in form:
        return
    typed, known = form["edited"][-1].replace("\r\n", "\n"), _output(item)
    if typed == as_text(known).replace("\r\n", "\n"):
        return
    if isinstance(known, str) or known is None:
        answer["edited_output"] = typed
        return
    try:
        answer["edited_output"] = read_json(typed)
    except ValueError:
        filled.errors["edited"] = "This is not JSON"
