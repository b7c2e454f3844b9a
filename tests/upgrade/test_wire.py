"""Servers and clients of two versions work together: the first version's client with this server, and the reverse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .old_process import CODE

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where each version is imported from."""
    old = tmp_path_factory.mktemp("version-1")
    with zipfile.ZipFile(CODE) as file:
        file.extractall(old)
    return {"old": str(old), "new": os.pathsep.join([str(ROOT), str(ROOT / "backends")])}


@contextmanager
def served(path: str, database: str) -> Iterator[str]:
    """The URL of a server of the version in ``path``."""
    command = [sys.executable, "-P", str(HERE / "wire_server.py"), database]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    ) as server:
        try:
            assert server.stdout is not None
            port = server.stdout.readline().strip()
            assert port, server.communicate()
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def trip(client: str, server: str, tmp_path: Path) -> dict[str, Any]:
    """What the program of ``wire_client.py`` saw."""
    with served(server, f"sqlite:///{tmp_path}/runs.db") as url:
        command = [sys.executable, "-P", str(HERE / "wire_client.py"), url]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "PYTHONPATH": client}
        )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@pytest.mark.parametrize(("client", "server"), [("new", "new"), ("new", "old"), ("old", "new")])
def test_a_client_and_a_server_of_two_versions_work_together(
    paths: dict[str, str], client: str, server: str, tmp_path: Path
) -> None:
    seen = trip(paths[client], paths[server], tmp_path)
    assert seen["text"] == "one two "
    assert seen["events"][0] == "WorkflowStarted"
    assert seen["events"][-1] == "WorkflowPaused"
    assert seen["paused"] == "PAUSED"
    assert seen["end"] == ["COMPLETED", "paid 7"]
    assert seen["log"][-1] == "WorkflowCompleted"
    steps = [name for name in seen["events"] if name != "StepContent"]  # adjacent text is stored as one event
    assert [name for name in seen["log"] if name != "StepContent"][: len(steps) - 1] == steps[:-1]
    assert seen["stored"] == "COMPLETED"
    assert (seen["cancelled"], seen["rest"]) == (True, "WorkflowCancelled")
    # Only a client that asks for types gets them from this version.
    typed = "{'due': datetime.date(2030, 1, 2), 'sum': Decimal('9.90')}"
    assert seen["value"] == ("{'due': '2030-01-02', 'sum': '9.90'}" if client == "old" else typed)
