"""The types that users see, asked of the type checkers themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

CHECKERS = {
    "mypy": ["mypy", "--strict", "--warn-unused-ignores"],
    "pyright": ["pyright", "--pythonpath", sys.executable],
}


def check(checker: str, *files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *CHECKERS[checker], *map(str, files)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=dict(os.environ))


@pytest.mark.parametrize("checker", CHECKERS)
def test_the_public_verbs_have_the_types_that_their_pages_promise(checker: str) -> None:
    done = check(checker, HERE / "public_api.py", HERE / "remote_api.py")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_wrong_expectation_is_found(checker: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "# pyright: strict\n"
        "from typing import assert_type\n"
        "from workflow_runtime import Workflow, WorkflowRunOutput\n\n\n"
        "def check(workflow: Workflow) -> None:\n"
        '    assert_type(workflow.run("x", stream=True), WorkflowRunOutput)\n'
    )
    done = check(checker, wrong)
    assert done.returncode == 1
    assert "wrong.py:7" in done.stdout
