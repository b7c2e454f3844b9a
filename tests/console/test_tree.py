"""The view of a run, folded from recorded events: states, attempts, iterations, times, what is retracted. (pure)"""

from __future__ import annotations

import re
from typing import Any

import pytest

from workflow_runtime import (
    MapExecutionStartedEvent,
    StepCompletedEvent,
    StepContentEvent,
    StepErrorEvent,
    StepRetryEvent,
    StepStartedEvent,
    WorkflowCompletedEvent,
    WorkflowResumedEvent,
    WorkflowStartedEvent,
)
from workflow_runtime.view.node import Node
from workflow_runtime.view.rows import counts, rows
from workflow_runtime.view.tree import View

from .streams import folded, recorded


def states(view: View) -> dict[str, str]:
    return {path: node.state for path, node in view.nodes.items() if path}


def view_of(*events: Any) -> View:
    view = View()
    for position, event in enumerate(events):
        view.fold(event, float(position))
    return view


def test_a_finished_run_has_only_finished_steps_with_times() -> None:
    view, _ = folded("everything")
    assert view.status == "COMPLETED"
    assert set(states(view).values()) == {"done"}
    assert all(node.elapsed(0.0) is not None for path, node in view.nodes.items() if path)


def test_steps_stand_where_their_paths_say() -> None:
    view, _ = folded("everything")
    assert [node.trail() for node in view.root.walk() if node.name == "draw"] == [
        ["pages", "#1", "draw"],
        ["pages", "#2", "draw"],
        ["pages", "#3", "draw"],
    ]
    assert view.nodes["6.proofread/0.spelling"].trail() == ["proofread", "spelling"]
    assert view.nodes["6.proofread"].kind == "Workflow"
    assert view.nodes["2.refine#1"].kind == "iteration"
    assert view.nodes["4.Condition"].note == "else"
    assert view.nodes["5.way"].note == "mail"


def test_parallel_branches_are_live_at_the_same_time() -> None:
    view, _ = folded("everything", until=0.7)
    live = {node.name for node in view.root.walk() if node.is_live}
    assert {"drafts", "write", "chat", "index"} <= live
    progress = view.nodes["1.drafts/2.index"].progress
    assert progress is not None
    assert progress.total == 5


def test_a_retry_retracts_what_the_attempt_had_written() -> None:
    view = View()
    texts: list[str] = []
    for at, event in recorded("everything"):
        view.fold(event, at)
        node = view.nodes.get("1.drafts/1.chat")
        if node is not None and isinstance(event, (StepContentEvent, StepRetryEvent)) and event.path == node.path:
            texts.append(node.tail.text() if node.tail else "")
    assert "another branch that talks at " in texts
    retracted = texts.index("", 1)
    assert texts[retracted + 1] == "another "
    assert view.nodes["1.drafts/1.chat"].attempt == 2


def test_counts_of_media_and_tokens_are_sums_over_the_steps() -> None:
    view, _ = folded("everything")
    assert view.media["images"] == 3
    assert view.tokens["total_tokens"] == 360


def test_a_failure_stands_at_its_step_and_its_siblings_are_cancelled() -> None:
    view, _ = folded("fail")
    assert states(view) == {
        "0.research": "done",
        "1.both": "failed",
        "1.both/0.pay": "failed",
        "1.both/1.wait": "cancelled",
    }
    failed = view.nodes["1.both/0.pay"]
    assert (failed.error_type, failed.error) == ("ValueError", "the bank said [red]no[/red]\nand hung up")


def test_a_skipped_failure_does_not_fail_the_run() -> None:
    view, _ = folded("skip")
    assert view.status == "COMPLETED"
    assert states(view) == {"0.pay": "failed", "1.quick": "done"}
    assert view.nodes["0.pay"].attempt == 2


def test_a_cancelled_run_leaves_the_running_step_cancelled() -> None:
    view, _ = folded("cancel")
    assert states(view) == {"0.quick": "done", "1.ride": "cancelled"}


def test_a_paused_run_waits_at_its_step_and_time_stands_still() -> None:
    view, now = folded("pause")
    assert view.status == "PAUSED"
    assert states(view)["1.publish"] == "waiting"
    assert [item.step_name for item in view.questions] == ["publish"]
    before = view.elapsed(now)
    assert view.elapsed(now + 3600) == before
    view.fold(StepStartedEvent(seq=7, path="1.publish", step_name="publish"), now + 3600)
    assert view.elapsed(now + 3600) == pytest.approx(before)
    assert view.status == "RUNNING"


def test_a_rejected_step_is_skipped_though_no_event_tells_so() -> None:
    view, _ = folded("pause")
    asked = view.questions[0]
    asked.reject("not today")
    view.answered(asked)
    assert (view.nodes["1.publish"].state, view.nodes["1.publish"].note) == ("skipped", "rejected")
    assert view.questions == []


