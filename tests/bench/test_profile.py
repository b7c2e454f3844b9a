"""The profile of saved runs sees each thread apart, all of its calls and nothing twice. Never a time."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_profile_of_saved_runs_tells_each_thread_s_rooms_and_functions(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "profile_saved.py"), "--toy", "--top", "10000"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    parts = [part.splitlines() for part in re.split(r"^(?=SQLite)", done.stdout, flags=re.MULTILINE) if part]
    assert [part[0].split(":")[0] for part in parts] == [
        "SQLite, exit, event loop's thread",
        "SQLite, exit, writer's thread",
        "SQLite, sync, events, event loop's thread",
        "SQLite, sync, events, writer's thread",
    ]
    for part, writes in zip(parts, (False, True, False, True), strict=True):
        gap = part.index("")
        rooms, functions = part[1:gap], part[gap + 1 : -1]
        for lines in (rooms, functions):
            assert sum(float(line.split("%")[0]) for line in lines) == pytest.approx(100, abs=0.06 * len(lines))
        calls = {line.split("  ")[-2].strip(): float(line.split()[3]) for line in functions}
        names = {line.split("  ")[-1] for line in rooms}
        assert ("engine/" in names, "sqlite3" in names) == (not writes, writes)
        assert "the thread itself" not in names, "what returned is followed by whoever called it"
        if not writes:
            assert calls["same"] == 3, "three steps a run"
            assert calls["Saved.run"] > 1, "a coroutine that waits is called again"
