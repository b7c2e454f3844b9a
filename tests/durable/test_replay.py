"""A long run is replayed page by page: a late reader holds a page of its log, never all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from workflow_runtime import BaseDb, StepInput, Workflow
from workflow_runtime.engine.readers import subscription

pytestmark = pytest.mark.anyio
ROWS = 10_000


async def rows(step_input: StepInput) -> AsyncIterator[dict[str, int]]:
    for number in range(ROWS):
        yield {"row": number}


async def test_ten_thousand_events_are_replayed_holding_a_page_at_a_time(again: Callable[[], BaseDb]) -> None:
    run_id = (await Workflow(name="w", db=again(), steps=[rows], store_events=True).arun("x")).run_id
    db = again()
    pages: list[int] = []
    load = db.load_events

    async def counted(*args: Any, **options: Any) -> Any:
        found = await load(*args, **options)
        pages.append(len(found))
        return found

    db.load_events = counted  # type: ignore[method-assign]  # it counts, and calls the real one
    reader = Workflow(name="w", db=db, steps=[rows]).subscribe(str(run_id))
    most, seen = 0, 0
    async for event in reader:
        seen += 1
        assert event.seq == seen
        most = max(most, len(reader._ready))
    assert seen > ROWS
    assert max(pages) <= subscription._PAGE
    assert sum(pages) == seen, "no row is read twice"
    assert most < subscription._PAGE
    assert len(pages) >= ROWS // subscription._PAGE
