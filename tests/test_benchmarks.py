"""Every benchmark does, at toy size, what it says it measures. Never a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CASES = ("steps", "events", "chunks", "first_event", "parallel", "concurrent", "saved", "session", "replay", "wrapper")


@pytest.mark.parametrize("case", [*CASES, "import"])
def test_an_engine_benchmark_does_its_work(case: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "engine.py"), "--toy", "--json", "rows.json", case]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert rows
    assert all(row["value"] >= 0 and row["unit"] for row in rows)


def test_an_unknown_case_is_named() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "engine.py"), "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "unknown: nonsense" in done.stderr


def test_the_server_benchmark_streams_to_its_clients(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "server.py"), "--toy"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6, "a line of each case, with and without a workflow behind it"
