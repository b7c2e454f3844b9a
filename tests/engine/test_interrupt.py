"""Ctrl-C in a script, whenever it comes: the run is cancelled and stored so, and KeyboardInterrupt is raised. (D12)"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_runtime import RunStatus, Workflow

PROGRAM = Path(__file__).with_name("interrupted.py")
NOISE = ("Traceback", "Exception ignored", "never awaited", "never retrieved")
WAIT = 120  # a guard against hanging, no measure

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


def execute(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=WAIT, check=False
    )


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_cancels_the_run_and_it_is_stored_so(call: str, tmp_path: Path) -> None:
    done = execute(tmp_path, "-c", SCRIPT.replace("{call}", CALLS[call]))
    assert (done.stdout, done.returncode) == ("interrupted CANCELLED\n", 0), done.stderr


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    "kind", ["run", "stream", "stream_in_with", "stream_result", "continue_run", "print_response", "cli_app"]
)
def test_ctrl_c_at_any_moment_ends_the_run(kind: str, seed: int, tmp_path: Path) -> None:
    done = execute(tmp_path, str(PROGRAM), "rounds", kind, str(seed), "20")
    assert (done.stdout, done.returncode) == ("", 0), done.stderr
    assert not [word for word in NOISE if word in done.stderr], done.stderr


@pytest.mark.parametrize(
    "kind",
    ["run", "stream", "stream_in_with", "stream_result", "continue_run", "continue_as_stream", "print_response"],
)
def test_ctrl_c_at_any_bytecode_of_the_synchronous_api_ends_the_run(kind: str, tmp_path: Path) -> None:
    done = execute(tmp_path, str(PROGRAM), "bytecodes", kind)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr
    assert not [word for word in NOISE if word in done.stderr], done.stderr


@pytest.mark.parametrize(
    "kind", ["run", "stream", "stream_in_with", "stream_in_variable", "continue_run", "print_response"]
)
def test_a_program_that_ends_by_ctrl_c_leaves_no_run_behind(kind: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), "once", kind],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "begun\n"
        program.send_signal(signal.SIGINT)
        _, error = program.communicate(timeout=WAIT)
    assert program.returncode == -signal.SIGINT, error
    assert error.count("Traceback") == 1, error
    assert error.endswith("\nKeyboardInterrupt\n"), error
    output = Workflow(name="w", db=f"sqlite:///{tmp_path}/runs.db", steps=[]).get_run_output("r")
    assert output is not None
    assert output.status is RunStatus.cancelled
