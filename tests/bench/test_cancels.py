"""The benchmark of cancelling from another process does what it says, at toy size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_cancel_benchmark_cancels_runs_of_every_kind(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "cancel.py"), "--toy"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["run", "running", "pending", "paused"]
