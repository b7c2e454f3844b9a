"""Values of every kind that a database keeps, and some that cannot be kept. Importable, as stored types must be."""

from __future__ import annotations

import collections
import enum
import math
import pathlib
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from pydantic import BaseModel, ConfigDict, PrivateAttr


class Color(enum.Enum):
    red = "r"
    blue = ("b", 1)


class Level(enum.IntEnum):
    low = 1


class Word(enum.StrEnum):
    yes = "y"


class Rights(enum.Flag):
    read = enum.auto()
    write = enum.auto()


class Number(enum.IntFlag):
    one = 1
    two = 2


@dataclass
class Point:
    x: int
    y: Any = None


@dataclass(frozen=True, slots=True)
class Frozen:
    when: datetime
    tags: tuple[str, ...] = ()
    computed: int = field(init=False, default=3)


@dataclass
class Parent:
    child: Point
    more: list[Point]


class Pair(NamedTuple):
    left: int
    right: Any


class Item(msgspec.Struct):
    name: str
    price: Decimal
    inner: Any = None


class Tagged(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    n: int


class Address(BaseModel):
    street: str
    since: date | None = None


class Person(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str
    addresses: list[Address] = []
    born: datetime | None = None
    _cache: dict[str, int] = PrivateAttr(default_factory=dict)


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)
    ratio: Decimal


class OwnStr(str):
    pass


class OwnDict(dict):  # type: ignore[type-arg]  # a subclass is the point
    pass


class Opaque:
    pass


BERLIN = ZoneInfo("Europe/Berlin")

# Each comes back equal and of the same type.
KEPT: dict[str, Any] = {
    "text": "täxt \x00 \U0001f600",
    "empty text": "",
    "true": True,
    "none": None,
    "int": -7,
    "int over 64 bits": 2**80,
    "int at the edge": 2**63,
    "float": 2.5,
    "whole float": 3.0,
    "negative zero": -0.0,
    "infinity": math.inf,
    "small float": 5e-324,
    "complex": complex(1, -2),
    "complex infinity": complex(math.inf, 0),
    "list": [1, "a", None, [2.5]],
    "dict": {"a": {"b": [1]}},
    "int keys": {1: "a", 2: "b"},
    "mixed keys": {1: "int", "1": "text", None: "none"},
    "tuple keys": {(1, "a"): "x", None: "y", date(2024, 1, 2): "z"},
    "enum keys": {Color.red: 1},
    "a key that is our tag": {"$": "dict", "v": [1]},
    "datetime": datetime(2024, 2, 29, 12, 30, 15, 123456),
    "datetime utc": datetime(2024, 2, 29, tzinfo=UTC),
    "datetime offset": datetime(2024, 2, 29, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    "datetime zone": datetime(2024, 7, 1, tzinfo=BERLIN),
    "datetime folded": datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=BERLIN),
    "date": date(2024, 2, 29),
    "time": time(12, 30, 15, 5),
    "time utc": time(12, 30, tzinfo=UTC),
    "time zone": time(12, 30, tzinfo=BERLIN),
    "time folded": time(2, 30, fold=1),
    "timedelta": timedelta(days=-3, seconds=5, microseconds=7),
    "tuple": (1, (2, "x"), []),
    "empty tuple": (),
    "named tuple": Pair(1, (2, 3)),
    "set": {1, "a", (2, 3)},
    "frozenset": frozenset({1, 2}),
    "bytes": b"\x00\xff",
    "bytearray": bytearray(b"ab"),
    "decimal": Decimal("1.10"),
    "decimal exponent": Decimal("1E+400"),
    "uuid": UUID(int=7),
    "path": pathlib.PurePosixPath("/tmp/x"),
    "enum": Color.red,
    "enum of a tuple": Color.blue,
    "int enum": Level.low,
    "text enum": Word.yes,
    "flag": Rights.read,
    "flags together": Rights.read | Rights.write,
    "no flag": Rights(0),
    "int flags": Number.one | Number.two,
    "dataclass": Point(1, {"z": Decimal("2.5")}),
    "frozen dataclass": Frozen(datetime(2024, 1, 1, tzinfo=UTC), ("a",)),
    "nested dataclass": Parent(Point(1), [Point(2), Point(3, (4,))]),
    "struct": Item("pen", Decimal("1.50"), [Item("cap", Decimal("0"))]),
    "tagged struct": Tagged(n=1),
    "model": Person(name="Ada", addresses=[Address(street="x", since=date(1815, 12, 10))], born=datetime(1815, 12, 10)),
    "model with extra": Person(name="Ada", title="Countess"),  # type: ignore[call-arg]  # extra="allow"
    "frozen model": Strict(ratio=Decimal("0.1")),
    "models in containers": {"people": (Address(street="a"), {"x": [Address(street="b")]})},
}


def _itself() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


def _local() -> Any:
    @dataclass
    class Local:
        x: int

    return Local(1)


def _deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


# None of these would come back as it was: a refusal that names the place, never a changed value.
REFUSED: dict[str, Any] = {
    "object": Opaque(),
    "function": len,
    "lambda": lambda: None,
    "class": Point,
    "module": math,
    "text subclass": OwnStr("x"),
    "dict subclass": OwnDict(a=1),
    "ordered dict": collections.OrderedDict(a=1),
    "default dict": collections.defaultdict(list),
    "counter": collections.Counter("aab"),
    "deque": collections.deque([1]),
    "range": range(3),
    "generator": (n for n in range(3)),
    "memory view": memoryview(b"x"),
    "a class inside a function": _local(),
    "half a surrogate": "\ud800",
    "itself": _itself(),
    "very deep": _deep(10_000),
    "object in a list": [1, [Opaque()]],
    "object in a dataclass": Point(1, Opaque()),
    "object in a struct": Item("x", Decimal(1), Opaque()),
}
