"""Processes that run the storage code of an earlier version (``data/version-1.zip``): ``start(script, url)``.

In the script ``db`` is the database of ``url``, ``say(...)`` prints a line of JSON, and ``wait()`` waits for a line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

__all__ = ["ask", "finish", "start"]

DATA = Path(__file__).parent / "data"
CODE = DATA / "version-1.zip"
_HEAD = """
import asyncio, json, sys
from workflow_runtime.model.enums import RunStatus
from workflow_runtime.model.errors import StorageError
from workflow_runtime.storage.base import Batch, RunFilter
from workflow_runtime.storage.registry import open_url
from workflow_runtime.testing.contract_rows import event, fence, requirement, run, session, started, step
import workflow_runtime.storage.base as base
assert ".zip" in base.__file__
db = open_url(sys.argv[1])
def say(value):
    print(json.dumps(value), flush=True)
async def wait():
    await asyncio.to_thread(sys.stdin.readline)
"""


def start(script: str, url: str, *arguments: str, version: int = 1) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _HEAD + textwrap.dedent(script), url, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(DATA / f"version-{version}.zip")},
    )


def ask(process: subprocess.Popen[str], line: str | None = None) -> Any:
    """Say ``line`` to the process, if given, and return what it says next."""
    assert process.stdin is not None
    assert process.stdout is not None
    if line is not None:
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
    found = process.stdout.readline()
    assert found, process.communicate()
    return json.loads(found)


def finish(process: subprocess.Popen[str]) -> None:
    """Fails unless the process ends well."""
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
