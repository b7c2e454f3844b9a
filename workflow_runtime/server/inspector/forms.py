"""A form from a JSON Schema, and the value from what was filled in. Pure: what the value means is checked by its owner.

Fields are named by their place in the value (``/user_input/seats``). What a browser can check, it is told to check; the
server checks all of it again. What has no field of its own (objects of any shape) is typed as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import htpy as h

from ...model.text import read_json
from ...view.clean import clean, one_line
from .words import kept

__all__ = ["Filled", "fields", "read"]

_FORMATS = {"date": "date", "email": "email", "uri": "url", "time": "time"}
_MOST_CHOICES = 12  # more of them are a list to open
_DEEPEST = 6


class Filled(NamedTuple):
    """``value`` as far as it could be read, ``errors`` by field name, ``raw`` what was typed, to show it again."""

    value: Any
    errors: dict[str, str]
    raw: dict[str, list[str]]


class _Missing:
    pass


MISSING: Any = _Missing()


# -- schemas -----------------------------------------------------------------------------------------------------------


def _resolved(schema: Any, root: Mapping[str, Any]) -> dict[str, Any]:
    """``schema`` without references, and what may be null as what it otherwise is."""
    for _ in range(_DEEPEST):
        if not isinstance(schema, Mapping):
            return {}
        if "$ref" in schema:
            found: Any = root
            for part in str(schema["$ref"]).lstrip("#/").split("/"):
                found = found.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, Mapping) else {}
            schema = {**found, **{key: item for key, item in schema.items() if key != "$ref"}}
        elif len(choices := [item for item in schema.get("anyOf", ()) if item != {"type": "null"}]) == 1:
            schema = {"nullable": True, **{k: v for k, v in schema.items() if k != "anyOf"}, **choices[0]}
        elif len(every := schema.get("allOf", ())) == 1:
            schema = {**{k: v for k, v in schema.items() if k != "allOf"}, **every[0]}
        else:
            break
    kinds = schema.get("type")
    if isinstance(kinds, list):
        others = [kind for kind in kinds if kind != "null"]
        return {**schema, "nullable": "null" in kinds, "type": others[0] if len(others) == 1 else None}
    return dict(schema)


def _kind(schema: Mapping[str, Any], depth: int) -> str:
    """Which widget: object, choice, choices, boolean, number, text, lines or json."""
    kind = schema.get("type")
    if "const" in schema or "enum" in schema:
        return "choice"
    if kind == "object" and isinstance(schema.get("properties"), Mapping) and depth < _DEEPEST:
        return "object"
    if kind == "array":
        return "array"
    if kind in ("integer", "number"):
        return "number"
    return kind if kind in ("boolean", "string") else "json"


def _items(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    return _resolved(schema.get("items", {}), root)


def _array_kind(items: Mapping[str, Any]) -> str:
    if "enum" in items:
        return "choices"
    return "lines" if items.get("type") in ("string", "integer", "number") else "json"


def _offered(schema: Mapping[str, Any]) -> list[Any]:
    found = [schema["const"]] if "const" in schema else list(schema.get("enum", ()))
    return [item for item in found if item is not None]


def _label(key: str, schema: Any) -> str:
    """The field's own title, or its name in words; a model's title would say what it is, not what it is for."""
    if isinstance(schema, Mapping) and isinstance(schema.get("title"), str):
        return str(schema["title"])
    return key.replace("_", " ").capitalize() if key.isidentifier() else key


# -- drawing -----------------------------------------------------------------------------------------------------------


def fields(
    schema: Mapping[str, Any], filled: Filled | None = None, *, name: str = "", prefix: str = "f", label: str = ""
) -> Iterator[Any]:
    """The fields for a value of ``schema``. ``prefix`` makes their ids the page's only ones."""
    return _Drawer(schema, filled, prefix).draw(_resolved(schema, schema), name, label, required=True, depth=0)


