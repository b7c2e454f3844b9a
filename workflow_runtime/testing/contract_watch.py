"""The contract of waiting, cancelling, and calling from everywhere. (obligations 8 and 9, and ``changed``)"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest
from anyio import to_thread

from ..model.enums import RunStatus
from ..storage.base import BaseDb, Batch
from .contract_rows import event, fence, requirement, run, session, started, step

__all__ = ["ConcurrencyContract", "WatchContract"]

PAUSED = frozenset({RunStatus.PAUSED})

Write = Callable[[BaseDb], Awaitable[object]]

WRITES: dict[str, Write] = {
    "an event": lambda db: db.commit(Batch(events=[event(3)])),
    "a run row": lambda db: db.commit(Batch(run=run(status=RunStatus.PAUSED, seq=3))),
    "a run row of the same number": lambda db: db.commit(Batch(run=run(status=RunStatus.PAUSED, seq=2))),
    "a claim": lambda db: db.claim("r1", owner="b", now=1.0, lease=9.0, statuses=PAUSED, expired_only=False),
    "a request to cancel": lambda db: db.request_cancel("r1", now=1.0),
    "an answer": lambda db: db.answer([requirement(answered_at=20.0)]),
    "a deletion": lambda db: db.delete_session("s1"),
}


async def paused(db: BaseDb) -> None:
    """A run that stands at number 2 and was not touched since it got there."""
    await db.commit(started(seq=1))
    await db.commit(Batch(run=run(status=RunStatus.PAUSED, seq=2), events=[event(1, 2)], requirements=[requirement()]))


class WatchContract:
    async def test_a_watcher_that_is_behind_does_not_wait(self, db: BaseDb, other: BaseDb) -> None:
        await paused(db)
        with anyio.fail_after(60):
            assert await other.changed("r1", seen=1, timeout=60)
            assert await other.changed("r1", seen=0, timeout=60)

    async def test_events_without_a_run_row_are_seen(self, db: BaseDb, other: BaseDb) -> None:
        await paused(db)
        await db.commit(Batch(events=[event(3, 5)]))
        with anyio.fail_after(60):
            assert await other.changed("r1", seen=4, timeout=60)

    async def test_nothing_new_is_false_after_the_time_out(self, db: BaseDb) -> None:
        await paused(db)
        assert await db.changed("r1", seen=2, timeout=0.02) is False
        assert await db.changed("unknown", seen=0, timeout=0.02) is False
        assert await db.changed("r1", seen=2, timeout=0) is False

    @pytest.mark.parametrize("name", WRITES)
    async def test_a_write_wakes_those_who_wait(self, db: BaseDb, name: str) -> None:
        await self._wakes(db, db, WRITES[name])

    @pytest.mark.parametrize("name", [name for name in WRITES if name != "a deletion"])
    async def test_a_write_by_another_object_wakes_those_who_wait(self, db: BaseDb, other: BaseDb, name: str) -> None:
        await self._wakes(db, other, WRITES[name])

    @staticmethod
    async def _wakes(db: BaseDb, writer: BaseDb, write: Write) -> None:
        await paused(db)
        woken: list[bool] = []

        async def wait() -> None:
            woken.append(await db.changed("r1", seen=2, timeout=60))

        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                await write(writer)
        assert woken == [True, True, True]

    async def test_a_watcher_that_comes_later_does_not_take_the_news_away(self, db: BaseDb, other: BaseDb) -> None:
        await paused(db)
        with anyio.fail_after(60):
            for seq in range(3, 23):
                async with anyio.create_task_group() as group:
                    group.start_soon(self._expect_change, db, "r1", seq - 1)
                    await anyio.wait_all_tasks_blocked()
                    await db.load_run("r1")
                    await other.commit(Batch(events=[event(seq)]))
                    await self._expect_change(db, "r1", seq - 1)

    @pytest.mark.parametrize("name", WRITES)
    async def test_a_write_between_reading_and_waiting_is_not_missed(
        self, db: BaseDb, other: BaseDb, name: str
    ) -> None:
        await paused(db)
        await WRITES[name](other)
        with anyio.fail_after(60):
            assert await db.changed("r1", seen=2, timeout=60)

    async def test_a_watcher_of_a_run_that_does_not_exist_yet_sees_it_made(self, db: BaseDb, other: BaseDb) -> None:
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(self._expect_change, db, "r1", 0)
                await anyio.wait_all_tasks_blocked()
                await other.commit(started(seq=0))

    @staticmethod
    async def _expect_change(db: BaseDb, run_id: str, seen: int) -> None:
        assert await db.changed(run_id, seen=seen, timeout=60)

    async def test_a_watcher_in_another_loop_and_thread_is_woken(self, db: BaseDb, anyio_backend_name: str) -> None:
        await paused(db)
        waiting = anyio.Event()
        here = anyio.lowlevel.current_token()

        async def watch() -> bool:
            async with anyio.create_task_group() as group:
                group.start_soon(self._expect_change, db, "r1", 2)
                await anyio.wait_all_tasks_blocked()
                await to_thread.run_sync(lambda: anyio.from_thread.run_sync(waiting.set, token=here))
            return True

        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(to_thread.run_sync, lambda: anyio.run(watch, backend=anyio_backend_name))
                await waiting.wait()
                await db.commit(Batch(events=[event(3)]))

    async def test_a_cancelled_watcher_leaves_the_others_alone(self, db: BaseDb) -> None:
        await paused(db)
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(self._expect_change, db, "r1", 2)
                async with anyio.create_task_group() as cancelled:
                    cancelled.start_soon(self._expect_change, db, "r1", 2)
                    await anyio.wait_all_tasks_blocked()
                    cancelled.cancel_scope.cancel()
                await db.commit(Batch(events=[event(3)]))


class ConcurrencyContract:
    survives_close = True

    async def test_a_cancelled_commit_happens_wholly_or_not_at_all(self, db: BaseDb, other: BaseDb) -> None:
        async def commit(number: int) -> None:
            run_id = f"r{number}"
            batch = started(run_id)
            batch.steps, batch.events = [step(run_id=run_id)], [event(1, run_id=run_id)]
            await db.commit(batch)

        for number in range(24):
            async with anyio.create_task_group() as group:
                group.start_soon(commit, number)
                for _ in range(number % 4):
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
        for number in range(24):
            parts = [
                await db.load_run(f"r{number}") is not None,
                bool(await other.load_steps(f"r{number}")),
                bool(await other.load_events(f"r{number}")),
            ]
            assert len(set(parts)) == 1
        await commit(99)
        assert await other.load_run("r99") is not None

    async def test_tasks_of_several_loops_and_threads_share_the_object(
        self, db: BaseDb, other: BaseDb, anyio_backend_name: str
    ) -> None:
        async def work(thread: int) -> None:
            async def one(number: int) -> None:
                run_id = f"t{thread}-{number}"
                await db.commit(started(run_id, session_id=run_id, data=run_id.encode()))
                await db.commit(Batch(fence=fence(run_id), steps=[step(run_id=run_id)]))
                row = await db.load_run(run_id)
                assert row is not None
                assert row.data == run_id.encode()

            async with anyio.create_task_group() as group:
                for number in range(10):
                    group.start_soon(one, number)

        async def in_thread(thread: int) -> None:
            await to_thread.run_sync(lambda: anyio.run(work, thread, backend=anyio_backend_name))

        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                for thread in range(3):
                    group.start_soon(in_thread, thread)
                await work(3)
        for thread in range(4):
            for number in range(10):
                assert len(await other.load_steps(f"t{thread}-{number}")) == 1

    async def test_open_and_close_may_come_again(self, db: BaseDb) -> None:
        await db.open()
        await db.open()
        await db.commit(Batch(session=session(state={"k": b"1"})))
        await db.aclose()
        await db.aclose()
        await db.open()
        await db.commit(Batch(session=session(state={"l": b"2"})))
        row = await db.load_session("s1")
        assert row is not None
        assert row.state["l"] == b"2"

    async def test_what_was_submitted_before_closing_is_stored(self, db: BaseDb, other: BaseDb) -> None:
        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(db.commit, started(f"r{number}"))
            await anyio.wait_all_tasks_blocked()
            await db.aclose()
        for number in range(10 if self.survives_close else 0):
            assert await other.load_run(f"r{number}") is not None
