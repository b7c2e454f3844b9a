"""Play many cases, each batch in a forked child that leaves by ``os._exit``: what a case left behind goes with its child,
and nothing is finalised on the way.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import patches
from .book import Broken
from .drawing import Case
from .verdict import check

__all__ = ["Job", "Row", "play_all"]

SIZE = 25  # cases in a batch
LONGEST = 120  # seconds of the real clock that a case may take: code that never waits would hold its child up for ever


@dataclass(frozen=True)
class Job:
    """A case to play, and the name under which its row is reported."""

    name: str
    case: Case


@dataclass(frozen=True)
class Row:
    """What became of a job. ``seconds``: of the real clock."""

    name: str
    case: Case
    trace: str
    callbacks: int
    seconds: float
    broken: list[Broken]


def play_all(jobs: Sequence[Job], *, workers: int | None = None, size: int = SIZE) -> Iterator[Row]:
    """The rows of all jobs, as they come: batch by batch, in each in the order of the jobs. Patches this interpreter."""
    patches.apply()
    sys.stdout.flush()
    waiting = [jobs[start : start + size] for start in range(0, len(jobs), size)]
    running: dict[int, tuple[Path, Sequence[Job]]] = {}
    most = workers or os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        while waiting or running:
            while waiting and len(running) < most:
                batch, place = waiting.pop(0), Path(folder, str(len(waiting)))
                running[_fork(batch, place)] = place, batch
            pid, status = os.wait()
            if pid in running:
                place, batch = running.pop(pid)
                yield from _rows(place, batch, os.waitstatus_to_exitcode(status))


def _fork(batch: Sequence[Job], place: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        sys.unraisablehook = lambda _: None  # of what is finalised anyway
        with place.open("w") as out:
            for job in batch:
                signal.alarm(LONGEST)
                out.write(json.dumps(_play(job)) + "\n")
                out.flush()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _play(job: Job) -> list[Any]:
    began = time.perf_counter()
    try:
        verdict = check(job.case)
    except Exception:
        return ["", 0, 0.0, [["harness", traceback.format_exc()[-1500:]]]]
    return [verdict.trace, verdict.callbacks, time.perf_counter() - began, verdict.broken]


def _rows(place: Path, batch: Sequence[Job], code: int) -> Iterator[Row]:
    lines = place.read_text().splitlines()
    for job, line in zip(batch, lines, strict=False):
        trace, callbacks, seconds, broken = json.loads(line)
        yield Row(job.name, job.case, trace, callbacks, seconds, [Broken(rule, text) for rule, text in broken])
    if code and len(lines) < len(batch):
        job = batch[len(lines)]
        why = f"took longer than {LONGEST} s" if code == -signal.SIGALRM else f"ended its process with {code}"
        yield Row(job.name, job.case, "", 0, 0.0, [Broken("harness", f"the case {why}")])
        if rest := batch[len(lines) + 1 :]:
            yield from play_all(rest, workers=1)
