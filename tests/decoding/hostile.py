"""Classes and modules that note when anything of theirs runs, and tags that name them and worse.

``RAN`` holds what ran; ``noted(folder)`` looks at it, at the commands and imports that left a file in ``folder``, and at
the modules that were loaded.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import msgspec
from pydantic import BaseModel, ConfigDict, PrivateAttr, field_validator, model_validator

from workflow_runtime import CustomEvent

RAN: list[str] = []


def note(what: str) -> None:
    RAN.append(what)


class Meta(type):
    """A metaclass that notices everything that is done to its classes."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        note("Meta.__call__")
        return super().__call__(*args, **kwargs)

    def __instancecheck__(cls, instance: Any) -> bool:
        note("Meta.__instancecheck__")
        return False

    def __subclasscheck__(cls, subclass: type) -> bool:
        note("Meta.__subclasscheck__")
        return False

    def __getattribute__(cls, name: str) -> Any:
        if name not in ("__name__", "__qualname__"):  # the repr of every dataclass names its class
            note(f"Meta.__getattribute__({name})")
        return super().__getattribute__(name)

    def __eq__(cls, other: object) -> bool:
        note("Meta.__eq__")
        return cls is other

    def __hash__(cls) -> int:
        note("Meta.__hash__")
        return 1


class Descriptor:
    def __get__(self, instance: Any, owner: Any) -> Any:
        note("Descriptor.__get__")
        return 1

    def __set__(self, instance: Any, value: Any) -> None:
        note("Descriptor.__set__")


class Callable:
    def __call__(self, *args: Any) -> Any:
        note("Callable.__call__")
        return ValueError, ()


@dataclass
class Initialised:
    x: Any = None
    y: list[Any] = field(default_factory=lambda: [note("default_factory")])

    def __new__(cls, *args: Any, **kwargs: Any) -> Initialised:
        note("dataclass.__new__")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        note("dataclass.__post_init__")

    def __setattr__(self, name: str, value: Any) -> None:
        note("dataclass.__setattr__")
        super().__setattr__(name, value)

    def __getattribute__(self, name: str) -> Any:
        note(f"dataclass.__getattribute__({name})")
        return super().__getattribute__(name)

    def __del__(self) -> None:
        note("dataclass.__del__")


@dataclass
class Computed:
    """Its field is a descriptor, and its dict a property."""

    x: Any = None
    __dict__ = property(lambda self: note("__dict__"))  # type: ignore[assignment]


Computed.x = Descriptor()


@dataclass
class OfMeta(metaclass=Meta):
    x: Any = None


@dataclass(slots=True)
class Slots:
    x: Any
    y: int = 3


@dataclass
class Asked:
    """It answers to any name."""

    x: Any = None

    def __getattr__(self, name: str) -> Any:
        note(f"Asked.__getattr__({name})")
        return None


@dataclass(repr=False)
class Watched:
    """It notices everything that it is asked for."""

    x: Any = None

    def __getattribute__(self, name: str) -> Any:
        note(f"Watched.__getattribute__({name})")
        return super().__getattribute__(name)


@dataclass(repr=False)
class Sized:
    x: Any = None

    def __bool__(self) -> bool:
        note("Sized.__bool__")
        return True

    def __len__(self) -> int:
        note("Sized.__len__")
        return 1

    def __iter__(self) -> Any:
        note("Sized.__iter__")
        return iter(())


