"""The contract of messages to runs: kept once and in order, signalled, refused, seen before a run pauses."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from ..model.enums import RunStatus
from ..model.errors import (
    AnswersArrived,
    CallbackExpired,
    MessageConflict,
    NotAwaited,
    RunEnded,
    RunNotFound,
    StorageError,
)
from ..storage.base import ORDERS, RECEIVES, BaseDb, Batch, MessageRow, RunFilter
from .contract_rows import fence, requirement, run, started, step

__all__ = ["MessageContract"]

_PAUSED = frozenset({RunStatus.PAUSED})


def message(message_id: str = "m1", run_id: str = "r1", **fields: Any) -> MessageRow:
    values: dict[str, Any] = {"topic": "t", "created_at": 10.0, "data": b"1", **fields}
    return MessageRow(run_id=run_id, message_id=message_id, **values)


def wait(requirement_id: str = "w1", topic: str = "t", **fields: Any) -> Any:
    return requirement(requirement_id, kind=RECEIVES + topic, **fields)


async def paused(db: BaseDb, *waits: Any) -> None:
    await db.commit(started())
    await db.commit(Batch(fence=fence(), run=run(status=RunStatus.PAUSED), requirements=waits))


class MessageContract:
    """``other`` is another database object over the same data where there can be one."""

    async def test_messages_are_kept_in_their_order(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started())
        await db.commit(started("r2"))
        assert [(await db.send(message(f"m{number}"))).number for number in (3, 1, 2)] == [1, 2, 3]
        assert (await other.send(message("m1", "r2", data=b"2"))).number == 1
        found = await other.load_messages("r1")
        assert [(row.number, row.message_id, row.topic, row.created_at, row.data) for row in found] == [
            (1, "m3", "t", 10.0, b"1"),
            (2, "m1", "t", 10.0, b"1"),
            (3, "m2", "t", 10.0, b"1"),
        ]
        assert [row.number for row in await other.load_messages("r1", after=2)] == [3]
        assert await db.load_messages("nobody") == []

    async def test_a_repeated_message_counts_once(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started())
        first = await db.send(message())
        again = await other.send(message(created_at=20.0))
        assert (first.repeated, again.repeated) == (False, True)
        assert (again.number, again.created_at) == (1, 10.0)
        assert len(await db.load_messages("r1")) == 1

    async def test_another_message_of_a_known_id_is_refused(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started())
        await db.send(message())
        for changed in (message(data=b"2"), message(topic="u")):
            with pytest.raises(MessageConflict):
                await other.send(changed)
        assert [row.data for row in await db.load_messages("r1")] == [b"1"]

    async def test_many_at_once_get_numbers_of_their_own(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started())
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon((db if number % 2 else other).send, message(f"m{number // 2}"))
        assert [row.number for row in await db.load_messages("r1")] == list(range(1, 11))

    async def test_a_run_that_is_unknown_or_has_ended_takes_no_message(self, db: BaseDb) -> None:
        with pytest.raises(RunNotFound):
            await db.send(message())
        await db.commit(started())
        await db.send(message())
        await db.commit(Batch(fence=fence(), run=run(status=RunStatus.COMPLETED)))
        with pytest.raises(RunEnded):
            await db.send(message("m2"))
        assert (await db.send(message())).repeated
        assert len(await db.load_messages("r1")) == 1

    async def test_a_new_message_may_be_late_and_a_repeated_one_is_not(self, db: BaseDb) -> None:
        await db.commit(started())
        with pytest.raises(CallbackExpired):
            await db.send(message(expires_at=9.0))
        await db.send(message(expires_at=11.0))
        assert (await db.send(message(created_at=12.0, expires_at=11.0))).repeated

    async def test_a_message_may_be_for_those_who_wait_only(self, db: BaseDb) -> None:
        await db.commit(started())
        with pytest.raises(NotAwaited):
            await db.send(message(only_if_awaited=True))
        await db.commit(Batch(fence=fence(), requirements=[wait(topic="u"), wait("w2", withdrawn_at=1.0)]))
        with pytest.raises(NotAwaited):
            await db.send(message(only_if_awaited=True))
        await db.commit(Batch(fence=fence(), requirements=[wait("w3")]))
        assert (await db.send(message(only_if_awaited=True))).awaited
        assert not (await db.send(message("m2", topic="v"))).awaited

    async def test_the_owner_of_a_running_run_is_signalled(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started())
        await other.send(message())
        await other.send(message())
        assert [(row.run_id, row.kind) for row in await db.take_signals("a")] == [("r1", "message")]
        assert await db.take_signals("a") == []

    async def test_a_paused_run_is_signalled_if_it_waits_for_the_topic(self, db: BaseDb, other: BaseDb) -> None:
        await paused(db, wait(topic="u"), requirement("q1"))
        await other.send(message())
        where = RunFilter(statuses=_PAUSED, signalled=True)
        assert await db.list_runs(where) == []
        await other.send(message("m2", topic="u"))
        assert [row.run_id for row in await db.list_runs(where)] == ["r1"]
        await db.claim("r1", owner="b", now=20.0, lease=9.0, statuses=_PAUSED, expired_only=False)
        assert await db.take_signals("b") == []

    async def test_a_paused_run_is_signalled_by_an_order_to_one_of_its_steps(self, db: BaseDb, other: BaseDb) -> None:
        await paused(db, requirement("q1"))
        await other.send(message(topic=ORDERS))
        where = RunFilter(statuses=_PAUSED, signalled=True)
        assert [row.run_id for row in await db.list_runs(where)] == ["r1"]

    async def test_a_run_does_not_pause_before_it_has_seen_its_messages(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started())
        await other.send(message())
        pause = Batch(fence=fence(), run=run(status=RunStatus.PAUSED), requirements=[wait()], messages_seen=0)
        with pytest.raises(AnswersArrived):
            await db.commit(pause)
        assert await other.load_requirements("r1") == []
        pause.messages_seen = 1
        await db.commit(pause)
        stored = await other.load_run("r1")
        assert stored is not None
        assert stored.status is RunStatus.PAUSED

    async def test_a_pause_takes_the_signals_of_messages_and_no_others(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started())
        await other.send(message())
        await db.commit(Batch(fence=fence(), run=run(status=RunStatus.PAUSED)))
        where = RunFilter(statuses=_PAUSED, signalled=True)
        assert await other.list_runs(where) == []
        await other.request_cancel("r1", now=1.0)
        assert [row.run_id for row in await other.list_runs(where)] == ["r1"]
        assert [row.message_id for row in await other.load_messages("r1")] == ["m1"]

    async def test_messages_go_with_their_run(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started())
        await db.send(message())
        await db.delete_session("s1")
        assert await other.load_messages("r1") == []
        await db.commit(started())
        assert (await db.send(message(data=b"2"))).number == 1

    async def test_a_message_is_what_it_was_byte_by_byte(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started())
        await db.send(message("ü\n", topic="a/b?ü", data=b"\x00\xff"))
        (found,) = await other.load_messages("r1")
        assert (found.message_id, found.topic, found.data) == ("ü\n", "a/b?ü", b"\x00\xff")

    async def test_one_entry_of_the_journal_is_loaded_alone(self, db: BaseDb, other: BaseDb) -> None:
        steps = [step("0.a"), step("0.a!memo", position=1)]
        await db.commit(Batch(run=run(), steps=steps))
        assert [row.path for row in await other.load_steps("r1", path="0.a!memo")] == ["0.a!memo"]
        assert await other.load_steps("r1", path="0") == []

    async def test_a_message_to_a_deleted_run_is_refused(self, db: BaseDb) -> None:
        await db.commit(started())
        await db.delete_session("s1")
        with pytest.raises((RunNotFound, StorageError)):
            await db.send(message())
