"""Whatever the workflow, the stream keeps AG-UI's rules, and its reader has what a reader of our own events has."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from strategies import Tree, trees

from workflow_runtime import Event, StepContentEvent
from workflow_runtime.server.agui.mapping import RunMapping

from .reader import read


@given(tree=trees(), cut=st.none() | st.integers(0, 30))
def test_the_stream_of_any_tree_is_valid_and_loses_no_text(tree: Tree, cut: int | None) -> None:
    mapping = RunMapping("thread", "run")
    found = mapping.start()
    events: list[Event] = list(tree.workflow().run("in", stream=True, stream_events=True))
    for event in events[:cut]:
        found += mapping.take(event)
    if not mapping.ended:  # it fails at any place: also then what was opened is closed
        found += mapping.fail("it ends here", "test")
    reader = read(found)
    spoken = [event.delta for event in events[:cut] if isinstance(event, StepContentEvent)]
    said = Counter("".join(item for item in spoken if isinstance(item, str)))
    assert said <= Counter("".join(text or "" for text in reader.texts))
    steps = {event.path for event in events[:cut] if "step_name" in event.to_dict() and "Iteration" not in event.event}
    assert len(reader.steps) == len(steps)
    if reader.error is None:
        assert reader.outcome.type == "success"
        assert reader.result == events[-1].to_dict().get("content")