class Model(BaseModel):
    model_config = ConfigDict(extra="allow")
    x: Any = None
    _private: Any = PrivateAttr(default_factory=lambda: note("private default"))

    def __init__(self, **data: Any) -> None:
        note("model.__init__")
        super().__init__(**data)

    def __new__(cls, *args: Any, **kwargs: Any) -> Model:
        note("model.__new__")
        return super().__new__(cls)

    def model_post_init(self, context: Any) -> None:
        note("model_post_init")

    @field_validator("x")
    @classmethod
    def check(cls, value: Any) -> Any:
        note("field_validator")
        return value

    @model_validator(mode="before")
    @classmethod
    def check_all(cls, values: Any) -> Any:
        note("model_validator")
        return values

    @classmethod
    def model_construct(cls, *args: Any, **kwargs: Any) -> Any:
        note("model_construct")
        return super().model_construct(*args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        note("model.__setattr__")
        super().__setattr__(name, value)


class Struct(msgspec.Struct):
    x: Any = None

    def __post_init__(self) -> None:
        note("struct.__post_init__")


class Below(Struct):
    """Fields at two levels: it cannot be made past its __post_init__."""

    z: Any = None


class StructMeta(type(msgspec.Struct)):  # type: ignore[misc]  # msgspec's metaclass has no public name
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        note("StructMeta.__call__")
        return super().__call__(*args, **kwargs)


class OfStructMeta(msgspec.Struct, metaclass=StructMeta):
    x: Any = None


class Colour(enum.Enum):
    RED = 1

    @classmethod
    def _missing_(cls, value: object) -> Any:
        note("enum._missing_")
        return cls.RED


class Flags(enum.Flag):
    A = 1
    B = 2

    @classmethod
    def _missing_(cls, value: object) -> Any:
        note("flag._missing_")
        return cls.A


class Written(enum.IntFlag):
    """Making several together asks it how to write a number, and sets attributes."""

    A = 1
    B = 2

    @staticmethod
    def _numeric_repr_(number: int) -> str:
        note("flag._numeric_repr_")
        return "?"


class Set_(enum.Flag):
    A = 1
    B = 2

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith(("_sort", "__obj")):
            note(f"flag.__setattr__({name})")
        super().__setattr__(name, value)


class Removed(CustomEvent):
    def __del__(self) -> None:
        note("event.__del__")


class Followed(CustomEvent):
    def __getattribute__(self, name: str) -> Any:
        note(f"event.__getattribute__({name})")
        return super().__getattribute__(name)


class Initiated(CustomEvent):
    def __init__(self, **fields: Any) -> None:
        note("event.__init__")
        super().__init__(**fields)

    def __new__(cls, **fields: Any) -> Initiated:
        note("event.__new__")
        return super().__new__(cls)


class Raised(ValueError):
    def __new__(cls, *args: Any) -> Raised:
        note("exception.__new__")
        return super().__new__(cls, *args)

    def __init__(self, *args: Any) -> None:
        note("exception.__init__")
        super().__init__(*args)

    def __setattr__(self, name: str, value: Any) -> None:
        note("exception.__setattr__")
        super().__setattr__(name, value)

    def __reduce__(self) -> Any:
        note("exception.__reduce__")
        return super().__reduce__()


class Reduced(OSError):
    __reduce__ = Callable()
    x = Descriptor()


class Pair(NamedTuple):
    left: Any
    right: Any = 2


class Noisy(Pair):
    def __new__(cls, *args: Any, **kwargs: Any) -> Noisy:
        note("namedtuple.__new__")
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args: Any) -> None:
        note("namedtuple.__init__")


class Callable_:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        note("class.__init__")

    _fields = ("x",)
    __dataclass_fields__ = property(lambda self: note("__dataclass_fields__"))


def function(*args: Any, **kwargs: Any) -> None:
    note("function")


class Lazy(ModuleType):
    """A module that computes what it is asked for, and its own dict."""

    def __getattribute__(self, name: str) -> Any:
        note(f"Lazy.__getattribute__({name})")
        return super().__getattribute__(name)

    def __getattr__(self, name: str) -> Any:
        note(f"Lazy.__getattr__({name})")
        return Initialised


class Proxy:
    """Something in ``sys.modules`` that is no module."""

    def __getattribute__(self, name: str) -> Any:
        note(f"Proxy.__getattribute__({name})")
        return Initialised


