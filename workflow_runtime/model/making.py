"""Rebuilding values of a user's classes from their stored fields, without running code of the class.

| tag | the class must be | it is made by |
|---|---|---|
| dataclass | a dataclass | a bare object, and its fields put into its slots and its dict |
| model | a pydantic model | the same; private attributes get their defaults, calls when they are first asked for |
| struct | a msgspec.Struct | its constructor, which is msgspec's own; past ``__post_init__`` by way of a twin |
| exception | an exception | the constructor of the built-in class below it, and its fields as those of a dataclass |
| namedtuple | a named tuple | ``tuple.__new__`` |
| enum, flag | an Enum, a Flag | looking the member up; combined flags by the standard library's own rule |

So no ``__init__``, ``__new__``, ``__post_init__``, ``model_post_init``, validator, property, descriptor, ``_missing_`` or
metaclass method runs. A field that the class has lost is dropped; one that it has gained gets its default.
"""

from __future__ import annotations

import builtins
import copy
import dataclasses
import enum
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, MethodType, WrapperDescriptorType
from typing import Any, NamedTuple

import msgspec

from .classes import Damaged, PerClass, Unfit, class_of, has, is_trusted, lookup, mro, namespace

__all__ = [
    "MAKERS",
    "contents",
    "dataclass_fields",
    "field_of",
    "instance_dict",
    "make_flag",
    "make_member",
    "make_namedtuple",
    "put",
    "refuse_hooks",
    "struct_fields",
]

_ABSENT: Any = object()
_NONE: Any = dataclasses.MISSING
_BUILTIN: tuple[Any, ...] = tuple(kind for kind in vars(builtins).values() if isinstance(kind, type))
_EMPTY = (list, dict, set, frozenset, tuple, str, bytes, bytearray, int, float, bool)
_STRUCT: Any = type(msgspec.Struct)
_LATE: Any = vars(sys.modules["msgspec._core"])["Factory"]  # the type of a field's default_factory
_set_class: Any = object.__dict__["__class__"].__set__


# -- objects with fields ----------------------------------------------------------------------------------------------


def make_dataclass(kind: type, fields: Mapping[str, Any]) -> Any:
    found = _dataclasses.get(kind)
    if found is None:
        names = dataclass_fields(kind)
        if names is None:
            raise Unfit("it is no dataclass any more")
        refuse_hooks(kind)
        found = _dataclasses.put(kind, (names, all(map(_is_quiet, (lookup(kind, name) for name in names)))))
    names, are_quiet = found
    whole = _whole(kind, fields, names, _dataclass_default)
    value: Any = object.__new__(kind)
    if are_quiet:
        for name, item in whole.items():
            _set(value, name, item)
    else:
        for name, item in whole.items():
            put(value, kind, name, item)
    return value


# The classes that can be rebuilt: their fields, and whether all can be set as ``object`` sets them.
_dataclasses: PerClass[tuple[list[str], bool]] = PerClass()
_set: Any = object.__setattr__


def _is_quiet(found: Any) -> bool:
    """Whether setting an attribute runs no code of the class, given the class's entry for it: a slot, a default,
    nothing."""
    return type(found) is MemberDescriptorType or lookup(type(found), "__set__") is None


def _dataclass_default(kind: type, name: str) -> tuple[Any, Any]:
    field = lookup(kind, "__dataclass_fields__")[name]
    return field.default, field.default_factory


def dataclass_fields(kind: type) -> list[str] | None:
    """The names of the stored fields of a dataclass; None if it is not a dataclass."""
    declared = lookup(kind, "__dataclass_fields__")
    return [name for name, field in declared.items() if _is_stored(field)] if type(declared) is dict else None


def _is_stored(field: Any) -> bool:
    """Neither a ClassVar nor an InitVar."""
    return type(field) is dataclasses.Field and field._field_type is dataclasses._FIELD  # type: ignore[attr-defined]  # there is no public name


