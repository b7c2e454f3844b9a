"""core.lifecycle, core.filters, core.state and core.binding: decisions that need no event loop. (D2, D15, D16)"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_runtime import (
    BuildError,
    CustomEvent,
    EngineError,
    RunEvent,
    RunStatus,
    StepCompletedEvent,
    StepContentEvent,
    StepStartedEvent,
    UnserializableError,
    WorkflowCompletedEvent,
    WorkflowResumedEvent,
    WorkflowRunEvent,
    WorkflowStartedEvent,
)
from workflow_runtime.core.binding import bind, callable_name
from workflow_runtime.core.filters import event_name, skip_sieve, stream_sieve, subscription_sieve
from workflow_runtime.core.lifecycle import MOVING, TERMINAL_EVENTS, TRANSITIONS, next_status, status_after
from workflow_runtime.core.state import changes, copied, merged, snapshot
from workflow_runtime.model.executor_events import EXECUTOR_EVENTS

# -- the lifecycle table -------------------------------------------------------------------------------------------------

MOVES = sorted({event for _, event in TRANSITIONS})


@pytest.mark.parametrize(("status", "event"), list(itertools.product(RunStatus, [*MOVES, "StepStarted"])))
def test_every_pair_of_status_and_event_is_in_the_table_or_refused(status: RunStatus, event: str) -> None:
    if (status, event) in TRANSITIONS:
        assert next_status(status, event) is TRANSITIONS[status, event]
    elif event == "StepStarted" and status is RunStatus.running:
        assert next_status(status, event) is status
    else:
        with pytest.raises(EngineError, match=f"{event} cannot be published by a run that is {status.value}"):
            next_status(status, event)


def test_the_events_that_move_a_run_are_those_of_the_table() -> None:
    assert sorted(event_name(kind) for kind in MOVING) == MOVES


@pytest.mark.parametrize("status", RunStatus)
def test_only_events_of_the_outermost_workflow_move_a_run(status: RunStatus) -> None:
    for event in (WorkflowCompletedEvent(nested_depth=1), StepStartedEvent(), CustomEvent(event="WorkflowCompleted")):
        if status is RunStatus.running:
            assert status_after(status, event) is status
        else:
            with pytest.raises(EngineError, match=f"{event.event} cannot be published by a run that is {status.value}"):
                status_after(status, event)
    if status is RunStatus.running:
        assert status_after(status, WorkflowCompletedEvent()) is RunStatus.completed


def test_nothing_follows_a_final_status() -> None:
    for status in RunStatus:
        if status.is_final:
            assert not [event for known, event in TRANSITIONS if known is status]


def test_every_terminal_event_leads_where_its_name_says() -> None:
    for (_, event), status in TRANSITIONS.items():
        if event in TERMINAL_EVENTS:
            assert status is TERMINAL_EVENTS[event]
    assert {status for status in TERMINAL_EVENTS.values() if not status.is_final} == {RunStatus.paused}


# -- filters -------------------------------------------------------------------------------------------------------------

RUN_CONTENT, RUN_STARTED, RUN_COMPLETED = (
    EXECUTOR_EVENTS[name]() for name in ("RunContent", "RunStarted", "RunCompleted")
)


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ((True, True), "all"),
        ((False, True), {"WorkflowStarted", "StepContent", "RunContent", "CustomEvent", "WorkflowCompleted"}),
        (
            (True, False),
            {"WorkflowStarted", "StepStarted", "StepContent", "CustomEvent", "WorkflowCompleted"},
        ),
        ((False, False), {"WorkflowStarted", "StepContent", "CustomEvent", "WorkflowCompleted"}),
    ],
)
def test_what_a_stream_shows(options: tuple[bool, bool], shown: Any) -> None:
    events = [
        WorkflowStartedEvent(),
        StepStartedEvent(),
        StepContentEvent(),
        RUN_STARTED,
        RUN_CONTENT,
        RUN_COMPLETED,
        CustomEvent(),
        WorkflowCompletedEvent(),
    ]
    sieve = stream_sieve(*options)
    if shown == "all":
        assert sieve is None
    else:
        assert sieve is not None
        assert {event.event for event in events if sieve(event)} == shown


def test_without_executor_events_a_nested_workflow_shows_its_ends_only() -> None:
    sieve = stream_sieve(True, False)
    assert sieve is not None
    assert not sieve(StepStartedEvent(nested_depth=1))
    assert sieve(WorkflowCompletedEvent(nested_depth=1))


@pytest.mark.parametrize("name", [WorkflowRunEvent.step_started, "StepStarted", StepStartedEvent])
def test_events_are_named_by_member_text_or_class(name: Any) -> None:
    assert event_name(name) == "StepStarted"
    sieve = skip_sieve([name])
    assert sieve is not None
    assert not sieve(StepStartedEvent())
    assert sieve(StepCompletedEvent())
    assert event_name(RunEvent.run_content) == "RunContent"


def test_skipping_nothing_is_no_sieve() -> None:
    assert skip_sieve(None) is None
    assert skip_sieve([]) is None


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("research.*", ["0.research", "0.research/1.write", "0.research/1.write/0.x"]),
        ("research", ["0.research"]),
        ("0.research/*", ["0.research/1.write", "0.research/1.write/0.x"]),
        ("research.write", ["0.research/1.write"]),
        ("*", ["0.research", "0.research/1.write", "0.research/1.write/0.x", "1.end"]),
        ("other.*", []),
    ],
)
def test_a_subscription_may_follow_one_part_of_the_tree(pattern: str, matches: list[str]) -> None:
    sieve = subscription_sieve(None, pattern)
    assert sieve is not None
    paths = ["0.research", "0.research/1.write", "0.research/1.write/0.x", "1.end"]
    assert [path for path in paths if sieve(StepStartedEvent(path=path))] == matches
    assert sieve(WorkflowCompletedEvent()), "the end always comes"


def test_what_takes_events_back_is_neither_filtered_nor_skipped() -> None:
    resumed = WorkflowResumedEvent(after_seq=3)
    for sieve in (
        subscription_sieve(["StepStarted"], "research"),
        skip_sieve(["WorkflowResumed", "StepStarted"]),
        stream_sieve(False, False),
    ):
        assert sieve is not None
        assert sieve(resumed)
    assert skip_sieve(["WorkflowResumed"]) is None
    nested = WorkflowResumedEvent(after_seq=3, nested_depth=1, path="0.a")
    shows = subscription_sieve(["StepStarted"], None)
    assert shows is not None
    assert not shows(nested)


# -- state ---------------------------------------------------------------------------------------------------------------

states = st.dictionaries(
    st.text("abc", min_size=1, max_size=2),
    st.recursive(
        st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text("ab", max_size=2), inner), max_leaves=5
    ),
    max_size=4,
)


@given(base=states, over=states)
def test_merging_changes_neither_side_and_keeps_every_key_of_both(base: dict[str, Any], over: dict[str, Any]) -> None:
    before = (repr(base), repr(over))
    found = merged(base, over)
    assert (repr(base), repr(over)) == before
    assert found.keys() == base.keys() | over.keys()
    for key, value in over.items():
        if not (isinstance(value, dict) and isinstance(base.get(key), dict)):
            assert found[key] == value
    found.clear()
    assert (repr(base), repr(over)) == before


@given(before=states, after=states)
def test_a_patch_leads_from_one_state_to_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    old, new = snapshot(before), snapshot(after)
    patch = changes(old, new)
    patched = {**old, **patch}
    assert {key: value for key, value in patched.items() if value is not None} == new
    assert all(old.get(key) != value for key, value in patch.items()), "it names what changed only"


def test_nested_dicts_merge_and_lists_are_replaced() -> None:
    assert merged({"n": {"a": 1, "l": [1, 2]}}, {"n": {"b": 2, "l": [3]}}) == {"n": {"a": 1, "b": 2, "l": [3]}}


def test_a_copy_shares_no_container() -> None:
    original = {"a": [{"b": {1, 2}}]}
    copy = copied(original)
    copy["a"][0]["b"].add(3)
    assert original == {"a": [{"b": {1, 2}}]}


def test_a_snapshot_names_the_key_that_cannot_be_stored() -> None:
    with pytest.raises(UnserializableError, match=r"session_state\['bad'\]"):
        snapshot({"fine": 1, "bad": object()})


# -- binding -------------------------------------------------------------------------------------------------------------


def plain(step_input: Any) -> None: ...
async def coroutine(step_input: Any) -> None: ...
def generator(step_input: Any) -> Any:
    yield


async def async_generator(step_input: Any) -> Any:
    yield


class Object:
    async def __call__(self, step_input: Any) -> None: ...

    def method(self, step_input: Any) -> Any:
        yield


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (plain, "function"),
        (coroutine, "coroutine"),
        (generator, "generator"),
        (async_generator, "async_generator"),
        (Object(), "coroutine"),
        (Object().method, "generator"),
        (functools.partial(coroutine), "coroutine"),
        (functools.partial(functools.partial(async_generator)), "async_generator"),
        (len, "function"),
    ],
)
def test_the_kind_of_a_callable_is_found_through_partials_and_objects(function: Any, kind: str) -> None:
    assert bind(function, supplied=["step_input"], default="step_input", where="here").kind == kind


def test_names_of_callables() -> None:
    assert [callable_name(found) for found in (plain, functools.partial(plain), Object(), Object().method)] == [
        "plain",
        "plain",
        "Object",
        "method",
    ]


def test_asking_for_the_default_twice_is_refused() -> None:
    def twice(first: Any, step_input: Any) -> None: ...

    with pytest.raises(BuildError, match="asks for 'step_input' twice"):
        bind(twice, supplied=["step_input"], default="step_input", where="here")
    with pytest.raises(BuildError, match="here: 7 is not callable"):
        bind(7, supplied=[], default="step_input", where="here")
