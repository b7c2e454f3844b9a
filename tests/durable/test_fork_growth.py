"""A fork in the middle of a long run, and each later read of it, costs what the run's length costs, and not its square."""

from __future__ import annotations

import sys
from typing import Any

from workflow_runtime.engine.start.fork import _before
from workflow_runtime.storage.base import StepRow


def rows(count: int) -> list[StepRow]:
    """A loop that is done, of so many iterations of one step."""
    paths = ["0.loop", *(path for n in range(count) for path in (f"0.loop#{n}", f"0.loop#{n}/0.step"))]
    return [StepRow(run_id="r", path=path, position=at, status="done", attempt=3) for at, path in enumerate(paths)]


def lines(count: int) -> int:
    """How many lines of Python a fork in the middle of such a run runs."""
    given, found = rows(count), 0

    def tick(frame: Any, event: str, argument: Any) -> Any:
        nonlocal found
        found += event == "line"
        return tick

    before = sys.gettrace()
    sys.settrace(tick)
    try:
        _before(given, count)
    finally:
        sys.settrace(before)
    return found


def test_a_fork_of_a_run_of_twice_the_length_costs_twice_as_much() -> None:
    assert lines(400) < 2.2 * lines(200)


def test_what_encloses_the_cut_is_open_again() -> None:
    kept = {row.path: (row.status, row.attempt) for row in _before(rows(3), 4)}
    assert kept == {
        "0.loop": ("open", 1),
        "0.loop#0": ("done", 3),
        "0.loop#0/0.step": ("done", 3),
        "0.loop#1": ("open", 1),
    }
