"""A process that cancels a branch of its run is killed at each of its writes: the branch is cancelled once, for good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from workflow_runtime import RunStatus
from workflow_runtime.storage.registry import open_url

from .processes import ForkServer
from .steered import build

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_branch_stays_cancelled_whatever_write_its_process_is_killed_at(
    workers: ForkServer, new_url: Callable[[], str], tmp_path: Path, after: bool
) -> None:
    write, killed = 0, True
    while killed:
        write += 1
        url, effects = new_url(), tmp_path / f"effects{write}"
        killed = workers.run("cancel_a_branch", url=url, effects=str(effects), write=write, after=after) == -9
        db = open_url(url)
        if killed:
            before = await db.load_messages("r1")
            begun = effects.read_text().split("\n").count("a") if effects.exists() else 0
            assert workers.run("cancel_a_branch", url=url, effects=str(effects), write=0, after=after) == 0
            if before:  # the order was stored: the branch that it cancels is not begun again
                assert effects.read_text().split("\n").count("a") == begun, f"killed at write {write}"
        output = await build(db, effects).aget_run("r1")
        assert output is not None
        assert output.status is RunStatus.completed
        branches = output.step_results[0].steps or []
        assert [(step.step_name, step.cancelled) for step in branches] == [("a", True), ("b", False)]
        assert [row.message_id for row in await db.load_messages("r1")] == ["m1"]
        receipts = [row for row in await db.load_steps("r1") if "!order:" in row.path]
        assert [row.path for row in receipts] == ["0.p/0.a!order:m1"]
        await db.aclose()
    assert write > 3, write
