"""Starting and reading runs over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx

from workflow_runtime import Workflow

from .serving import Served


def greeting(tmp_path: Path) -> Workflow:
    def greet(step_input: Any) -> str:
        return f"hello {step_input.input}"

    return Workflow(name="Greeting", steps=[greet], db=f"sqlite:///{tmp_path}/runs.db", store_events=True)


def test_a_run_is_started_read_and_followed(served: Callable[..., Served], tmp_path: Path) -> None:
    server = served(greeting(tmp_path))
    runs = f"{server.url}/workflows/greeting/runs"
    done = httpx.post(runs, json={"input": "you"}).json()
    assert (done["status"], done["content"]) == ("COMPLETED", "hello you")
    run = f"{runs}/{done['run_id']}"
    assert httpx.get(run).json()["content"] == "hello you"
    frames = httpx.get(f"{run}/events").text.split("\n\n")
    names = [line for part in frames for line in part.splitlines() if line.startswith("event:")]
    assert [names[0], names[-1]] == ["event: WorkflowStarted", "event: WorkflowCompleted"]
