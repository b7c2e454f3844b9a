"""What a database has to do for schedules: keep them, and give each time to one caller."""

from __future__ import annotations

from typing import Any

import anyio

from ..storage.base import BaseDb, ScheduleRow

__all__ = ["ScheduleContract"]


def schedule(name: str = "nightly", **fields: Any) -> ScheduleRow:
    values: dict[str, Any] = {"workflow_id": "wf", "next_at": 100.0, "created_at": 1.0, "data": b"cron", **fields}
    return ScheduleRow(name=name, **values)


class ScheduleContract:
    """``put_schedule``, ``move_schedule``, ``delete_schedule`` and ``list_schedules``."""

    async def test_a_schedule_is_kept_and_listed(self, db: BaseDb, other: BaseDb) -> None:
        assert await db.list_schedules() == []
        assert await db.put_schedule(schedule()) == schedule()
        await db.put_schedule(schedule("later", next_at=200.0))
        await db.put_schedule(schedule("nightly", workflow_id="another"))
        rows = await other.list_schedules()
        assert [(row.workflow_id, row.name) for row in rows] == [
            ("another", "nightly"),
            ("wf", "later"),
            ("wf", "nightly"),
        ]
        assert await other.list_schedules(workflow_id="wf", due_before=100.0) == [schedule()]
        assert await other.list_schedules(workflow_id="wf", due_before=99.9) == []

    async def test_the_same_schedule_keeps_its_time_and_another_replaces_it(self, db: BaseDb, other: BaseDb) -> None:
        await db.put_schedule(schedule())
        assert await other.put_schedule(schedule(next_at=500.0, created_at=2.0)) == schedule()
        changed = await other.put_schedule(schedule(next_at=500.0, created_at=2.0, data=b"other"))
        assert changed == schedule(next_at=500.0, data=b"other")
        assert await db.list_schedules() == [changed]

    async def test_each_time_is_moved_on_by_one_caller(self, db: BaseDb, other: BaseDb) -> None:
        row = await db.put_schedule(schedule())
        moved: list[bool] = []

        async def move(at: BaseDb) -> None:
            moved.append(await at.move_schedule(row, next_at=200.0))

        async with anyio.create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(move, (db, other)[number % 2])
        assert sorted(moved) == [False] * 5 + [True]
        assert await db.list_schedules() == [schedule(next_at=200.0)]

    async def test_a_schedule_that_was_replaced_or_deleted_is_not_moved(self, db: BaseDb) -> None:
        row = await db.put_schedule(schedule())
        await db.put_schedule(schedule(data=b"other"))
        assert not await db.move_schedule(row, next_at=200.0)
        assert await db.delete_schedule("wf", "nightly")
        assert not await db.delete_schedule("wf", "nightly")
        assert not await db.move_schedule(schedule(data=b"other"), next_at=200.0)
        assert await db.list_schedules() == []