def test_a_takeover_takes_back_what_was_seen_beyond_it() -> None:
    view = view_of(
        WorkflowStartedEvent(seq=1),
        StepStartedEvent(seq=2, path="0.a", step_name="a"),
        StepContentEvent(seq=3, path="0.a", step_name="a", delta="lost"),
        WorkflowResumedEvent(seq=3, epoch=2, attempt=2, after_seq=2),
    )
    assert view.nodes["0.a"].state == "pending"
    assert view.nodes["0.a"].tail is None


def test_a_takeover_of_a_nested_run_takes_back_what_was_open_in_it() -> None:
    view = view_of(
        WorkflowStartedEvent(seq=1),
        StepStartedEvent(seq=2, path="0.a", step_name="a"),
        StepStartedEvent(seq=3, path="1.far", step_name="far"),
        StepStartedEvent(seq=4, path="1.far/0.b", step_name="b", nested_depth=1),
        StepContentEvent(seq=5, path="1.far/0.b", step_name="b", delta="lost", nested_depth=1),
        WorkflowResumedEvent(seq=6, path="1.far", nested_depth=1, attempt=2, after_seq=1),
    )
    assert [view.nodes[path].state for path in ("0.a", "1.far", "1.far/0.b")] == ["running", "running", "pending"]
    assert view.nodes["1.far/0.b"].tail is None


def test_where_the_view_stands_is_a_position_for_another_reader() -> None:
    seen = [
        WorkflowStartedEvent(seq=1),
        StepStartedEvent(seq=9, path="0.a", step_name="a"),
        WorkflowResumedEvent(seq=3, epoch=2, attempt=2, after_seq=2),
        StepStartedEvent(seq=4, epoch=2, path="0.a", step_name="a"),
    ]
    assert [view_of(*seen[:count]).position for count in range(5)] == ["0-0", "1-1", "1-9", "2-3", "2-4"]


def test_repeated_steps_of_a_callable_workflow_are_told_apart() -> None:
    view = view_of(
        WorkflowStartedEvent(seq=1),
        StepStartedEvent(seq=2, path="fetch", step_name="fetch"),
        StepStartedEvent(seq=3, path="fetch#1", step_name="fetch"),
        WorkflowCompletedEvent(seq=4),
    )
    assert [node.name for node in view.root.children.values()] == ["fetch", "fetch (2)"]


def test_events_in_the_middle_of_a_run_are_enough_for_a_tree() -> None:
    view = view_of(StepStartedEvent(seq=90, path="3.loop#4/0.parallel/1.work", step_name="work"))
    assert [node.trail() for node in view.root.walk() if isinstance(node, Node) and node.name == "work"] == [
        ["loop", "#5", "parallel", "work"]
    ]


def test_the_kept_end_of_a_stream_is_bounded() -> None:
    view = View()
    for position in range(2_000):
        view.fold(StepContentEvent(seq=position, path="0.a", step_name="a", delta="x" * 1000), 0.0)
    tail = view.nodes["0.a"].tail
    assert tail is not None
    assert tail.size == 2_000_000
    assert len(tail.text()) < 20_000
    assert tail.is_cut


def test_ten_thousand_items_are_a_number_and_not_a_list() -> None:
    view = view_of(
        WorkflowStartedEvent(seq=1),
        MapExecutionStartedEvent(seq=2, path="0.pages", step_name="pages", item_count=10_000),
    )
    for number in range(9_000):
        place = {"path": f"0.pages#{number}/0.draw", "step_name": "draw"}
        view.fold(StepStartedEvent(seq=3, **place), 3.0)
        view.fold(StepCompletedEvent(seq=4, **place), 4.0)
    view.fold(StepStartedEvent(seq=5, path="0.pages#9000/0.draw", step_name="draw"), 5.0)
    assert len(view.nodes) < 1_500
    shown = rows(view, 6.0, 10)
    assert [row.facts for row in shown if row.name == "pages"] == [("9,000/10,000 items",)]
    assert any(row.name == "#9001 draw" and row.state == "running" for row in shown)
    hidden = [
        int(count.replace(",", "")) for row in shown if row.is_gap for count in re.findall(r"([\d,]+) done", row.name)
    ]
    listed = sum(row.state == "done" and row.name.startswith("#") for row in shown)
    assert sum(hidden) + listed == 9_000
    assert "9,000 steps" in counts(view)


def test_rows_that_do_not_fit_are_counted_and_what_is_live_or_failed_stays() -> None:
    view = view_of(WorkflowStartedEvent(seq=1))
    for number in range(50):
        place = {"path": f"{number}.step{number}", "step_name": f"step{number}"}
        view.fold(StepStartedEvent(seq=2, **place), 1.0)
        if number == 7:
            view.fold(StepErrorEvent(seq=3, **place, error="no"), 2.0)
        elif number < 40:
            view.fold(StepCompletedEvent(seq=3, **place), 2.0)
    for limit in (3, 8, 20, 49, 50, None):
        shown = rows(view, 3.0, limit)
        assert len(shown) <= (limit or 50)
        if limit is None or limit >= 20:
            assert {"step7", *(f"step{number}" for number in range(40, 50))} <= {row.name for row in shown}
