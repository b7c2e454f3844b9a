"""The benchmark of cancelling from another process does what it says, at toy size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from servers import ENVIRONMENT, TestServer

ROOT = Path(__file__).resolve().parents[2]


def test_the_cancel_benchmark_cancels_runs_of_every_kind_in_both_databases(
    postgres: TestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT, postgres.url)
    command = [sys.executable, str(ROOT / "benchmarks" / "cancel.py"), "--toy"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kinds = ["running", "pending", "paused"]
    _, *lines = [line.split()[:2] for line in done.stdout.splitlines()]
    assert lines == [[name, kind] for name in ("SQLite", "PostgreSQL") for kind in kinds]
