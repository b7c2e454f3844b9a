"""The lock of a run's commits: one at a time, in order, and none lost to a cancellation."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from workflow_runtime.engine.loop.mutex import Mutex

pytestmark = pytest.mark.anyio


async def test_tasks_have_it_one_at_a_time_and_in_the_order_they_came() -> None:
    mutex, inside, order = Mutex(), list[int](), list[int]()

    async def work(number: int) -> None:
        async with mutex:
            inside.append(number)
            order.append(number)
            await checkpoint()
            assert inside == [number]
            inside.remove(number)

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(work, number)
            await anyio.wait_all_tasks_blocked() if number == 0 else None
    assert sorted(order) == list(range(5))
    assert not mutex.locked()


async def test_one_that_is_free_again_is_not_taken_before_those_who_wait() -> None:
    mutex, order = Mutex(), list[str]()

    async def work(name: str) -> None:
        async with mutex:
            order.append(name)

    async with anyio.create_task_group() as group:
        async with mutex:
            group.start_soon(work, "waits")
            await anyio.wait_all_tasks_blocked()
        async with mutex:  # before "waits" has run, though it has its turn
            order.append("came later")
    assert order == ["waits", "came later"]


@given(cancelled=st.sets(st.integers(0, 5)), when_handed=st.booleans())
async def test_whoever_is_cancelled_while_waiting_holds_nobody_up(cancelled: set[int], when_handed: bool) -> None:
    mutex, done = Mutex(), set[int]()
    scopes = [anyio.CancelScope() for _ in range(6)]

    async def work(number: int) -> None:
        with scopes[number]:
            async with mutex:
                await checkpoint()
                done.add(number)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            async with mutex:
                for number in range(6):
                    group.start_soon(work, number)
                await anyio.wait_all_tasks_blocked()
                if not when_handed:
                    for number in cancelled:
                        scopes[number].cancel()
            if when_handed:
                for number in cancelled:
                    scopes[number].cancel()
    assert done == set(range(6)) - cancelled
    assert not mutex.locked()
