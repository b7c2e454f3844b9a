"""The events of a step that are built in one go are those that ``Frame.emit`` builds of any fields. (D1, D14)"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_runtime import (
    Image,
    Parallel,
    RunContext,
    Step,
    StepCompletedEvent,
    StepContentEvent,
    StepOutput,
    StepOutputEvent,
    StepStartedEvent,
    Workflow,
)
from workflow_runtime.core.plan import Node
from workflow_runtime.engine.bus import step_events
from workflow_runtime.engine.run.frame import Frame
from workflow_runtime.testing import FakeClock

Place = tuple[Frame, Node, str]
contents = st.none() | st.text(max_size=5) | st.integers() | st.lists(st.integers(), max_size=2) | st.booleans()
outputs = st.builds(
    StepOutput,
    content=contents,
    step_name=st.text(max_size=3),
    images=st.none() | st.just([Image(url="https://example.org/a.png")]),
    success=st.booleans(),
    stop=st.booleans(),
)


def places() -> list[Place]:
    """Where steps stand: outermost, with an id of their own, in a container, in a nested workflow."""
    found: list[Place] = []

    async def here(run_context: RunContext) -> None:
        found.append((run_context._frame, run_context._node, run_context.path))

    nested = Workflow(name="inner", steps=[Step("deep", executor=here)])
    steps: list[Any] = [
        Step("first", executor=here),
        Step("named", executor=here, step_id="mine"),
        Parallel(Step("left", executor=here), Step("right", executor=here), name="both"),
        Step("nested", workflow=nested),
    ]
    asyncio.run(Workflow(name="outer", steps=steps, clock=FakeClock()).arun("x", session_id="s"))
    return found


PLACES = places()


def test_the_places_differ_in_what_an_event_says_of_them() -> None:
    frames = [frame for frame, _, _ in PLACES]
    assert [(frame.depth, frame.parent) for frame in frames] == [
        (0, None),
        (0, None),
        (0, "2.both"),
        (0, "2.both"),
        (1, "3.nested"),
    ]


@pytest.mark.parametrize("place", PLACES, ids=[path for _, _, path in PLACES])
@given(output=outputs, delta=contents, attempt=st.integers(1, 3))
def test_an_event_built_in_one_go_is_the_one_that_emit_builds(
    place: Place, output: StepOutput, delta: Any, attempt: int
) -> None:
    frame, node, path = place
    stamps = frame.stamps(node, path)
    said = {
        "content": output.content,
        "content_type": type(output.content).__name__ if output.content is not None else "str",
        "images": output.images,
        "step_response": output,
    }
    assert step_events.step_started(frame, node, path) == StepStartedEvent(**stamps)
    assert step_events.step_output(frame, node, path, output) == StepOutputEvent(**stamps, step_output=output)
    assert step_events.step_completed(frame, node, path, output) == StepCompletedEvent(**stamps, **said)
    assert step_events.step_content(frame, node, path, delta, attempt) == StepContentEvent(
        **stamps, delta=delta, attempt=attempt
    )
