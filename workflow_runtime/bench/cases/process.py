"""What a library costs before it does anything: import, memory, disk."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from ..case import Case, Found
from ..clock import Bench

__all__ = ["CASES"]

_PROGRAM = """
import time
start = time.process_time()
{0}
spent = time.process_time() - start
import resource, sys
from pathlib import Path
try:
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
except OSError:
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
print(spent, kilobytes)
"""


def imported(adapter: Any, bench: Bench) -> Iterator[Found]:
    spent, kilobytes = _import(adapter.IMPORT, bench)
    yield Found("import", "ms CPU", spent * 1e3)
    if find_spec("anyio") is None:
        yield Found("import, over import asyncio, anyio", "x", None, "it has no anyio to compare with")
    else:
        yield Found("import, over import asyncio, anyio", "x", spent / _import("import asyncio, anyio", bench)[0])
    yield Found("memory of the process after it", "MB", kilobytes / 1024)
    first = ("import, and a first run of one step", "ms CPU"), ("memory of the process after that run", "MB")
    if hasattr(adapter, "FIRST_RUN"):  # what was put off until it is needed counts here
        spent, kilobytes = _import(f"{adapter.IMPORT}\n{adapter.FIRST_RUN}", bench)
        yield from (Found(*row, value) for row, value in zip(first, (spent * 1e3, kilobytes / 1024), strict=True))
    else:
        yield from (Found(*row, None, adapter.CANNOT["FIRST_RUN"]) for row in first)
    notes = Path(sys.prefix) / "installed.json"
    if notes.exists():
        installed = json.loads(notes.read_text())
        yield Found("installed", "MB", installed["bytes"] / 1e6)
        yield Found("installed", "packages", installed["packages"])


def _import(statements: str, bench: Bench) -> tuple[float, int]:
    """(CPU seconds, KB of the process), the medians of some fresh processes."""
    found = []
    for _ in range(bench.size(5, 1)):
        command = [sys.executable, "-P", "-c", _PROGRAM.format(statements)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        found.append((float(said[-2]), int(said[-1])))
    return median(one[0] for one in found), int(median(one[1] for one in found))


CASES = (
    Case(
        "import",
        "What it takes to import and to install",
        "IMPORT",
        imported,
        {
            ("import, over import asyncio, anyio", "x"): 1.3,
            ("memory of the process after it", "MB"): 28.0,
            ("installed", "MB"): 15.0,
            ("installed", "packages"): 8.0,
        },
    ),
)
