"""What ``InMemoryDb`` looks at to list open questions is what it gives, however many others are open."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_runtime import InMemoryDb, RunStatus
from workflow_runtime.storage.base import Batch, RequirementRow, RunRow

pytestmark = pytest.mark.anyio


class Counting(dict[str, Any]):
    """A dict that counts what is looked up in it."""

    looked = 0

    def __getitem__(self, key: str) -> Any:
        self.looked += 1
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.looked += 1
        return super().get(key, default)


async def filled(count: int) -> tuple[InMemoryDb, Counting]:
    db = InMemoryDb()
    for number in range(count):
        name = f"r{number:04}"
        row = RunRow(
            run_id=name, session_id=f"s{number}", status=RunStatus.paused, workflow_id="w", user_id=f"u{number}"
        )
        asked = RequirementRow(
            run_id=name,
            requirement_id=f"{name}:q",
            session_id=row.session_id,
            user_id=row.user_id,
            workflow_id="w",
            path="0.a",
            kind="confirmation",
            created_at=float(number),
            timeout_at=5.0 if number == count - 1 else 1e12 if number % 2 else None,
            data=b"{}",
        )
        await db.commit(Batch(run=row, create=True, requirements=[asked]))
    db._runs.by_id = runs = Counting(db._runs.by_id)
    return db, runs


@pytest.mark.parametrize(
    ("ask", "given"),
    [
        ({"due_before": 10.0}, ["r0999"]),
        ({"due_before": 10.0, "workflow_id": "w"}, ["r0999"]),
        ({"due_before": 1.0}, []),
        ({"session_id": "s7"}, ["r0007"]),
        ({"user_id": "u7"}, ["r0007"]),
        ({"user_id": "nobody"}, []),
        ({"workflow_id": "w", "limit": 2}, ["r0000", "r0001"]),
        ({"limit": 2, "after": (500.0, "r0500:q")}, ["r0501", "r0502"]),
        ({"session_id": "s7", "user_id": "u8"}, []),
    ],
)
async def test_a_listing_looks_at_what_it_gives(ask: dict[str, Any], given: list[str]) -> None:
    db, runs = await filled(1000)
    assert [row.run_id for row in await db.list_requirements(**ask)] == given
    assert runs.looked <= 4 * (len(given) + 1)


async def test_what_is_answered_or_deleted_is_not_listed() -> None:
    db, _ = await filled(6)
    (first, second, *_) = await db.list_requirements()
    first.answered_at = 9.0
    await db.answer([first])
    await db.delete_session(second.session_id)
    assert [row.run_id for row in await db.list_requirements(workflow_id="w")] == ["r0002", "r0003", "r0004", "r0005"]
    assert [row.run_id for row in await db.list_requirements(due_before=1e13)] == ["r0003", "r0005"]
