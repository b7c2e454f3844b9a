"""Which calls go together, which wait, and what each comes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from workflow_runtime.model.errors import StorageError
from workflow_runtime.storage import batching
from workflow_runtime.storage.batching import ENOUGH, Batching

pytestmark = pytest.mark.anyio


class Call:
    def __init__(self, name: Any, *keys: str, order: tuple[str, ...] = ()) -> None:
        self.name = name
        self.keys = frozenset(keys)
        self.order = order
        self.given_up = False
        self.outcome: list[Any] = []

    def settle(self, error: Exception | None, value: Any) -> None:
        self.outcome.append(error or value)


class Database:
    """Its groups end when the test lets them. What is in ``bad`` fails its whole group, with this error."""

    def __init__(self) -> None:
        self.groups: list[list[Any]] = []
        self.free = anyio.Event()
        self.free.set()
        self.bad: dict[Any, Exception] = {}
        self.most = self.now = 0

    async def send(self, calls: Sequence[Call], alone: bool) -> None:
        assert alone == (len(calls) == 1)
        self.groups.append([call.name for call in calls])
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.free.wait()
            for call in calls:
                if call.name in self.bad:
                    raise self.bad[call.name]
            for call in calls:
                call.settle(None, call.name)
        finally:
            self.now -= 1


def batching_for(database: Database, *, groups: int = 1, limit: int = 64, common: bool = False) -> Batching[Call]:
    return Batching(database.send, lambda error, call: common, groups=groups, limit=limit)


async def test_enough_calls_that_wait_go_beside_the_group_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "PATIENCE", 60.0)
    database = Database()
    database.free = anyio.Event()
    calls = [Call(number) for number in range(3 * ENOUGH + 1)]
    batches = batching_for(database, groups=10)
    batches.add(calls[:1])
    await anyio.wait_all_tasks_blocked()
    batches.add(calls[1:ENOUGH])
    await anyio.wait_all_tasks_blocked()
    assert database.groups == [[0]]
    batches.add(calls[ENOUGH : ENOUGH + 1])
    await anyio.wait_all_tasks_blocked()
    assert database.groups == [[0], list(range(1, ENOUGH + 1))]
    batches.add(calls[ENOUGH + 1 :])
    await anyio.wait_all_tasks_blocked()
    assert len(database.groups) == 2, "two groups are enough to keep a server busy"
    database.free.set()
    await batches.idle()
    assert [call.outcome for call in calls] == [[number] for number in range(3 * ENOUGH + 1)]


async def test_a_database_of_one_group_gets_the_next_when_that_is_back() -> None:
    database = Database()
    database.free = anyio.Event()
    batches = batching_for(database, limit=3)
    for number in range(8):
        batches.add([Call(number)])
        await anyio.wait_all_tasks_blocked()
    assert database.groups == [[0]]
    database.free.set()
    await batches.idle()
    assert database.groups == [[0], [1, 2, 3], [4, 5, 6], [7]]


async def test_calls_that_come_at_once_are_one_group_in_their_order() -> None:
    database = Database()
    batches = batching_for(database)
    batches.add([Call("c", order=("2",)), Call("a", order=("1",)), Call("d", order=("2",))])
    await batches.idle()
    assert database.groups == [["a", "c", "d"]]


async def test_of_two_calls_with_a_common_key_the_later_does_not_go_beside_the_earlier(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batching, "PATIENCE", 0.0)
    database = Database()
    database.free = anyio.Event()
    batches = batching_for(database, groups=10)
    batches.add([Call("held", "r1")])
    batches.add([Call("later", "r1"), Call("free", "r2"), Call("last", "r1", "r3"), Call("behind", "r3")])
    with anyio.fail_after(60):
        while len(database.groups) < 2:
            await anyio.lowlevel.checkpoint()
    assert database.groups == [["held"], ["free"]]
    database.free.set()
    await batches.idle()
    assert database.groups[2:] == [["later", "last", "behind"]]


@pytest.mark.parametrize("groups", [1, 3])
async def test_one_bad_call_fails_alone_and_no_more_are_tried_at_once_than_may(groups: int) -> None:
    database, calls = Database(), [Call(number) for number in range(6)]
    database.bad = {3: StorageError("bad")}
    batches = batching_for(database, groups=groups)
    batches.add(calls)
    await batches.idle()
    assert database.groups == [list(range(6)), *([number] for number in range(6))]
    assert [call.outcome for call in calls] == [[0], [1], [2], [database.bad[3]], [4], [5]]
    assert database.most <= groups


async def test_an_error_that_all_would_meet_fails_all_with_an_object_of_their_own() -> None:
    database, calls = Database(), [Call(number) for number in range(3)]
    database.bad = {0: StorageError("no server")}
    database.bad[0].__cause__ = OSError("gone")
    batches = batching_for(database, common=True)
    batches.add(calls)
    await batches.idle()
    errors = [error for call in calls for error in call.outcome]
    assert [str(error) for error in errors] == ["no server"] * 3
    assert len(set(map(id, errors))) == 3
    assert {str(error.__cause__) for error in errors} == {"gone"}
    assert database.groups == [[0, 1, 2]]


async def test_a_call_that_is_withdrawn_is_not_sent_and_a_group_ends_with_the_last_of_its_callers() -> None:
    database = Database()
    database.free = anyio.Event()
    first, second, third = Call("first"), Call("second"), Call("third")
    batches = batching_for(database)
    batches.add([first, second])
    batches.add([third])
    await anyio.wait_all_tasks_blocked()
    third.given_up = first.given_up = True
    batches.withdraw(third)
    batches.withdraw(first)
    await anyio.wait_all_tasks_blocked()
    assert database.now == 1
    second.given_up = True
    batches.withdraw(second)
    await batches.idle()
    assert database.groups == [["first", "second"]]
    assert database.now == 0
    assert [first.outcome, second.outcome, third.outcome] == [[], [], []]


async def test_a_group_that_was_cancelled_holds_nothing_up() -> None:
    database = Database()
    database.free = anyio.Event()
    over: list[Any] = []
    batches: Batching[Call] = Batching(
        database.send, lambda error, call: False, groups=1, limit=9, done=lambda call: over.append(call.name)
    )
    first, second = Call("first"), Call("second")
    batches.add([first])
    batches.add([second])
    first.given_up = True
    batches.withdraw(first)  # before its group began
    database.free.set()
    await batches.idle()
    assert second.outcome == ["second"]
    assert over == ["first", "second"]
