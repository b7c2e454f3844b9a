"""The rules that backends share: what only a wrong answer at the edge would show."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from workflow_runtime.model.enums import RunStatus
from workflow_runtime.storage import rules
from workflow_runtime.storage.base import Batch, Fence, RunFilter
from workflow_runtime.testing.contract_rows import event, fence, requirement, run, session, step


@pytest.mark.parametrize(
    ("seq", "touched", "tail", "seen", "after"),
    [
        (None, 0, 0, 0, None),  # not there yet: wait for it
        (None, 0, 0, 3, rules.RECHECK),  # deleted
        (None, 0, 4, 3, 0.0),  # events came before the row
        (3, 1, 3, 2, 0.0),
        (3, 1, 3, 3, None),
        (3, 1, 5, 3, 0.0),
        (3, 3, 3, 3, rules.RECHECK),  # written again at 3: before or after it was read?
        (3, 3, 3, 2, 0.0),
        (3, 1, 3, 7, rules.RECHECK),  # the watcher saw what a crash took back
        (0, 0, 0, 0, rules.RECHECK),  # made, and the watcher may have looked before
    ],
)
def test_a_watcher_is_woken_at_once_or_soon_or_by_the_next_write(
    seq: int | None, touched: int, tail: int, seen: int, after: float | None
) -> None:
    assert rules.wake_after(seq=seq, touched=touched, tail=tail, seen=seen) == after


def test_counters_stay_whole_numbers_and_keep_their_order() -> None:
    first = rules.add_metrics(None, {"runs": 1, "cost": 0.5})
    assert rules.add_metrics(first, {"tokens": 2, "runs": 2}) == b'{"runs":3,"cost":0.5,"tokens":2}'
    assert rules.add_metrics(first, {}) == first
    assert rules.add_metrics(None, None) is None


def test_the_subject_of_a_batch_is_its_run_its_fence_or_its_first_row() -> None:
    rows: dict[str, Any] = {
        "steps": [step(run_id="s")],
        "events": [event(1, run_id="e")],
        "requirements": [requirement(run_id="q")],
    }
    other = fence("f")
    assert rules.subject(Batch(run=run("r"), fence=other, **rows)) == "r"
    assert rules.subject(Batch(fence=other, **rows)) == "f"
    assert rules.subject(Batch(**rows)) == "s"
    assert rules.subject(Batch(session=session())) is None
    assert rules.run_ids(Batch(run=run("r"), **rows)) == {"r", "s", "e", "q"}
    assert rules.run_ids(Batch(session=session())) == set()


def test_a_decision_changes_neither_the_batch_nor_what_is_stored() -> None:
    stored = run(owner="a", lease_until=5.0, attempt=3)
    batch = Batch(run=run(status=RunStatus.PAUSED), session=session(state={"k": b"1"}))
    before = msgspec.json.encode((stored, batch.run, batch.session))
    verdict = rules.decide(batch, run=stored, fenced=None, session=None, state={})
    assert verdict.run is not None
    assert (verdict.run.attempt, verdict.run.owner) == (3, None)
    assert msgspec.json.encode((stored, batch.run, batch.session)) == before


def test_a_plain_string_is_a_status() -> None:
    row = run()
    row.status = "PAUSED"  # type: ignore[assignment]  # what a caller without a type checker writes
    verdict = rules.decide(Batch(run=row), run=None, fenced=None, session=None, state={})
    assert verdict.run is not None
    assert verdict.run.status is RunStatus.PAUSED


def test_a_renewal_needs_a_lease() -> None:
    assert not rules.renewed(run(owner=None), Fence(run_id="r1", attempt=1)).held
    assert rules.renewed(run(owner="a"), Fence(run_id="r1", attempt=1)).held


def test_a_filter_without_conditions_matches_all() -> None:
    assert rules.matches(run(), RunFilter(), 9.0)
    assert not rules.matches(run(), RunFilter(expired=True), 9.0)
    assert rules.matches(run(lease_until=9.0), RunFilter(expired=True), 9.0)
    assert not rules.matches(run(lease_until=9.1), RunFilter(expired=True), 9.0)
