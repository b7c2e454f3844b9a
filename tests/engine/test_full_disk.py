"""A run on a disk that is full fails with what to do, in every mode; what was stored stays, and small runs go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from workflow_runtime import RunStatus, Step, StepInput, StorageError, Workflow
from workflow_runtime.backends import SqliteDb

PAGES = 120  # of 4096 bytes: SQLite then answers as on a full disk, SQLITE_FULL


async def first(step_input: StepInput) -> str:
    return "first"


async def large(step_input: StepInput) -> str:
    return "x" * int(step_input.input)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_a_run_that_the_disk_has_no_room_for_fails_and_says_so(tmp_path: Path, durability: str, stream: bool) -> None:
    db = SqliteDb(tmp_path / "runs.db", max_pages=PAGES)
    steps = [Step(name="first", executor=first), Step(name="large", executor=large)]
    workflow = Workflow(name="w", steps=steps, db=db, durability=durability, session_id="s")
    before = workflow.run(10)

    def run(size: int, run_id: str) -> Any:
        found = workflow.run(size, stream=stream, run_id=run_id)
        return found.result() if stream else found

    with pytest.raises(StorageError, match=r"full|no room|space") as raised:
        run(2_000_000, "too-large")
    assert "runs.db" in str(raised.value)
    kept = workflow.get_run_output(str(before.run_id))
    assert kept is not None
    assert (kept.status, kept.content) == (RunStatus.completed, "x" * 10)
    failed = workflow.get_run_output("too-large")
    assert failed is not None
    assert failed.status is RunStatus.error
    assert "no space" in str(failed.error)
    assert [step.step_name for step in failed.step_results] == ["first"]
    history = anyio.run(workflow.history, "too-large")
    assert [(entry.path, entry.status) for entry in history] == [("0.first", "done"), ("1.large", "open")]
    assert run(20, "small").status is RunStatus.completed
    anyio.run(db.aclose)
