"""Real processes for the tests: a script that starts with the imports it needs, and runs against one file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

__all__ = ["finish", "start"]

_HEAD = """
import asyncio, os, signal, sys, time
from workflow_runtime_sqlite import SqliteDb
from workflow_runtime.model.enums import RunStatus
from workflow_runtime.model.errors import AlreadyAnswered, ConcurrentWrite, StorageError
from workflow_runtime.storage.base import Batch, RunFilter
from workflow_runtime.testing.contract_rows import event, fence, requirement, run, session, started, step
path = sys.argv[1]
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Run ``script`` with warnings as errors; ``path`` in it is the first argument."""
    source = _HEAD + textwrap.dedent(script)
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", source, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], within: float = 60) -> str:
    """What the process printed. Fails if it did not end well, wrote to stderr, or took longer than ``within`` s."""
    try:
        out, err = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with its children, or they would keep the pipes open
        process.communicate()
        raise
    assert (process.returncode, err) == (0, "")
    return out
