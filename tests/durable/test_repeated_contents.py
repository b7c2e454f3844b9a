"""A long text that a run ends with is stored with its step, and once more in no other place of the run's row."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from workflow_runtime import (
    BaseDb,
    Condition,
    Loop,
    Parallel,
    Step,
    StepInput,
    Steps,
    Unreadable,
    Workflow,
)
from workflow_runtime.model import codec

pytestmark = pytest.mark.anyio

TEXT = "".join(f"{number:06}" for number in range(2000))
MARK = b"000777000778"


def say(step_input: StepInput) -> str:
    return TEXT


def small() -> str:
    return "small"


PLANS: dict[str, tuple[list[Any], int]] = {
    "one step": ([say], 1),
    "the last of two": ([small, say], 1),
    "in a container": ([Steps(name="s", steps=[small, say])], 1),
    "in three": (
        [Condition(name="c", evaluator=True, steps=[Loop([Steps(name="s", steps=[say])], name="l")])],
        3,
    ),  # two of the containers have it too
    "in another workflow": ([Step("n", workflow=Workflow(name="inner", steps=[say]))], 2),
    "in a step that is not the last": ([say, small], 1),
    "in a branch": ([Parallel(small, say, name="p")], 2),  # its summary is another text
}


@pytest.mark.parametrize("plan", PLANS)
async def test_it_is_read_as_it_was_and_stored_once(db: BaseDb, plan: str) -> None:
    steps, times = PLANS[plan]
    workflow = Workflow(name="w", steps=steps, db=db)
    output = await workflow.arun("x", run_id="r", session_id="s")
    row = await db.load_run("r")
    assert row is not None
    assert row.data.count(MARK) == times
    stored = await workflow.aget_run_output("r")
    assert stored is not None
    assert stored.content == output.content
    assert stored.to_dict()["content"] == output.content
    assert [step.content for step in stored.step_results] == [step.content for step in output.step_results]
    assert (await workflow.aget_chat_history("s"))[0].output == output.content


async def test_a_content_that_looks_like_the_mark_stays_what_it_is(db: BaseDb) -> None:
    content = {"$": "repeated", "v": 0}
    workflow = Workflow(name="w", steps=[lambda: content], db=db)
    await workflow.arun("x", run_id="r")
    stored = await workflow.aget_run_output("r")
    assert stored is not None
    assert stored.content == content


@pytest.mark.parametrize("depth", [1, -1, "0", None, 10**30, [0]])
async def test_a_row_that_names_no_step_cannot_be_read_and_breaks_no_list(db: BaseDb, depth: Any) -> None:
    workflow = Workflow(name="w", steps=[say], db=db)
    await workflow.arun("x", run_id="r", session_id="s")
    row = await db.load_run("r")
    assert row is not None
    data = msgspec.json.decode(row.data)
    data["content"]["v"] = depth
    output = codec.decode_run(msgspec.json.encode(data))
    assert type(output.content) is Unreadable
    assert output.step_results[0].content == TEXT
