"""core.plan and core.journal: stable places, and what is known of each. (D7)"""

from __future__ import annotations

from typing import Any

import pytest

from workflow_runtime import (
    Condition,
    Loop,
    Map,
    Parallel,
    Router,
    Step,
    StepInput,
    StepOutput,
    Steps,
    Workflow,
)
from workflow_runtime.core.journal import DONE, MEMO, OPEN, Journal, within
from workflow_runtime.core.plan import Plan, segment


def nothing(step_input: StepInput) -> None:
    return None


def step(name: str) -> Step:
    return Step(name=name, executor=nothing)


def plan(*steps: Any) -> Plan:
    return Workflow(steps=list(steps)).definition().plan


EVERYTHING = (
    step("a"),
    Steps(name="box", steps=[step("b"), Parallel(step("c"), step("d"), name="par")]),
    Loop([step("e")], name="loop"),
    Condition([step("f")], else_steps=[step("g")], name="if"),
    Router([step("h"), [step("i")]], selector=lambda step_input: "h", name="router"),
    Map(step("j"), over="input", name="map"),
    Step(name="call", workflow=Workflow(name="inner", steps=[step("a")])),
)


def test_every_place_has_a_path_of_positions_and_names() -> None:
    assert list(plan(*EVERYTHING).static) == [
        "0.a",
        "1.box",
        "1.box/0.b",
        "1.box/1.par",
        "1.box/1.par/0.c",
        "1.box/1.par/1.d",
        "2.loop",
        "2.loop/0.e",
        "3.if",
        "3.if/if.0.f",
        "3.if/else.0.g",
        "4.router",
        "4.router/0.h",
        "4.router/1.steps_group_1",
        "4.router/1.steps_group_1/0.i",
        "5.map",
        "5.map/0.j",
        "6.call",
        "6.call/0.a",
    ]


def test_a_path_with_iterations_and_memos_finds_its_node() -> None:
    found = plan(*EVERYTHING)
    for path in ("2.loop#3/0.e", "5.map#17/0.j", "2.loop/0.e!once:key", "2.loop#0/0.e!review1"):
        node = found.find(path)
        assert node is not None, path
        assert node.name in ("e", "j")
    assert found.find("9.nowhere") is None


def test_the_fingerprint_is_of_the_shape_and_the_names_alone() -> None:
    def other(step_input: StepInput) -> str:
        return "another function"

    same = plan(*EVERYTHING).fingerprint
    assert plan(*EVERYTHING).fingerprint == same
    assert plan(step("a")).fingerprint == plan(Step(name="a", executor=other, max_retries=3)).fingerprint
    assert len({plan(*steps).fingerprint for steps in ([], [step("a")], [step("b")], [step("a"), step("b")])}) == 4
    assert plan(Steps(name="a", steps=[])).fingerprint != plan(step("a")).fingerprint


def test_what_separates_the_parts_of_a_path_is_replaced_in_names() -> None:
    assert segment(2, "a/b#c!d e.f") == "2.a_b_c_d e.f"
    assert segment(0, "x", "else") == "else.0.x"
    assert list(plan(step("a/b"), step("a#b")).static) == ["0.a_b", "1.a_b"], "the position keeps them apart"


@pytest.mark.parametrize(
    ("path", "outer", "inside"),
    [
        ("1.a", "1.a", True),
        ("1.a/0.b", "1.a", True),
        ("1.a#2/0.b", "1.a", True),
        ("1.a!once:k", "1.a", True),
        ("1.ab", "1.a", False),
        ("1.a", "1.a/0.b", False),
        ("11.a", "1.a", False),
    ],
)
def test_within_is_about_places_not_letters(path: str, outer: str, inside: bool) -> None:
    assert within(path, outer) is inside


# -- the journal ---------------------------------------------------------------------------------------------------------


def test_a_journal_keeps_the_order_of_first_entries() -> None:
    journal = Journal()
    journal.enter("0.box", "Steps", 1.0)
    journal.leave("0.box/0.a", "Step", StepOutput("x"), 1.0, 2.0)
    journal.leave("0.box", "Steps", StepOutput("y"), 1.0, 3.0)
    assert [(record.path, record.position, record.status) for record in journal.records.values()] == [
        ("0.box", 0, DONE),
        ("0.box/0.a", 1, DONE),
    ]
    box = journal.get("0.box")
    assert box is not None
    assert (box.started_at, box.finished_at) == (1.0, 3.0)


def test_what_was_decided_on_entry_stands_until_it_is_entered_again() -> None:
    journal = Journal()
    journal.enter("0.if", "Condition", 1.0, decision=True)
    found = journal.get("0.if")
    assert found is not None
    assert (found.status, found.decision) == (OPEN, True)
    journal.enter("0.if", "Condition", 5.0, decision={"attempt": 1})
    assert (found.decision, found.started_at, found.position) == ({"attempt": 1}, 1.0, 0)


def test_a_memo_is_kept_beside_the_steps() -> None:
    journal = Journal()
    record = journal.memo("0.a!once:key", {"v": 1}, 1.0)
    assert (record.status, record.value, journal.get("0.a!once:key")) == (MEMO, {"v": 1}, record)


def test_a_journal_that_is_not_empty_is_replaying_and_a_copy_is_independent() -> None:
    journal = Journal()
    assert not journal.replaying
    journal.leave("0.a", "Step", StepOutput("x"), 1.0, 1.0)
    copy = journal.copy()
    copy.leave("0.a", "Step", StepOutput("other"), 1.0, 2.0)
    first = journal.get("0.a")
    assert first is not None
    assert first.output == StepOutput("x")
    assert copy.replaying