def make_model(kind: type, fields: Mapping[str, Any]) -> Any:
    found = _models.get(kind)
    if found is None:
        base = class_of("pydantic.main", "BaseModel")
        if base is None or not has(kind, base):
            raise Unfit("it is no pydantic model any more")
        refuse_hooks(kind)
        declared = _model_fields(kind)
        if type(declared) is not dict:
            raise Unfit("its fields are not known; model_rebuild() makes them so")
        config, slots = lookup(kind, "model_config"), namespace(base)
        found = _Model(
            tuple(declared),
            type(config) is dict and config.get("extra") == "allow",
            bool(lookup(kind, "__private_attributes__")),
            *(slots[f"__pydantic_{name}__"].__set__ for name in ("fields_set", "extra", "private")),
        )
        _models.put(kind, found)
    names = found.names
    value: Any = object.__new__(kind)
    own = instance_dict(value, kind)
    own.update(_whole(kind, fields, names, _model_default))
    found.set_fields_set(value, {name for name in fields if name in names})
    more = {name: item for name, item in fields.items() if name not in names} if found.is_open else None
    found.set_extra(value, more)
    private = lookup(kind, "__private_attributes__") if found.is_private else None
    found.set_private(value, _Private(private, own, _undefined()) if private else None)
    return value


class _Model(NamedTuple):
    """A model that can be rebuilt."""

    names: tuple[str, ...]
    is_open: bool
    is_private: bool
    set_fields_set: Any
    set_extra: Any
    set_private: Any


_models: PerClass[_Model] = PerClass()


def _model_fields(kind: type) -> Any:
    found = lookup(kind, "__pydantic_fields__")
    return found if type(found) is dict else lookup(kind, "model_fields")  # which it was before pydantic 2.10


def _model_default(kind: type, name: str) -> tuple[Any, Any]:
    field = _model_fields(kind)[name]
    value, factory = field.default, field.default_factory
    is_absent = value is _undefined() or value is ...
    return _NONE if is_absent else value, _NONE if factory is None else factory


def _undefined() -> Any:
    return vars(sys.modules["pydantic_core"])["PydanticUndefined"]


class _Private(dict[str, Any]):
    """The private attributes of a model; a default factory is called when the attribute is first read."""

    def __init__(self, declared: Mapping[str, Any], own: dict[str, Any], undefined: Any) -> None:
        super().__init__()
        self._own = own
        self._late: dict[str, Any] = {}
        for name, attribute in declared.items():
            factory = attribute.default_factory
            if factory is not None and not any(factory is kind for kind in _EMPTY):
                self._late[name] = attribute
            elif factory is not None:
                self[name] = factory()
            elif attribute.default is not undefined:
                self[name] = _copied(attribute.default)

    def __missing__(self, name: str) -> Any:
        attribute = self._late.pop(name)  # of any other name it is the KeyError that pydantic expects
        takes_data = getattr(attribute, "default_factory_takes_validated_data", False)
        value = self[name] = attribute.default_factory(*([{**self._own, **self}] if takes_data else []))
        return value

    def _whole(self) -> dict[str, Any]:
        for name in list(self._late):
            if name not in self:
                self[name]
        return dict(super().items())

    def items(self) -> Any:
        return self._whole().items()

    def __eq__(self, other: object) -> bool:
        return self._whole() == (other._whole() if isinstance(other, _Private) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # as of every dict

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self._whole(),)


def make_struct(kind: type, fields: Mapping[str, Any]) -> Any:
    is_checked = _structs.get(kind)
    if is_checked is None:
        if not has(kind, msgspec.Struct):
            raise Unfit("it is no msgspec.Struct any more")
        refuse_hooks(kind)
        is_checked = _structs.put(kind, lookup(kind, "__post_init__") is not None)
    whole = _whole(kind, fields, struct_fields(kind), _struct_default)
    if not is_checked or is_trusted(kind):
        return _call(kind, **whole)
    return _past_post_init(kind, whole)


_structs: PerClass[bool] = PerClass()  # those that can be rebuilt: whether they have a __post_init__


def _struct_default(kind: type, name: str) -> tuple[Any, Any]:
    names = struct_fields(kind)
    given: tuple[Any, ...] = _STRUCT.__dict__["__struct_defaults__"].__get__(kind)
    place = names.index(name) - (len(names) - len(given))  # the last ones have defaults
    value: Any = given[place] if place >= 0 else msgspec.NODEFAULT
    if type(value) is _LATE:
        return _NONE, value.factory
    return _NONE if value is msgspec.NODEFAULT else value, _NONE


_names_of: Any = _STRUCT.__dict__["__struct_fields__"].__get__
_call: Any = _STRUCT.__call__


