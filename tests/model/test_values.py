"""Every kind of value comes back equal and of the same type from both databases, or is refused."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from pydantic import BaseModel

from workflow_runtime import BaseDb, Image, StepInput, UnserializableError, Workflow

pytestmark = pytest.mark.anyio


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 3


class Flags(enum.Flag):
    A = 1
    B = 2


class Point(NamedTuple):
    x: int
    y: tuple[int, ...]


@dataclass(frozen=True)
class Frozen:
    when: datetime
    tags: frozenset[str] = frozenset()
    hidden: int = field(default=7, init=False)


class Model(BaseModel):
    name: str
    prices: dict[int, Decimal]
    inner: Model | None = None


class Struct(msgspec.Struct):
    data: bytes
    many: set[int]


VALUES: dict[str, Any] = {
    "none": None,
    "float": 0.1,
    "infinity": float("inf"),
    "large int": 2**200,
    "text": "zażółć \u0000 🐍",
    "datetime": datetime(2026, 2, 3, 4, 5, 6, 7, UTC),
    "naive datetime": datetime(2026, 2, 3),
    "zoned datetime": datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
    "date": date(2026, 2, 3),
    "time": time(1, 2, 3),
    "timedelta": timedelta(days=-1, microseconds=5),
    "tuple": (1, (2, "x"), []),
    "set": {1, 2},
    "frozenset": frozenset({"a"}),
    "bytes": b"\x00\xff",
    "bytearray": bytearray(b"ab"),
    "decimal": Decimal("1.10"),
    "uuid": UUID(int=5),
    "complex": 1 + 2j,
    "enum": Colour.RED,
    "int enum": Level.LOW,
    "path": PurePosixPath("/a/b"),
    "named tuple": Point(1, (2,)),
    "dataclass": Frozen(datetime(2026, 1, 1), frozenset({"t"})),
    "pydantic": Model(name="m", prices={1: Decimal("2.50")}, inner=Model(name="n", prices={})),
    "msgspec": Struct(b"x", {1}),
    "int keys": {1: "a", (2, 3): "b"},
    "a key that looks like a tag": {"$": "tuple", "v": [1]},
    "nested": {"list": [{"set": {Decimal("1")}}, (None, {2: date(2026, 1, 1)})]},
    "media": Image(content=b"\x89PNG", alt_text="a"),
}


@pytest.mark.parametrize("kind", VALUES)
async def test_a_value_comes_back_with_its_type(db: BaseDb, kind: str) -> None:
    value = VALUES[kind]

    async def give(step_input: StepInput, session_state: dict[str, Any]) -> Any:
        session_state["kept"] = value
        return value

    workflow = Workflow(name="values", db=db, steps=[give], store_events=True)
    output = await workflow.arun({"given": value}, session_id="s")
    other = Workflow(name="values", db=db, steps=[give])
    stored = await other.aget_run_output(str(output.run_id))
    assert stored is not None
    assert stored.events is not None
    state = await other.aget_session_state("s")
    found = [
        stored.content,
        stored.step_results[0].content,
        stored.input["given"],
        state["kept"],
        stored.events[-1].content,
    ]
    for back in found:
        assert type(back) is type(value)
        assert back == value


def local() -> Any:
    class Hidden(BaseModel):
        n: int = 1

    return Hidden()


@pytest.mark.parametrize(
    "value",
    [object(), local(), Frozen, lambda: 1, Flags, iter([1]), "\ud800"],
    ids=["object", "local", "frozen", "function", "flag", "iterator", "surrogate"],
)
async def test_a_value_that_would_lose_its_type_is_refused_by_its_place(db: BaseDb, value: Any) -> None:
    async def give(step_input: StepInput) -> Any:
        return {"deep": [value]}

    workflow = Workflow(name="values", db=db, steps=[give])
    with pytest.raises(UnserializableError, match=r"^0\.give: "):
        await workflow.arun("x")
