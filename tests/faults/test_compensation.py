"""A process is killed at each of the writes of a run that compensates its steps: another one undoes what is left, and runs
no step of what was given up."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest

from workflow_runtime.storage.registry import open_url

from .processes import ForkServer
from .trip import COMPENSATED, build

pytestmark = pytest.mark.anyio


def check_effects(lines: list[str], expected: list[str]) -> None:
    undone = [line.removeprefix("undo ") for line in lines if line.startswith("undo ")]
    # The one that was called when the process died is called again, and nothing comes in between.
    assert [path for path, _ in groupby(undone)] == expected
    assert all(len(list(calls)) <= 2 for _, calls in groupby(undone))
    for path in expected:
        after = lines[lines.index(f"undo {path}") :]
        assert f"do {path}" not in after, f"{path} ran again after it was undone"


@pytest.mark.parametrize(("durability", "after"), [("sync", True), ("async", False)], ids=["after", "before"])
async def test_a_kill_at_any_write_leaves_each_completed_step_undone_once(
    workers: ForkServer, new_url: Callable[[], str], tmp_path: Path, durability: str, after: bool
) -> None:
    write, killed = 0, True
    while killed:
        write += 1
        url, effects = new_url(), tmp_path / f"effects{write}"
        job = {"url": url, "effects": str(effects), "after": after, "durability": durability}
        effects.touch()
        killed = workers.run("travel", write=write, **job) == -9
        if killed:
            assert workers.run("travel", write=0, **job) == 0, f"killed at write {write}"
        db = open_url(url)
        output = await build(db, effects).aget_run("r1")
        assert output is not None
        where = f"killed at write {write}"
        assert (output.status, output.error, output.error_type) == ("ERROR", "no seats left", "Sold"), where
        lines = effects.read_text().split("\n")[:-1]
        check_effects(lines, COMPENSATED)
        assert "do 4.fragile" not in lines[lines.index("do 4.fragile/on_error.0.handle") :], where
        assert next(step.content for step in output.step_results if step.step_name == "fragile") == (
            "Sold: no window left"
        ), where
        assert [item.path for item in output.compensations or ()] == COMPENSATED, where
        assert output.not_undone == [], where
        undone = [event.path for event in output.events or () if event.event == "StepCompensated"]
        assert undone == COMPENSATED, where
        state = await build(db, effects).aget_session_state("s")
        assert state["undone"] == ["b", None, "c", "last", "d", "a"], where
        await db.aclose()
    assert write > 12, write


async def test_a_kill_at_any_write_of_a_workflow_that_is_a_function(
    workers: ForkServer, new_url: Callable[[], str], tmp_path: Path
) -> None:
    write, killed = 0, True
    while killed:
        write += 1
        url, effects = new_url(), tmp_path / f"effects{write}"
        job = {"url": url, "effects": str(effects), "after": True, "durability": "sync", "function": True}
        effects.touch()
        killed = workers.run("travel", write=write, **job) == -9
        if killed:
            assert workers.run("travel", write=0, **job) == 0, f"killed at write {write}"
        db = open_url(url)
        output = await build(db, effects, function=True).aget_run("r1")
        assert output is not None
        assert (output.status, output.error) == ("ERROR", "no seats left"), f"killed at write {write}"
        check_effects(effects.read_text().split("\n")[:-1], ["b", "a"])
        await db.aclose()
    assert write > 4, write
