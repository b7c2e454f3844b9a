"""Events and outputs on the wire: one JSON object each, and back with their types."""

from __future__ import annotations

import pickle
from typing import Any

import msgspec
import pytest

import workflow_runtime
from workflow_runtime import (
    CustomEvent,
    Image,
    RunEvent,
    RunStatus,
    StepCompletedEvent,
    StepContentEvent,
    StepInput,
    StepOutput,
    TeamRunEvent,
    WorkflowCompletedEvent,
    WorkflowRunEvent,
    WorkflowRunOutput,
    WorkflowStartedEvent,
)
from workflow_runtime.model import codec, events, executor_events
from workflow_runtime.model.executor_events import EXECUTOR_EVENTS, executor_event

from .kinds import Point

OWN = [
    kind
    for name in events.__all__
    if isinstance(kind := getattr(events, name), type)
    and issubclass(kind, events.WorkflowEvent)
    and kind not in (events.WorkflowEvent, events.UnknownEvent)
]


class PageFound(CustomEvent):
    """Stored with its type, since this module can be imported."""


@pytest.mark.parametrize("kind", [*OWN, *EXECUTOR_EVENTS.values()], ids=lambda kind: kind.__name__)
def test_every_event_goes_to_the_wire_and_back(kind: Any) -> None:
    event = kind(seq=7, epoch=2, created_at=3, run_id="r", session_id="s", workflow_id="w", path="0.a", nested_depth=1)
    data = codec.encode_event(event)
    found = codec.decode_event(data)
    assert found == event
    assert type(found) is kind
    plain = msgspec.json.decode(data)
    assert (plain["event"], plain["seq"], plain["path"]) == (event.event, 7, "0.a")
    assert event.id == "2-7"
    assert codec.event_from_dict(event.to_dict()) == event


@pytest.mark.parametrize("name", EXECUTOR_EVENTS)
def test_the_class_of_an_executors_event_is_one_and_is_found_by_its_own_name(name: str) -> None:
    kind = pickle.loads(pickle.dumps(EXECUTOR_EVENTS[name]))
    assert kind is EXECUTOR_EVENTS[name]
    assert (kind.__name__, kind().event) == (f"{name}Event", name)
    assert pickle.loads(pickle.dumps(kind(seq=1, content="x"))) == kind(seq=1, content="x")


def test_a_name_that_no_executors_event_has_is_refused() -> None:
    assert EXECUTOR_EVENTS.get("RunStartled") is None
    for name in ("RunStartledEvent", "RunStarted"):
        with pytest.raises(AttributeError, match=name):
            getattr(executor_events, name)


def test_every_name_of_the_enums_is_the_name_of_an_event() -> None:
    own = {str(kind.__struct_config__.tag) for kind in OWN} | {"CustomEvent"}
    assert {member.value for member in WorkflowRunEvent} <= own
    executors = {member.value for enum in (RunEvent, TeamRunEvent) for member in enum} - {"CustomEvent"}
    assert executors == set(EXECUTOR_EVENTS)


def test_every_event_class_is_public() -> None:
    assert [kind.__name__ for kind in OWN if not hasattr(workflow_runtime, kind.__name__)] == []


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        WorkflowStartedEvent(seq=1).seq = 2  # type: ignore[misc]  # that it is refused is the point


def test_the_users_values_in_an_event_keep_their_types() -> None:
    output = StepOutput((1, Point(2)), "a", steps=[StepOutput({"when": {1, 2}}, "b")], images=[Image(content=b"\x00")])
    event = StepCompletedEvent(seq=1, path="0.a", content=Point(1), step_response=output)
    found = codec.decode_event(codec.encode_event(event))
    assert isinstance(found, StepCompletedEvent)
    assert (found.content, found.step_response) == (Point(1), output)


def test_an_event_of_a_newer_version_is_kept_as_it_is() -> None:
    data = b'{"event":"StepDreamt","seq":9,"path":"0.a","dream":{"deep":[1]}}'
    found = codec.decode_event(data)
    assert (found.event, found.seq, found.path) == ("StepDreamt", 9, "0.a")
    assert msgspec.json.decode(codec.encode_event(found)) == msgspec.json.decode(data)


def test_a_known_event_with_a_newer_field_is_still_read() -> None:
    found = codec.decode_event(b'{"event":"StepStarted","seq":1,"step_name":"a","mood":"fine"}')
    assert (found.event, found.step_name) == ("StepStarted", "a")


def test_a_custom_event_keeps_its_class_where_that_can_be_imported() -> None:
    found = codec.decode_event(codec.encode_event(PageFound(seq=1, page=7, at=Point(3))))
    assert isinstance(found, PageFound)
    assert (found.seq, found.page, found.at) == (1, 7, Point(3))


def test_a_custom_event_of_a_class_that_is_gone_is_a_plain_one() -> None:
    data = codec.encode_event(PageFound(seq=1, page=7)).replace(b"PageFound", b"Vanished")
    found = codec.decode_event(data)
    assert (type(found), found.page) == (CustomEvent, 7)


def test_a_mapping_without_a_name_is_no_event() -> None:
    with pytest.raises(ValueError, match="a text under 'event' is needed"):
        codec.event_from_dict({"seq": 1})


