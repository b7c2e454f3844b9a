"""What drawing costs: a step that streams 10,000 chunks a second, read by nobody's eyes and on a real (pseudo) terminal.

    python benchmarks/console.py [--seconds 5] [--rate 10000] [--json]

Method: the step yields its chunks in bursts, one per millisecond, paced by the clock, so both runs do the same work in the
same time. The undrawn stream is ``async for event in workflow.arun(stream=True, stream_events=True)``; the drawn one is
``aprint_response`` on an 100 x 40 pseudo-terminal that another process drains. Compared is the CPU time of this process
(user and system, all threads): the least of ``--rounds`` rounds, in which the kinds take turns. The answer itself is
short, so that what is printed at the end is not part of it. ``drawing_percent`` is the part of it that was spent in
drawing threads: it does not suffer from the loop's own ups and downs. ``redraws_per_second`` is what the terminal saw.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple, TextIO

import anyio
from rich.console import Console

from workflow_runtime import Step, StepInput, StepOutput, Workflow
from workflow_runtime.console import live
from workflow_runtime.console.response import respond

WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "and", "it", "*rests*", "a while.\n\n")
_DRAIN = "import os, sys\nwhile True:\n    if not os.read(0, 65536): sys.exit()"


def workflow(rate: int, seconds: float) -> Workflow:
    async def speak(step_input: StepInput) -> AsyncIterator[str | StepOutput]:
        began, sent = time.perf_counter(), 0
        total = int(rate * seconds)
        while sent < total:
            due = min(total, int((time.perf_counter() - began) * rate))
            while sent < due:
                yield f"{WORDS[sent % len(WORDS)]} "
                sent += 1
            await anyio.sleep(0.001)
        yield StepOutput("the end")  # what is printed at the end is not part of the stream's cost

    return Workflow(name="bench", steps=[Step(name="speak", executor=speak)], telemetry=False)


async def undrawn(rate: int, seconds: float) -> None:
    async for _ in workflow(rate, seconds).arun("x", stream=True, stream_events=True):
        pass


async def drawn(rate: int, seconds: float, terminal: TextIO, markdown: bool) -> None:
    console = Console(file=terminal, force_terminal=True, width=100, height=40, color_system="truecolor")
    await respond(
        workflow(rate, seconds), "x", console=console, markdown=markdown, show_step_details=False, interactive=False
    )


class Measured(NamedTuple):
    """Seconds: CPU of the process, that of it which was not the event loop's thread, and of the clock on the wall."""

    cpu: float
    threads: float
    wall: float


def measured(function: Any, *args: Any) -> Measured:
    cpu, loop, wall = time.process_time(), time.thread_time(), time.perf_counter()
    anyio.run(function, *args)
    cpu = time.process_time() - cpu
    return Measured(cpu, cpu - (time.thread_time() - loop), time.perf_counter() - wall)


def counting() -> list[int]:
    """Counts every redraw of every surface from now on."""
    count = [0]
    draw = live.Live._draw

    def counted(self: Any, shot: Any) -> float:
        count[0] += 1
        return draw(self, shot)

    live.Live._draw = counted  # type: ignore[method-assign]  # for this measurement only
    return count


def bench(rate: int, seconds: float, rounds: int) -> dict[str, Any]:
    """The three in turn, ``rounds`` times; the least of each, since others on the machine can only add to it."""
    found: dict[str, Any] = {"chunks_per_second": rate, "seconds": seconds, "rounds": rounds}
    count = counting()
    master, slave = pty.openpty()
    plain: list[Measured] = []
    taken: dict[str, list[tuple[Measured, float]]] = {"drawn": [], "drawn_markdown": []}
    with subprocess.Popen([sys.executable, "-c", _DRAIN], stdin=master) as drain, open(slave, "w") as terminal:
        os.close(master)
        measured(undrawn, rate, 0.2)
        measured(drawn, rate, 0.2, terminal, True)
        for _ in range(rounds):
            plain.append(measured(undrawn, rate, seconds))
            for name, runs in taken.items():
                before = count[0]
                one = measured(drawn, rate, seconds, terminal, name == "drawn_markdown")
                runs.append((one, (count[0] - before) / one.wall))
        drain.kill()
    base = min(one.cpu for one in plain)
    found["undrawn_cpu"] = base / seconds
    for name, runs in taken.items():
        found[name] = {
            "cpu": min(one.cpu for one, _ in runs) / seconds,
            "more_cpu_percent": 100 * (min(one.cpu for one, _ in runs) / base - 1),
            "drawing_percent": 100 * min(one.threads for one, _ in runs) / base,
            "redraws_per_second": max(redraws for _, redraws in runs),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = bench(options.rate, options.seconds, options.rounds)
    if options.json:
        print(json.dumps(found))
        return
    print(f"{found['chunks_per_second']:,} chunks/s for {found['seconds']:g} s")
    print(f"undrawn        {100 * found['undrawn_cpu']:5.1f} % of a core")
    for name in ("drawn", "drawn_markdown"):
        part = found[name]
        print(
            f"{name:14} {100 * part['cpu']:5.1f} % of a core, {part['more_cpu_percent']:+5.1f} %"
            f" (drawing {part['drawing_percent']:.1f} %),"
            f" {part['redraws_per_second']:4.1f} redraws/s"
        )


if __name__ == "__main__":
    main()
