"""The benchmark of what a step adds to its agent does what it says, at toy size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_benchmark_of_agents_measures_a_step_and_an_event(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "agents.py"), "--toy"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    step, event = (line.split() for line in done.stdout.splitlines())
    assert step[1:5] == ["us", "a", "step", "with"]
    assert event[1:4] == ["us", "an", "event"]
    assert float(step[0])
    assert float(event[0])
