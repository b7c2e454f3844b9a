"""Real processes for the tests: a script that starts with the imports it needs, and runs against one schema."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from .conftest import SCHEMA

__all__ = ["finish", "say", "start", "wait_for"]

_HEAD = """
import asyncio, os, signal, sys, time
from workflow_runtime import Step, Workflow
from workflow_runtime_postgres import PostgresDb
from workflow_runtime.model.enums import RunStatus
from workflow_runtime.model.errors import AlreadyAnswered, ConcurrentWrite, StorageError
from workflow_runtime.storage.base import Batch, RunFilter
from workflow_runtime.testing.contract_rows import event, fence, requirement, run, session, started, step
url, schema, *arguments = sys.argv[1:]
def database(**options):
    return PostgresDb(url, schema=schema, **options)
"""


def start(script: str, url: str, *arguments: object, schema: str = SCHEMA) -> subprocess.Popen[str]:
    """Run ``script`` with warnings as errors; ``database()`` in it is the schema's."""
    source = _HEAD + textwrap.dedent(script)
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", source, url, schema, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    """Read what the process prints, which has to be ``line``."""
    assert process.stdout is not None
    found = process.stdout.readline()
    if found != f"{line}\n":
        process.kill()
        raise AssertionError(f"{found!r} instead of {line!r}; {process.communicate()}")


def say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def finish(process: subprocess.Popen[str], within: float = 90) -> str:
    """What the process printed. Fails if it did not end well, wrote to stderr, or took longer than ``within`` s."""
    try:
        out, err = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert (process.returncode, err) == (0, ""), err
    return out
