"""Raw objects in what an agent streams do not fail its run: they are left out."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from workflow_runtime import BaseDb, RunStatus, Step, Workflow

pytestmark = pytest.mark.anyio

Again = Callable[[], BaseDb]
LOCK = threading.Lock()


class Agent:
    name = "agent"

    async def arun(self, input: Any, stream: bool = True) -> AsyncIterator[Any]:
        yield {"event": "RunContent", "content": "hello", "raw_chunk": LOCK, "detail": {"raw": LOCK, "kept": [1]}}


@pytest.mark.parametrize("verb", ["arun", "stream", "background"])
async def test_what_an_agent_streams_is_stored_without_its_raw_objects(again: Again, verb: str) -> None:
    workflow = Workflow(id="w", steps=[Step("a", agent=Agent())], db=again(), store_events=True)
    seen: list[Any] = []
    if verb == "stream":
        seen = [event async for event in workflow.arun("x", run_id="r", stream=True, stream_events=True)]
    else:
        await workflow.arun("x", run_id="r", background=verb == "background")
    stored = [event async for event in workflow.subscribe("r") if event.event == "RunContent"]
    output = await workflow.aget_run_output("r")
    assert output is not None
    assert (output.status, output.content) == (RunStatus.completed, "hello")
    logged = [event for event in output.events or () if event.event == "RunContent"]
    assert [(event.content, event.extra) for event in logged] == [("hello", {"detail": {"kept": [1]}})]
    assert [event.content for event in stored] == ["hello"]
    assert [event.extra for event in seen if event.event == "RunContent"] == [{"detail": {"kept": [1]}}] * bool(seen)
