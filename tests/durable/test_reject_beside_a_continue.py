"""With session_policy="reject", a continue and a new run of one session: one of them runs, whatever their order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from workflow_runtime import BaseDb, HumanReview, RunStatus, SessionBusy, Step, Workflow
from workflow_runtime.engine.start import resume

pytestmark = pytest.mark.anyio

Again = Callable[[], BaseDb]


async def test_a_continue_that_has_the_session_runs_beside_a_new_run_that_is_refused(
    again: Again, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Step("a", executor=lambda: "done", human_review=HumanReview(requires_confirmation=True))
    workflow = Workflow(id="w", steps=[step], db=again(), session_policy="reject")
    paused = await workflow.arun("x", session_id="s", run_id="r1")
    paused.active_step_requirements[0].confirm()
    db = workflow.db
    assert db is not None
    claimed, in_line = anyio.Event(), anyio.Event()
    outcomes: dict[str, Any] = {}
    loading, acquiring, reads = resume.load_journal, db.acquire, []

    async def load(*args: Any) -> Any:
        reads.append(args)
        if len(reads) == 2:  # the run is claimed; the new one joins the line before it
            claimed.set()
            await in_line.wait()
        return await loading(*args)

    async def acquire(name: str, **options: Any) -> bool:
        if options["owner"].endswith(":r2"):
            in_line.set()
            await anyio.wait_all_tasks_blocked()
        return await acquiring(name, **options)

    async def new() -> None:
        await claimed.wait()
        try:
            await workflow.arun("y", session_id="s", run_id="r2")
        except SessionBusy as error:
            outcomes["new"] = error

    monkeypatch.setattr(resume, "load_journal", load)
    monkeypatch.setattr(db, "acquire", acquire)
    async with anyio.create_task_group() as group:
        group.start_soon(new)
        output = await workflow.acontinue_run(paused)
    assert output.status is RunStatus.completed
    assert type(outcomes["new"]) is SessionBusy
