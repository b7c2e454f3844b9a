"""What it costs to draw a run: a step that streams 10,000 chunks a second, read undrawn and on a terminal.

The chunks come in bursts, one a millisecond, paced by the clock, so that every way does the same work in the same time.
The terminal is a pseudo-terminal of 100 x 40 that another process drains.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from ..case import Case, Found, did
from ..clock import Bench

__all__ = ["CASES"]

_DRAIN = "import os, sys\nwhile True:\n    if not os.read(0, 65536): sys.exit()"


def drawing(adapter: Any, bench: Bench) -> Iterator[Found]:
    import pty

    rate, seconds = 10_000, bench.size(30, 5) / 10
    master, slave = pty.openpty()
    spent: dict[str, list[float]] = {"undrawn": [], "drawn": [], "drawn, Markdown": []}
    pictures: dict[str, float] = {}
    with subprocess.Popen([sys.executable, "-c", _DRAIN], stdin=master) as drain, open(slave, "w") as terminal:
        os.close(master)
        bench.run(adapter.drawing(rate, 0.2, terminal, True))  # to warm up
        for _ in range(bench.size(3, 1)):
            for name, found in spent.items():
                work = adapter.drawing(rate, seconds, None if name == "undrawn" else terminal, "Markdown" in name)
                cpu, wall = time.process_time(), time.perf_counter()
                drawn = bench.run(work)
                found.append((time.process_time() - cpu) / seconds)
                pictures[name] = drawn / (time.perf_counter() - wall)
        drain.kill()
    did((True, True), tuple(0 < rate <= 20 for name, rate in pictures.items() if name != "undrawn"))
    for name, found in spent.items():
        yield Found(f"{rate:,} chunks a second, {name}", "% of a core", 100 * min(found))
    for name, rate_of in pictures.items():
        if name != "undrawn":
            yield Found(name, "pictures/s", rate_of)


CASES = (Case("drawing", "A stream drawn on a terminal", "drawing", drawing),)