@pytest.mark.parametrize(
    ("raw", "kind", "fields"),
    [
        ({"event": "RunContent", "content": "x"}, "RunContent", {"content": "x"}),
        ({"event": "RunStarted", "agent_id": "a", "run_id": "r"}, "RunStarted", {"executor_id": "a"}),
        ({"event": "TeamRunContent", "team_name": "t"}, "TeamRunContent", {"executor_name": "t"}),
        ({"event": "ToolCallStarted", "tool": {"n": 1}, "x": 2}, "ToolCallStarted", {"extra": {"x": 2}}),
        ({"event": "SomethingElse", "x": 2}, "CustomEvent", {"name": "SomethingElse", "x": 2}),
    ],
)
def test_what_another_library_says_becomes_a_typed_event(raw: Any, kind: str, fields: dict[str, Any]) -> None:
    event = executor_event(raw)
    assert event is not None
    assert event.event == kind
    assert {name: getattr(event, name) for name in fields} == fields


def test_what_has_no_event_name_is_no_event() -> None:
    assert executor_event({"content": "x"}) is None
    assert executor_event(object()) is None


def test_merged_text_knows_how_long_its_parts_were() -> None:
    event = StepContentEvent(seq=3, delta="abc", last_seq=5, lengths=[1, 1, 1], path="0.a")
    assert codec.decode_event(codec.encode_event(event)) == event


# -- outputs -------------------------------------------------------------------------------------------------------------


def test_a_run_output_goes_to_bytes_and_back() -> None:
    output = WorkflowRunOutput(
        run_id="r",
        status=RunStatus.completed,
        input={"q": (1, 2)},
        content=Point(1),
        step_results=[StepOutput(Point(2), "a")],
        session_state={"s": {1}},
        images=[Image(url="u")],
    )
    found = codec.decode_run(codec.encode_run(output))
    assert (found.input, found.content, found.session_state) == ({"q": (1, 2)}, Point(1), {"s": {1}})
    assert (found.step_results, found.images, found.status) == (output.step_results, output.images, RunStatus.completed)


def test_a_run_output_goes_to_a_dictionary_and_back() -> None:
    output = WorkflowRunOutput(run_id="r", content="x", step_results=[StepOutput("x", "a")])
    output.events = [WorkflowStartedEvent(seq=1), WorkflowCompletedEvent(seq=2, content="x")]
    found = WorkflowRunOutput.from_dict(output.to_dict())
    assert (found.content, found.step_results, found.events) == ("x", output.step_results, output.events)


# -- step input ----------------------------------------------------------------------------------------------------------


def step_input() -> StepInput:
    both = StepOutput("summary", "both", step_type="Parallel", steps=[StepOutput("1", "l"), StepOutput("2", "r")])
    box = StepOutput("done", "box", step_type="Steps", steps=[StepOutput("x", "in"), StepOutput("deep", "last")])
    return StepInput({"q": 1}, "deep", {"a": StepOutput("A", "a"), "both": both, "box": box})


@pytest.mark.parametrize(
    ("name", "content"), [("a", "A"), ("both", {"l": "1", "r": "2"}), ("box", "deep"), ("in", "x"), ("nowhere", None)]
)
def test_the_content_of_an_earlier_step_is_found_at_any_depth(name: str, content: Any) -> None:
    assert step_input().get_step_content(name) == content


def test_a_step_input_tells_what_was_before() -> None:
    given = step_input()
    assert given.get_last_step_content() == "deep"
    assert given.get_all_previous_content() == "=== a ===\nA\n\n=== both ===\nsummary\n\n=== box ===\ndone"
    assert given.get_input_as_string() == '{\n  "q": 1\n}'
    assert StepInput().get_last_step_content() is None
    assert StepInput().get_all_previous_content() == ""


def test_an_event_comes_from_a_dictionary_by_its_name_or_its_class() -> None:
    data = WorkflowStartedEvent(run_id="r", seq=3).to_dict()
    assert WorkflowStartedEvent.from_dict(data) == WorkflowStartedEvent(run_id="r", seq=3)
    assert StepContentEvent.from_dict(data) == WorkflowStartedEvent(run_id="r", seq=3)
    assert StepContentEvent.from_dict({"delta": "a"}) == StepContentEvent(delta="a")
    found = PageFound.from_dict(PageFound(url="u", is_error=True).to_dict())
    assert isinstance(found, PageFound)
    assert found.fields() == {"url": "u", "is_error": True}


def test_an_event_says_how_the_run_ended() -> None:
    endings = [WorkflowCompletedEvent(), events.WorkflowErrorEvent(), events.WorkflowCancelledEvent(), PageFound()]
    assert [event.status for event in endings] == ["Completed", "Error", "Cancelled", "Completed"]
    assert events.WorkflowPausedEvent().status == "PAUSED"
    assert PageFound(status="mine").status == "mine"


def test_json_of_an_event_may_be_indented() -> None:
    for event in (WorkflowStartedEvent(run_id="ü"), PageFound(url="ü")):
        assert "\n" not in event.to_json()
        assert msgspec.json.decode(event.to_json(indent=2)) == msgspec.json.decode(event.to_json())
        assert event.to_json(indent=2).startswith("{\n  ")
        assert "ü" in event.to_json(separators=(",", ":"))


def test_half_a_character_is_written_as_its_escape() -> None:
    for event in (StepContentEvent(delta="a\ud800"), PageFound(url="a\ud800")):
        assert "\\ud800" in event.to_json()
