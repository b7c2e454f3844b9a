"""Classes of values that are stored: their module and names are in the data, so they stay what they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from pydantic import BaseModel, Field

from workflow_runtime import CustomEvent

__all__ = [
    "Address",
    "Booked",
    "Colour",
    "Delivery",
    "Item",
    "Level",
    "Order",
    "Point",
    "Rights",
    "Sample",
    "Word",
    "values",
]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Word(StrEnum):
    YES = "yes"


class Rights(Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: float


@dataclass
class Item:
    name: str
    price: Decimal
    tags: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Order:
    number: int
    items: list[Item]
    colour: Colour = Colour.RED


class Address(BaseModel):
    street: str
    zip: str = Field(pattern=r"^\d{5}$")


class Delivery(BaseModel):
    copies: int = Field(ge=1, le=5)
    address: Address


class Sample(msgspec.Struct):
    at: float
    label: str = "none"


class Booked(CustomEvent):
    """An event class of the user's own."""

    event = "Booked"


def values() -> dict[str, Any]:
    """One value of each kind that can be stored, by its kind."""
    return {
        "text": "ünïcode ☃ \U0001f600",
        "numbers": [0, -1, 2**70, 1.5, float("inf"), True, None],
        "complex": complex(1, -2),
        "bytes": b"\x00\xff",
        "bytearray": bytearray(b"ab"),
        "tuple": (1, (2, "three")),
        "set": {1, 2},
        "frozenset": frozenset({"a"}),
        "keys": {1: "one", (2, 3): "pair", None: "none"},
        "decimal": Decimal("19.90"),
        "datetime": datetime(2024, 2, 29, 12, 30, 15, 250, tzinfo=UTC),
        "naive": datetime(2024, 2, 29, 12, 30),
        "date": date(2030, 1, 31),
        "time": time(23, 59, 1),
        "timedelta": timedelta(days=-1, seconds=5),
        "uuid": UUID("12345678-1234-5678-1234-567812345678"),
        "path": PurePosixPath("/tmp/a b"),
        "enum": Colour.BLUE,
        "int enum": Level.HIGH,
        "text enum": Word.YES,
        "flag": Rights.READ | Rights.WRITE,
        "namedtuple": Point(1, 2.5),
        "dataclass": Order(7, [Item("lamp", Decimal("12.50"), {"new"})], Colour.BLUE),
        "pydantic": Delivery(copies=2, address=Address(street="Elm St", zip="12345")),
        "struct": Sample(at=1.25, label="first"),
        "a dict like a tag": {"$": "set", "v": [1]},
    }
