"""The benchmark of where the time goes does what it says, at toy size."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_benchmark_of_shares_names_a_part_of_each_whole(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "shares.py"), "--toy"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    waiting, *saved = done.stdout.splitlines()
    assert re.match(r"waiting at once: \d+ us CPU a run, \d+ without garbage collection", waiting)
    ways = ("exit", "async, events", "sync, events")
    assert [line.split(":")[0] for line in saved] == [
        f"{name}, {way}" for name in ("SQLite", "PostgreSQL") for way in ways
    ]
    for line in saved[: len(ways)]:
        cpu, loop = map(int, re.findall(r"(\d+) us CPU a run, (\d+) of them", line)[0])
        assert 0 < loop < cpu
    for line in saved[len(ways) :]:
        (transactions,) = re.findall(r"more in the server, (\d+\.\d+) transactions", line)
        assert float(transactions) > 0
