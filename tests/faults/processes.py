"""Worker processes for the fault tests: forked from one that has everything imported, so that one costs milliseconds.

The fork server is started before any thread exists in it; it runs one job per child and reports how the child ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["ForkServer", "fork_server"]

_ROOT = Path(__file__).resolve().parents[2]
_SERVER = """
import json, os, sys
sys.path.insert(0, {root!r})
import tests.faults.jobs as jobs
print("ready", flush=True)
for line in sys.stdin:
    name, arguments = json.loads(line)
    pid = os.fork()
    if pid == 0:
        try:
            getattr(jobs, name)(**arguments)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if arguments.get("wait", True):
        _, status = os.waitpid(pid, 0)
        print(json.dumps([pid, os.waitstatus_to_exitcode(status)]), flush=True)
    else:
        print(json.dumps([pid, None]), flush=True)
"""


class ForkServer:
    """Runs functions of ``tests.faults.jobs`` in children of their own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER.format(root=str(_ROOT))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
        )
        assert self._read() == "ready"

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the fork server has died")
        return line.strip()

    def run(self, job: str, **arguments: Any) -> int:
        """Run ``job`` to its end: its exit code, or minus the number of the signal that killed it."""
        return int(self._ask(job, arguments)[1])

    def start(self, job: str, **arguments: Any) -> int:
        """Start ``job`` and return its process id at once."""
        return int(self._ask(job, {**arguments, "wait": False})[0])

    def _ask(self, job: str, arguments: dict[str, Any]) -> list[Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([job, arguments]) + "\n")
        self._process.stdin.flush()
        found: list[Any] = json.loads(self._read())
        return found

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)


@contextmanager
def fork_server() -> Iterator[ForkServer]:
    server = ForkServer()
    try:
        yield server
    finally:
        server.close()


def is_alive(pid: int) -> bool:
    """True while the process runs; a zombie that nobody waited for is dead."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def kill(pid: int, signal: int = 9) -> None:
    os.kill(pid, signal)