class _Drawer:
    def __init__(self, root: Mapping[str, Any], filled: Filled | None, prefix: str) -> None:
        self.root = root
        self.filled = filled
        self.prefix = prefix
        self.count = 0

    def draw(
        self, schema: dict[str, Any], name: str, label: str, *, required: bool, depth: int, default: Any = MISSING
    ) -> Iterator[Any]:
        default = schema.get("default", default)
        kind = _kind(schema, depth)
        if kind == "object":
            yield from self.object(schema, name, label, depth, default)
            return
        self.count += 1
        ident = f"{self.prefix}-{self.count}"
        wanted = required and not schema.get("nullable")
        title = one_line(label or schema.get("title") or "Value")
        said = schema.get("description")
        error = self.filled.errors.get(name) if self.filled else None
        about: dict[str, Any] = {"name": name, "id": ident}
        notes = [part for part, there in ((f"{ident}-d", said), (f"{ident}-e", error)) if there]
        if notes:
            about["aria_describedby"] = " ".join(notes)
        if error:
            about["aria_invalid"] = "true"
        items = _items(schema, self.root) if kind == "array" else {}
        kind = _array_kind(items) if kind == "array" else kind
        typed = self.typed(name)
        note = [
            h.p(".hint", id=f"{ident}-d")[clean(str(said))] if said else None,
            h.p(".problem", id=f"{ident}-e")[clean(error)] if error else None,
        ]
        if kind == "boolean" or kind == "choices" or (kind == "choice" and len(_offered(schema)) <= 4):
            yield self.group(kind, schema, items, about, title, note, wanted, typed, default)
            return
        mark = None if wanted else h.span(".dim")[" (optional)"]
        yield h.div(".field")[
            h.label(for_=ident)[title, mark],
            self.widget(kind, schema, about, wanted, typed, default),
            note,
        ]

    def object(self, schema: dict[str, Any], name: str, label: str, depth: int, default: Any) -> Iterator[Any]:
        required = schema.get("required", ())
        known = default if isinstance(default, Mapping) else {}
        inner = [
            part
            for key, sub in schema["properties"].items()
            for part in self.draw(
                _resolved(sub, self.root),
                f"{name}/{_escaped(key)}",
                _label(key, sub),
                required=key in required,
                depth=depth + 1,
                default=known.get(key, MISSING),
            )
        ]
        if depth == 0:
            yield from inner
            return
        said = schema.get("description")
        yield h.fieldset[h.legend[one_line(label)], h.p(".hint")[clean(str(said))] if said else None, inner]

    def group(
        self,
        kind: str,
        schema: dict[str, Any],
        items: dict[str, Any],
        about: dict[str, Any],
        title: str,
        note: list[Any],
        wanted: bool,
        typed: list[str] | None,
        default: Any,
    ) -> h.Element:
        """Buttons to choose one or several of a few."""
        name, ident = about["name"], about["id"]
        if kind == "boolean":
            choices: list[tuple[str, str]] = [("true", "Yes"), ("false", "No")]
            on = typed if typed is not None else ([_json(default)] if isinstance(default, bool) else [])
            button = "radio"
        elif kind == "choices":
            choices = [(_json(item), one_line(item)) for item in _offered(items)]
            on = typed if typed is not None else [_json(item) for item in default] if _is_list(default) else []
            button = "checkbox"
        else:
            choices = [(_json(item), one_line(item)) for item in _offered(schema)]
            on = typed if typed is not None else ([_json(default)] if default is not MISSING else [])
            button = "radio"
        if button == "radio" and not wanted:
            choices.append(("", "No answer"))
            on = on or [""]
        mark = None if wanted else h.span(".dim")[" (optional)"]
        more = {key: about[key] for key in ("aria_describedby",) if key in about}
        return h.fieldset(".choices", id=ident, **more)[
            h.legend[title, mark],
            [
                h.label[
                    h.input(
                        type=button,
                        name=name,
                        value=value,
                        checked=value in on,
                        required=wanted and button == "radio",
                    ),
                    " ",
                    shown,
                ]
                for value, shown in choices
            ],
            note,
        ]

    def widget(
        self,
        kind: str,
        schema: dict[str, Any],
        about: dict[str, Any],
        wanted: bool,
        typed: list[str] | None,
        default: Any,
    ) -> h.Renderable:
        shown: str | None = None  # the default
        if typed is not None or default is MISSING or default is None:
            shown = typed[-1] if typed else ""
        if kind == "choice":
            on = shown if shown is not None else _json(default)
            return h.select(**about, required=wanted)[
                h.option(value="")["Choose…"],
                [h.option(value=_json(i), selected=_json(i) == on)[one_line(i)] for i in _offered(schema)],
            ]
        if kind == "number":
            whole = schema.get("type") == "integer"
            step = schema.get("multipleOf", 1 if whole else "any")
            return h.input(
                **about,
                type="number",
                inputmode="numeric" if whole else "decimal",
                step=str(step),
                min=_bound(schema, "minimum", "exclusiveMinimum", whole, 1),
                max=_bound(schema, "maximum", "exclusiveMaximum", whole, -1),
                required=wanted,
                value=shown if shown is not None else str(default),
            )
        if kind == "string":
            limits = {
                "minlength": schema.get("minLength"),
                "maxlength": schema.get("maxLength"),
                "required": wanted and schema.get("minLength", 0) > 0,
            }
            given = shown if shown is not None else str(default)
            known = _FORMATS.get(str(schema.get("format")))
            if known or schema.get("pattern") or schema.get("maxLength", 1000) <= 200:
                return h.input(
                    **about,
                    **limits,
                    type=known or "text",
                    pattern=schema.get("pattern"),
                    value=given,
                    autocomplete="off",
                )
            return h.textarea(**about, **limits, rows="2")[kept(given)]
        if shown is None:
            lines = list(default) if kind == "lines" and isinstance(default, (list, tuple)) else None
            shown = _pretty(default) if lines is None else "\n".join(map(str, lines))
        hint = "one per line" if kind == "lines" else "JSON"
        return h.textarea(**about, rows="3", placeholder=hint, required=wanted and kind == "json", class_="code")[
            kept(shown)
        ]

    def typed(self, name: str) -> list[str] | None:
        """What was typed into the field before; None where the form is new."""
        return None if self.filled is None else self.filled.raw.get(name, [])


