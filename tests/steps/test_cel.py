"""CEL expressions decide in conditions, loops and routers; they are compiled when the workflow is built."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest

from workflow_runtime import BuildError, Condition, Loop, Router, RunStatus, Step, StepInput, Workflow

pytestmark = pytest.mark.anyio
importlib.import_module("cel")  # its first import reads files, which is not what is watched here


async def _say(step_input: StepInput) -> str:
    return "said"


def _steps() -> list[Any]:
    return [
        Condition([Step("urgent", executor=_say)], evaluator="input.contains('now')", name="if"),
        Loop([Step("again", executor=_say)], end_condition="current_iteration >= 2", max_iterations=5, name="loop"),
        Router(
            [Step("loud", executor=_say), Step("quiet", executor=_say)],
            selector="session_state.loud ? 'loud' : 'quiet'",
            name="route",
        ),
    ]


@pytest.mark.parametrize(
    ("text", "loud", "ran"),
    [("now", True, ["urgent", "again", "again", "loud"]), ("later", False, ["again", "again", "quiet"])],
)
async def test_expressions_decide_and_need_their_package_only_to_be_compiled(
    monkeypatch: pytest.MonkeyPatch, text: str, loud: bool, ran: list[str]
) -> None:
    workflow = Workflow(name="w", steps=_steps())
    assert (await workflow.arun("warm", session_state={"loud": True})).status == RunStatus.completed
    monkeypatch.setitem(sys.modules, "cel", None)  # from here on it cannot be imported
    stream = workflow.arun(text, session_state={"loud": loud}, stream=True, stream_events=True)
    started = [event.step_name for event in [event async for event in stream] if event.event == "StepStarted"]
    assert started == ran


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_missing_package_is_named_with_the_extra_that_has_it(
    monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    monkeypatch.setitem(sys.modules, "cel", None)
    with pytest.raises(BuildError, match=r"(if|loop|route)'?: the expression .* install 'workflow-runtime\[cel\]'"):
        await Workflow(name="w", steps=[_steps()[place]]).arun("x")
