"""Ctrl-C in a script: the run is cancelled at once and stored so. spec: D12, issue 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, signal, sys
import anyio
from workflow_runtime import Workflow

async def talk(step_input):
    yield "begun"
    os.kill(os.getpid(), signal.SIGINT)
    await anyio.sleep(60)

workflow = Workflow(name="w", db="sqlite:///runs.db", session_id="s", steps=[talk])
try:
    {call}
except KeyboardInterrupt:
    print("interrupted", workflow.get_last_run_output().status.value)
"""
CALLS = {
    "run": "workflow.run('x')",
    "stream": "for event in workflow.run('x', stream=True): pass",
    "stream in with": "with workflow.run('x', stream=True) as stream:\n        for event in stream: pass",
}


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_cancels_the_run_and_it_is_stored_so(call: str, tmp_path: Path) -> None:
    script = SCRIPT.replace("{call}", CALLS[call])
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout, done.returncode) == ("interrupted CANCELLED\n", 0), done.stderr