def _bound(schema: Mapping[str, Any], name: str, exclusive: str, whole: bool, way: int) -> str | None:
    found = schema.get(name)
    if found is None and exclusive in schema:
        found = schema[exclusive] + way if whole else schema[exclusive]
    return None if found is None else str(found)


# -- reading -----------------------------------------------------------------------------------------------------------


def read(schema: Mapping[str, Any], form: Mapping[str, Sequence[str]], *, name: str = "") -> Filled:
    """The value that was filled in. ``form`` maps field names to what came for them; unknown names are passed over."""
    errors: dict[str, str] = {}
    value = _read(_resolved(schema, schema), schema, form, name, errors, required=True, depth=0)
    return Filled({} if value is MISSING else value, errors, {key: list(item) for key, item in form.items()})


def _read(
    schema: dict[str, Any],
    root: Mapping[str, Any],
    form: Mapping[str, Sequence[str]],
    name: str,
    errors: dict[str, str],
    *,
    required: bool,
    depth: int,
) -> Any:
    kind = _kind(schema, depth)
    if kind == "object":
        found: dict[str, Any] = {}
        for key, sub in schema["properties"].items():
            inner = f"{name}/{_escaped(key)}"
            wanted = key in schema.get("required", ())
            value = _read(_resolved(sub, root), root, form, inner, errors, required=wanted, depth=depth + 1)
            if value is not MISSING:
                found[key] = value
        return found if found or required else MISSING
    came = form.get(name, ())
    items = _items(schema, root) if kind == "array" else {}
    kind = _array_kind(items) if kind == "array" else kind
    try:
        if kind == "choices":
            return [read_json(item) for item in came] if came or required else MISSING
        typed = came[-1].replace("\r\n", "\n") if came else ""
        if kind == "lines":
            lines = [line for line in typed.split("\n") if line.strip()]
            whole = items.get("type") in ("integer", "number")
            return [_number(line) if whole else line for line in lines] if lines or required else MISSING
        if typed == "" and not (kind == "string" and required and not schema.get("nullable")):
            return _left_out(schema, name, errors, required)
        if kind == "string":
            return typed
        if kind == "number":
            return _number(typed)
        return read_json(typed)
    except ValueError:
        errors[name] = "This is not a number" if kind in ("number", "lines") else "This is not JSON"
        return MISSING


def _left_out(schema: Mapping[str, Any], name: str, errors: dict[str, str], required: bool) -> Any:
    if required and schema.get("nullable"):
        return None
    if required:
        errors[name] = "This is needed"
    return MISSING


def _number(text: str) -> int | float:
    found = read_json(text.strip())
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise ValueError(text)
    return found


def _escaped(key: str) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)