def struct_fields(kind: type) -> tuple[str, ...]:
    names: tuple[str, ...] = _names_of(kind)
    return names


_twins: dict[tuple[Any, ...], Any] = {}


def _past_post_init(kind: type, fields: dict[str, Any]) -> Any:
    """A struct whose ``__post_init__`` does not run: an object of a class with the same fields, whose class Python then
    changes to ``kind``, if the two have the same layout. msgspec has no constructor that skips ``__post_init__``."""
    config = _STRUCT.__dict__["__struct_config__"].__get__(kind)
    names = ("frozen", "gc", "weakref", "dict", "cache_hash")
    options = {name: getattr(config, name) for name in names if hasattr(config, name)}
    key = (*fields, *options.values())
    if key not in _twins:
        _twins[key] = msgspec.defstruct("Twin", [(name, Any) for name in fields], **options)
    value = _twins[key](**fields)
    try:
        _set_class(value, kind)
    except TypeError:
        raise Unfit(f"its __post_init__ would run; {_allowing(kind)} accepts that") from None
    return value


def make_exception(kind: type, fields: Mapping[str, Any]) -> Any:
    if not has(kind, BaseException):
        raise Unfit("it is no exception any more")
    refuse_hooks(kind)
    args, own = fields.get("args"), fields.get("fields")
    if type(args) is not list or type(own) is not dict:
        raise Damaged("its fields are damaged")
    base = next(found for found in mro(kind) if any(found is one for one in _BUILTIN))
    try:
        value: Any = base.__new__(kind, *args)
        base.__init__(value, *args)
    except (TypeError, ValueError) as error:
        raise Unfit(f"it cannot be made of what was stored: {error}") from None
    for name, item in own.items():
        put(value, kind, name, item)
    return value


MAKERS: dict[str, Callable[[type, Mapping[str, Any]], Any]] = {
    "dataclass": make_dataclass,
    "exception": make_exception,
    "model": make_model,
    "struct": make_struct,
}


# -- fields -----------------------------------------------------------------------------------------------------------


def _whole(
    kind: type, fields: Mapping[str, Any], names: Iterable[str], default_of: Callable[[type, str], tuple[Any, Any]]
) -> dict[str, Any]:
    """The fields that the class has now, each with its stored value or its default (a value, or a factory of an empty
    container)."""
    try:
        return {name: fields[name] for name in names}
    except KeyError:  # the class has another one since
        pass
    whole: dict[str, Any] = {}
    for name in names:
        if name in fields:
            whole[name] = fields[name]
            continue
        default, factory = default_of(kind, name)
        if default is not _NONE:
            whole[name] = _copied(default)
        elif any(factory is kind for kind in _EMPTY):
            whole[name] = factory()
        else:
            why = "no default" if factory is _NONE else "a default that is a call"
            raise Unfit(f"its field {name!r} is newer than the value, with {why}")
    return whole


def _copied(default: Any) -> Any:
    """Each value has containers of its own."""
    kind = type(default)
    if kind is list:
        return [_copied(item) for item in default]
    if kind is dict:
        return {key: _copied(item) for key, item in default.items()}
    return copy.copy(default) if kind in (set, bytearray) else default


def refuse_hooks(kind: type) -> None:
    """Refuse classes whose instances run code when they are displayed or deleted."""
    if lookup(kind, "__del__") is not None and not is_trusted(kind):
        raise Unfit(f"its __del__ would run; {_allowing(kind)} accepts that")
    if type(lookup(kind, "__getattribute__")) is not WrapperDescriptorType and not is_trusted(kind):
        raise Unfit(f"its __getattribute__ would run; {_allowing(kind)} accepts that")


def _allowing(kind: type) -> str:
    return f"workflow_runtime.allow({namespace(kind).get('__module__')!r})"


def field_of(value: Any, name: str, *default: Any) -> Any:
    """A field as it is in the object: nothing of its class runs unless the field is a descriptor, or is not set."""
    try:
        return object.__getattribute__(value, name)
    except AttributeError:
        return getattr(value, name, *default)


def put(value: Any, kind: type, name: str, item: Any) -> None:
    """Set an attribute in its slot, or in the object's dict. Unfit if a descriptor of the class would run."""
    found = _ABSENT
    for base in mro(kind):
        found = namespace(base).get(name, _ABSENT)
        if found is not _ABSENT:
            break
    if type(found) is MemberDescriptorType:
        found.__set__(value, item)
    elif found is not _ABSENT and lookup(type(found), "__set__") is not None:
        raise Unfit(f"its field {name!r} is a descriptor, which would run")
    else:
        instance_dict(value, kind)[name] = item


