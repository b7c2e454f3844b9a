"""The benchmark of streaming over HTTP does what it says, at toy size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_server_benchmark_streams_to_its_clients(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "server.py"), "--toy"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6, "a line of each case, with and without a workflow behind it"
