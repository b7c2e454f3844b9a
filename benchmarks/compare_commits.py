"""What a commit costs in two checkouts of this project, measured in turn: did a change make the store slower?

``python benchmarks/compare_commits.py BEFORE AFTER [--rounds 9] [--scale 0.5]``, with the folders of two checkouts.
SQLite only: FULL and NORMAL, 1 and 32 at a time. Each round measures each checkout in a fresh process, the second round
in the other order, so that both see the same machine. CPU microseconds of the whole process per commit, and microseconds
on the clock: the medians of the rounds, and what AFTER takes more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

CASES = [(relaxed, places) for relaxed in (False, True) for places in (1, 32)]


async def measure(url: str, relaxed: bool, places: int, share: int) -> tuple[float, float]:
    """CPU and wall microseconds of one commit."""
    from workflow_runtime.bench.ours.commits import commits

    async with commits(url, relaxed) as store:

        async def run(name: str, count: int) -> None:
            for number in range(count):
                await store.commit(name, number)

        await run("warm", 20)
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(run(f"r{place}", share) for place in range(places)))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return cpu / share / places * 1e6, wall / share / places * 1e6


def measured(scale: float) -> list[tuple[float, float]]:
    with tempfile.TemporaryDirectory() as folder:
        return [
            asyncio.run(
                measure(f"sqlite:///{folder}/{at}.db", relaxed, places, int((2000 if places == 1 else 250) * scale))
            )
            for at, (relaxed, places) in enumerate(CASES)
        ]


def elsewhere(checkout: Path, scale: float) -> list[tuple[float, float]]:
    """``measured`` in a new process with the package of ``checkout``."""
    path = os.pathsep.join([str(checkout), str(checkout / "backends")])
    command = [sys.executable, __file__, "--scale", str(scale), "--here"]
    ran = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True)
    found: list[tuple[float, float]] = json.loads(ran.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs="*", type=Path, metavar="CHECKOUT", help="before and after")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--scale", type=float, default=0.5, help="1: 2,000 commits one at a time, 8,000 at 32")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measured(given.scale)))
        return
    if len(given.checkouts) != 2:
        parser.error("name two checkouts: before and after")
    found: dict[Path, list[list[tuple[float, float]]]] = {checkout.resolve(): [] for checkout in given.checkouts}
    for number in range(given.rounds):
        for checkout in list(found)[:: -1 if number % 2 else 1]:
            found[checkout].append(elsewhere(checkout, given.scale))
    before, after = found.values()
    print("| | us CPU before | after | | us on the clock before | after | |\n|---|---|---|---|---|---|---|")
    for at, (relaxed, places) in enumerate(CASES):
        cells = []
        for unit in (0, 1):
            old, new = (median(one[at][unit] for one in rounds) for rounds in (before, after))
            cells.append(f"{old:.1f} | {new:.1f} | {new / old - 1:+.0%}")
        print(f"| {'NORMAL' if relaxed else 'FULL'}, {places} at a time | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