def instance_dict(value: Any, kind: type) -> dict[str, Any]:
    """The dict of an object, even if its class redefines ``__dict__``."""
    is_plain = _plain_dicts.get(kind)
    if is_plain is None:
        is_plain = _plain_dicts.put(kind, type(lookup(kind, "__dict__")) is GetSetDescriptorType)
    if is_plain:
        plain: dict[str, Any] = object.__getattribute__(value, "__dict__")
        return plain
    for base in mro(kind):
        found = namespace(base).get("__dict__")
        if type(found) is GetSetDescriptorType:
            own: dict[str, Any] = found.__get__(value)
            return own
    raise Unfit("it has no place for its fields")


_plain_dicts: PerClass[bool] = PerClass()


def contents(value: Any) -> Iterator[Any]:
    """The attributes in an object's slots and dict, without running code of its class."""
    for base in mro(type(value)):
        for name, found in namespace(base).items():
            if type(found) is MemberDescriptorType:
                try:
                    yield found.__get__(value)
                except AttributeError:  # it is not set
                    continue
            elif name == "__dict__" and type(found) is GetSetDescriptorType:
                yield found.__get__(value)


# -- named tuples and enums -------------------------------------------------------------------------------------------


_namedtuples: PerClass[tuple[str, ...]] = PerClass()


def make_namedtuple(kind: type, items: list[Any]) -> Any:
    names = _namedtuples.get(kind)
    if names is None:
        names = lookup(kind, "_fields")
        if not has(kind, tuple) or type(names) is not tuple:
            raise Unfit("it is no named tuple any more")
        refuse_hooks(kind)
        _namedtuples.put(kind, names)
    if len(items) == len(names):
        return tuple.__new__(kind, items)
    defaults, missing = lookup(kind, "_field_defaults"), names[len(items) :]
    has_defaults = type(defaults) is dict and all(name in defaults for name in missing)
    if len(items) > len(names) or (missing and not has_defaults):
        raise Unfit(f"it has {len(names)} fields now, and {len(items)} were stored")
    return tuple.__new__(kind, [*items, *(_copied(defaults[name]) for name in missing)])


_enums: PerClass[Any] = PerClass()  # their members, and so the class: it is kept, as its module keeps it


def make_member(kind: type, name: Any) -> Any:
    members = _enums.get(kind)
    if members is None:
        if not has(kind, enum.Enum):
            raise Unfit("it is no Enum any more")
        members = _enums.put(kind, lookup(kind, "_member_map_"))
    member = members.get(name) if type(members) is dict and type(name) is str else None
    if type(member) is not kind:
        raise Unfit(f"it has no member {name!r} any more")
    return member


_COMBINING = ("_iter_member_", "_numeric_repr_", "__eq__", "__getattribute__", "__getattr__", "__setattr__")
_ALLOWED = (None, repr, hex, oct, bin)


def _is_combined_by_enum(kind: type) -> bool:
    """Whether only the standard library runs when flags of this class are combined."""
    if type(kind) is not enum.EnumMeta:
        return False
    for name in _COMBINING:
        found = lookup(kind, name)
        if type(found) in (classmethod, staticmethod, MethodType):
            found = found.__func__
        is_known = type(found) is WrapperDescriptorType or any(found is item for item in _ALLOWED)
        if not is_known and not (type(found) is FunctionType and found.__globals__ is vars(enum)):
            return False
    return True


def make_flag(kind: type, value: Any) -> Any:
    if not has(kind, enum.Flag):
        raise Unfit("it is no Flag any more")
    if type(value) is not int:
        raise Unfit("its value is no number")
    members, mixin = lookup(kind, "_value2member_map_"), lookup(kind, "_member_type_")
    found: Any = members.get(value) if type(members) is dict else None
    if found is None and (mixin is object or mixin is int) and _is_combined_by_enum(kind):
        found = enum.Flag.__dict__["_missing_"].__func__(kind, value)  # never the class's own
    if type(found) is not kind or vars(found)["_value_"] != value:
        raise Unfit(f"it has no flags {value!r} any more")
    return found
