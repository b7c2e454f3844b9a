"""A continue that fails after it has taken the session's turn gives the turn back. spec: decisions 7."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from workflow_runtime import BaseDb, HumanReview, RunStatus, Step, StorageError, Workflow

pytestmark = pytest.mark.anyio


def work() -> str:
    return "worked"


@pytest.mark.parametrize("policy", ["reject", "queue", "interrupt"])
@pytest.mark.parametrize("call", ["load_steps", "load_requirements", "load_session", "claim"])
async def test_a_session_is_free_after_a_continue_that_failed(
    db: BaseDb, policy: Any, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    review = HumanReview(requires_confirmation=True)
    workflow = Workflow(
        name="w", steps=[Step("work", executor=work, human_review=review)], db=db, session_policy=policy, lease=600.0
    )
    paused = await workflow.arun("x", session_id="s", run_id="r")
    paused.active_step_requirements[0].confirm()
    claimed = False

    def after_claim(name: str) -> Callable[..., Any]:
        original = getattr(db, name)

        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal claimed
            if name == call and (claimed or name == "claim"):
                monkeypatch.undo()
                raise StorageError("the database is away")
            found = await original(*args, **kwargs)
            claimed = claimed or name == "claim"
            return found

        return wrapped

    for name in {"claim", call}:
        monkeypatch.setattr(db, name, after_claim(name))
    with pytest.raises(StorageError, match="is away"):
        await workflow.acontinue_run(paused)
    other = await workflow.arun("x", session_id="s")  # with "reject" it was busy until the lease ran out
    assert other.status is RunStatus.paused
