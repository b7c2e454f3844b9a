"""A process that sends a run its messages and works on it is killed at each of its writes: every message is received once,
in order, and none is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow_runtime.storage.registry import open_url

from .mail import build
from .processes import ForkServer

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_kill_at_any_write_loses_and_doubles_no_message(
    workers: ForkServer, new_url: Callable[[], str], tmp_path: Path, after: bool
) -> None:
    write, killed = 0, True
    while killed:
        write += 1
        url, effects = new_url(), tmp_path / f"effects{write}"
        killed = workers.run("exchange", url=url, effects=str(effects), write=write, after=after) == -9
        if killed:
            assert workers.run("exchange", url=url, effects=str(effects), write=0, after=after) == 0
        db = open_url(url)
        workflow = build(db, effects)
        output = await workflow.aget_run("r1")
        assert output is not None
        assert [step.content for step in output.step_results] == [[0, 1], [2, []]], f"killed at write {write}"
        assert [row.message_id for row in await db.load_messages("r1")] == ["m0", "m1", "m2"]
        lines = effects.read_text().split("\n")[:-1]
        assert set(lines) == {"two 0", "two 1", "one 2"}
        assert max(Counter(lines).values()) <= 4  # a body runs again; what it receives is the same
        await db.aclose()
    assert write > 8, write
