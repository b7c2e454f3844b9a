"""The fields of a form that a person fills in, from any of the ways to declare them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import msgspec

from .json_schema import problems
from .keywords import Suggesting
from .text import builtins

__all__ = ["UserInputField", "fields_schema", "form_fields"]

_JSON_TYPES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "list": "array",
    "dict": "object",
}
_FIELD_TYPES = {name: field_type for field_type, name in _JSON_TYPES.items()}


class UserInputField(msgspec.Struct, metaclass=Suggesting, omit_defaults=True):
    """One value that a person fills in.

    Attributes:
        field_type: One of str, int, float, bool, list, dict.
        value: The default, until a person has filled in the form; None for no default.
        required: Whether a field without a default must be filled in.
        allowed_values: The allowed values; None: any of the type.
    """

    name: str
    field_type: str = "str"
    description: str | None = None
    value: Any = None
    required: bool = True
    allowed_values: list[Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Every field; ``allowed_values`` if there are any."""
        names = ("name", "field_type", "description", "value", "required")
        data: dict[str, Any] = builtins({name: getattr(self, name) for name in names})
        return {**data, **builtins(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The field that ``to_dict`` described. ValueError: it has no name, or a part of the wrong type."""
        try:
            return msgspec.convert(dict(data), cls)
        except msgspec.ValidationError as error:
            raise ValueError(f"that is no UserInputField: {error}") from None

    def problem(self, value: Any) -> str | None:
        """Why ``value`` does not fit this field, as one sentence; None if it fits."""
        if value is None and self.value is not None:
            return None
        schema = {"properties": {self.name: self.json_schema()}}
        found = problems({self.name: builtins(value)}, schema)
        return found[0] if found else None

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of the value. A field that is not required may be null."""
        schema: dict[str, Any] = {}
        name = _JSON_TYPES.get(self.field_type)
        if name is not None:
            schema["type"] = name if self.required else [name, "null"]
        if self.description:
            schema["description"] = self.description
        if self.allowed_values is not None:
            values = builtins(self.allowed_values)
            schema["enum"] = values if self.required or None in values else [*values, None]
        elif name == "string" and self.required:
            schema["minLength"] = 1
        if self.value is not None:
            schema["default"] = builtins(self.value)
        return schema


def fields_schema(fields: Sequence[UserInputField]) -> dict[str, Any]:
    """The JSON Schema of an object of ``fields``: those without a default are required, others are unknown."""
    return {
        "type": "object",
        "properties": {field.name: field.json_schema() for field in fields},
        "required": [field.name for field in fields if field.required and field.value is None],
        "additionalProperties": False,
    }


def form_fields(schema: Any) -> tuple[list[UserInputField], dict[str, Any] | None]:
    """A user-input schema (fields, dicts or a pydantic model) as fields, and the model's JSON Schema if it was one.

    Raises:
        ValueError: It is neither, or has no fields. An item is not a field: it has no name, or a part of the wrong type.
    """
    if schema is None:
        return [], None
    if hasattr(schema, "model_json_schema"):
        described: dict[str, Any] = schema.model_json_schema()
        whole = _meant(described, described)
        if whole.get("type", "object") != "object":
            raise ValueError(f"{schema.__name__} is one {whole['type']} and has no fields; make it a field of a model")
        return _model_fields(whole, described), described
    if isinstance(schema, (str, bytes)) or not isinstance(schema, Sequence):
        raise ValueError(f"{schema!r} must be a pydantic model or a list of UserInputField")
    fields = [_field(item, schema) for item in schema]
    names = [field.name for field in fields]
    if len(set(names)) < len(names):
        raise ValueError(f"two fields have one name: {', '.join(names)}")
    return [msgspec.structs.replace(field) for field in fields], None


def _field(item: Any, schema: Any) -> UserInputField:
    if isinstance(item, UserInputField):
        return item
    if not isinstance(item, Mapping):
        raise ValueError(f"{item!r} in {schema!r} must be a UserInputField")
    try:
        return msgspec.convert(item, UserInputField)
    except msgspec.ValidationError as error:
        raise ValueError(f"{item!r} is no UserInputField: {error}") from None


def _model_fields(schema: dict[str, Any], root: dict[str, Any]) -> list[UserInputField]:
    required = set(schema.get("required", ()))
    fields = []
    for name, part in schema.get("properties", {}).items():
        meant = _meant(part, root)
        fields.append(
            UserInputField(
                name=name,
                field_type=_FIELD_TYPES.get(meant.get("type", ""), "str" if "enum" in meant else "dict"),
                description=part.get("description", meant.get("description")),
                value=part.get("default"),
                required=name in required,
                allowed_values=meant.get("enum"),
            )
        )
    return fields


def _meant(part: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """The schema of a reference, or of an optional value."""
    if "$ref" in part:
        found: dict[str, Any] = root.get("$defs", {}).get(part["$ref"].rpartition("/")[2], {})
        return found
    options = [option for option in part.get("anyOf", ()) if option.get("type") != "null"]
    return _meant(options[0], root) if len(options) == 1 else part
