"""Instructions that key cases take: a number that a later change can be compared with on any machine of the kind.

    python benchmarks/instructions.py --compare benchmarks/results/instructions.json [--out FILE]

A case is run twice in fresh processes, few and many times; the difference, divided, is what one takes, without the start
of the interpreter and what is built once. It counts with ``valgrind --tool=callgrind``, or with ``perf stat -e
instructions:u`` where valgrind is not installed. All threads count, so a saved run depends a little on how its commits
met; hashes are made the same each time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

PROGRAM = """
import asyncio, sys
from workflow_runtime.bench import ours

async def main(case, times, folder):
    if case == "step":
        run = ours.steps(100, 0.0)
        return [await run() for _ in range(times)] == [100] * times
    if case == "event":
        stream = ours.events(100)
        return [await stream() for _ in range(times)] == [(302, 100)] * times
    if case == "branch":
        run = ours.parallel(100, 0.0)
        return [await run() for _ in range(times)] == [100] * times
    async with ours.saved(f"sqlite:///{folder}/runs.db", 3, "sync", True) as saved:
        for number in range(times):
            assert await saved.run(f"s{number}") == 3
        return await saved.stored(f"s{times - 1}") == 3

assert asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
"""
# What is counted, how often it is done in the short run and in the long one, and how many of it are in one time.
CASES = {
    "step": ("a no-op step", 2, 6, 100),
    "event": ("a streamed event", 2, 6, 302),
    "branch": ("a branch of a Parallel of 100 no-op steps", 2, 6, 100),
    "saved": ("a saved run of 3 steps, durability sync, all events, SQLite", 5, 25, 1),
}


def counter() -> str | None:
    """The tool that counts here: valgrind, perf, or None."""
    if shutil.which("valgrind"):
        return "valgrind"
    if shutil.which("perf") and _perf([sys.executable, "-c", ""]) is not None:
        return "perf"
    return None


def instructions(tool: str, case: str, times: int) -> int:
    """Instructions of a process that does the case so often."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", PROGRAM, case, str(times), folder]
        found = _valgrind(command) if tool == "valgrind" else _perf(command)
    if found is None:
        raise SystemExit(f"{tool} counted nothing for {case}")
    return found


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONHASHSEED": "0"}


def _valgrind(command: list[str]) -> int | None:
    wrapped = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command]
    done = subprocess.run(wrapped, capture_output=True, text=True, check=False, env=_environment())
    if done.returncode:
        raise SystemExit(f"the case failed under valgrind:\n{done.stderr[-2000:]}")
    match = re.search(r"Collected : (\d+)", done.stderr)
    return int(match[1]) if match else None


def _perf(command: list[str]) -> int | None:
    wrapped = ["perf", "stat", "-x", ",", "-e", "instructions:u", *command]
    done = subprocess.run(wrapped, capture_output=True, text=True, check=False, env=_environment())
    match = re.search(r"^(\d+),[^,]*,instructions", done.stderr, re.MULTILINE)
    return int(match[1]) if match else None


def count(tool: str) -> dict[str, object]:
    """Instructions of one unit of each case, and what they were counted with."""
    found = {}
    for case, (title, few, many, units) in CASES.items():
        spent = instructions(tool, case, many) - instructions(tool, case, few)
        found[case] = {"title": title, "instructions": round(spent / (many - few) / units)}
    return {
        "tool": tool,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": platform.machine(),
        "packages": {name: version(name) for name in ("workflow-runtime", "anyio", "msgspec")},
        "cases": found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the counts to this JSON file")
    parser.add_argument("--compare", type=Path, help="a JSON file of earlier: print by how much each case has changed")
    given = parser.parse_args()
    tool = counter()
    if tool is None:
        raise SystemExit(
            "nothing counts instructions here: install valgrind, or run where perf may read the processor's counters"
        )
    before = json.loads(given.compare.read_text()) if given.compare else None
    found = count(tool)
    for case, one in found["cases"].items():  # type: ignore[attr-defined]  # made above
        line = f"{one['title']:64} {one['instructions']:>12,} instructions"
        if before is not None and case in before["cases"]:
            line += f"  {100 * (one['instructions'] / before['cases'][case]['instructions'] - 1):+.1f} %"
        print(line, flush=True)
    if before is not None and any(before[key] != found[key] for key in ("tool", "python", "machine")):
        print(f"not to be compared: {before['tool']}, {before['python']}, {before['machine']} there")
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