CLASSES = (
    *(
        "Initialised",
        "Computed",
        "OfMeta",
        "Slots",
        "Asked",
        "Watched",
        "Sized",
        "Model",
        "Struct",
        "Below",
        "OfStructMeta",
        "Colour",
    ),
    *("Written", "Set_", "Removed", "Followed", "Initiated", "Raised", "Reduced"),
    *("Flags", "Pair", "Noisy", "Callable_", "function", "note", "RAN", "Meta", "Descriptor", "Initialised.__init__"),
    *("Model.model_construct", "Colour.RED", "Nothing"),
)
NAMES = [
    *(f"{__name__}:{name}" for name in CLASSES),
    "subprocess:Popen", "os:_exit", "os:system", "builtins:eval", "builtins:exec", "builtins:type", "sys:exit",
    "importlib:import_module", "pathlib:Path.unlink", "pathlib:os", "hostile_trap:Boom", "hostile_trap", "this:Zen",
    "hostile_lazy:Anything", "hostile_proxy:Anything", "workflow_runtime.cli.__main__:x", "dataclasses:dataclass",
    "", ":", "::", "os:", ":system", "no colon", "os.path:join", "..:x", "\x00:\x00", "\u2028:x", "a" * 5000 + ":b",
]  # fmt: skip
TAGS = [
    *(
        "exception",
        "dataclass",
        "model",
        "struct",
        "namedtuple",
        "enum",
        "flag",
        "path",
        "tuple",
        "set",
        "frozenset",
        "dict",
        "int",
    ),
    *("float", "bytes", "bytearray", "datetime", "date", "time", "timedelta", "decimal", "uuid", "complex", "damaged"),
    *("hologram", "", "$"),
]


def deep(levels: int) -> Any:
    found: Any = 1
    for number in range(levels):
        found = {"$": "tuple", "v": [found]} if number % 2 else [found]
    return found


def bodies(folder: Path) -> list[Any]:
    """What may stand under a tag."""
    touch = ["touch", str(folder / "command")]
    return [
        *(
            [touch],
            [f"touch {folder / 'command'}"],
            {"args": touch, "x": 1},
            {"args": [1], "fields": {"x": 1, "__class__": 2, "args": 3}},
            {"args": [1], "fields": {}},
            {"x": {"$": "set", "v": [1]}},
            "RED",
        ),
        *(1, -1, 3, 2**70, 1.5, None, True, [], {}, [[1, 2]], [[[], 1]], [1, 2, 3], "../../etc/passwd"),
        *(["2024-01-01T00:00:00", 0, "os.path/x"], ["x", 1, "../../../etc/localtime"], "9" * 5000, "1e999999999"),
        *("NaN", "Infinity", "\x00", deep(300), {"__class__": 1, "__dict__": {}, "x": 2}),
        {"$": "namedtuple", "t": "subprocess:Popen", "v": [touch]},
    ]


def tags(folder: Path) -> Iterator[dict[str, Any]]:
    """Every tag, with every name and body."""
    for tag in TAGS:
        for body in bodies(folder):
            yield {"$": tag, "v": body}
            if tag in ("exception", "dataclass", "model", "struct", "namedtuple", "enum", "flag", "path", "hologram"):
                for name in NAMES:
                    yield {"$": tag, "t": name, "v": body}
    for odd in (None, 1, [], {}, ["tuple"], {"$": "tuple"}):
        yield {"$": odd, "v": [1]}
        yield {"$": "dataclass", "t": odd, "v": {}}
    yield {"$": "tuple"}
    yield {"$": "dataclass", "t": f"{__name__}:Slots"}


@contextmanager
def nothing_runs(folder: Path) -> Iterator[None]:
    """Inside, nothing of these may run, and no module be loaded but those of this package and of the standard library that
    it needs itself."""
    trap = folder / "hostile_trap.py"
    trap.write_text(f"open({str(folder / 'imported')!r}, 'w').close()\nclass Boom: pass\n")
    sys.path.insert(0, str(folder))
    sys.modules["hostile_lazy"], sys.modules["hostile_proxy"] = Lazy("hostile_lazy"), Proxy()  # type: ignore[assignment]
    before = set(sys.modules)
    RAN.clear()
    try:
        yield
        assert not RAN, sorted(set(RAN))
        loaded = {name for name in set(sys.modules) - before if not name.startswith("workflow_runtime")}
        assert not loaded & {name.partition(":")[0] for name in NAMES}
        assert [path.name for path in folder.iterdir() if path.name in ("command", "imported")] == []
    finally:
        sys.path.remove(str(folder))
        del sys.modules["hostile_lazy"], sys.modules["hostile_proxy"]
        RAN.clear()
