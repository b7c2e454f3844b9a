"""The benchmark of growth, small."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.growth import measure
from workflow_runtime.backends import SqliteDb
from workflow_runtime.storage.base import RunFilter

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_each_piece_of_work_is_measured_on_a_database_that_it_leaves_pruned(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "runs.db")
    found = await measure(db, 20, 3)
    assert len(found) == 10
    assert await db.list_runs(RunFilter(workflow_id="w")) == []
    assert len(await db.list_runs(RunFilter())) == 6
    await db.aclose()
