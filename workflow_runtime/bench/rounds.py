"""Rounds: each case in a fresh process per library and round, the libraries in turn, so that all see the same machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from .case import Case

__all__ = ["Figure", "Row", "Subject", "Tables", "as_data", "from_data", "machine", "measure"]

WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Subject:
    """A library in its environment.

    Attributes:
        name: As in the tables.
        python: The interpreter that has it.
        adapter: The module that says how it does each case.
        version: What the tables say beside the name.
        uvloop: Measure on uvloop.
    """

    name: str
    python: Path
    adapter: Path
    version: str = ""
    uvloop: bool = False


@dataclass
class Figure:
    """What the rounds found for one library: values of all rounds, or the reason why there are none."""

    rounds: list[float] = field(default_factory=list)
    reason: str = ""

    @property
    def median(self) -> float | None:
        return median(self.rounds) if self.rounds else None


@dataclass
class Row:
    """One line of a case's table; ``figures`` by library."""

    label: str
    unit: str
    goal: float | None = None
    figures: dict[str, Figure] = field(default_factory=dict)


Tables = dict[str, list[Row]]
"""The rows of each case, by the case's name."""


def measure(
    cases: Sequence[Case],
    subjects: Sequence[Subject],
    *,
    rounds: int,
    toy: bool,
    folder: Path,
    postgres: Callable[[], str] | None = None,
    limit: float = 600.0,
    patience: float = 60.0,
    say: Callable[[str], None] = lambda _: None,
) -> Tables:
    """Run every case ``rounds`` times for every subject, A B C A B C.

    Args:
        cases: What to measure.
        subjects: Whom.
        rounds: How often; at least 1.
        toy: Small, to see that all works.
        folder: Where files may be written, on the disk that is to be measured.
        postgres: Gives the URL of a new, empty database at each call.
        limit: Seconds after which one process is ended; what it had found counts.
        patience: A library that took longer for a case than these seconds is not asked for it again: one round counts.
        say: Is told what goes on.

    Returns:
        Every row that any subject had, in the order in which they came.
    """
    tables: Tables = {}
    for case in cases:
        found = _Found(case)
        out: dict[str, str] = {}  # who is not asked again, and why
        for number in range(rounds):
            for subject in subjects:
                if subject.name in out:
                    continue
                say(f"{case.name} {number + 1}/{rounds} {subject.name}")
                began = time.monotonic()
                lines, problem = _once(case, subject, toy=toy, folder=folder, postgres=postgres, limit=limit)
                problem = found.take(subject.name, lines) or problem
                if time.monotonic() - began > patience:
                    out[subject.name] = "it took too long"
                if problem:
                    out[subject.name] = problem
                    say(f"    {subject.name}: {problem}")
        tables[case.name] = found.table([subject.name for subject in subjects], out)
    return tables


class _Found:
    """The rows of one case, by label and unit."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._rows: dict[tuple[str, str], Row] = {}

    def take(self, name: str, lines: Iterable[Mapping[str, Any]]) -> str | None:
        """Enter what one process of the subject ``name`` printed. Returns why the case cannot be measured, if it said so."""
        problem: str | None = None
        for line in lines:
            if not line["label"]:
                problem = line["reason"]
                continue
            place = (line["label"], line["unit"])
            row = self._rows.setdefault(place, Row(*place, goal=self._case.goals.get(place)))
            figure = row.figures.setdefault(name, Figure(reason=line["reason"]))
            if line["value"] is not None:
                figure.rounds.append(line["value"])
        return problem

    def table(self, names: Sequence[str], out: Mapping[str, str]) -> list[Row]:
        """The rows with a figure for each of ``names``, in that order; ``out`` says why some have none."""
        for row in self._rows.values():
            found = row.figures
            row.figures = {name: found.get(name) or Figure(reason=out.get(name, "not measured")) for name in names}
        return list(self._rows.values()) or [
            Row("", "", figures={name: Figure(reason=reason) for name, reason in out.items()})
        ]


def _once(
    case: Case, subject: Subject, *, toy: bool, folder: Path, postgres: Callable[[], str] | None, limit: float
) -> tuple[list[dict[str, Any]], str]:
    """What one process found, and why it found no more (empty: it came to its end)."""
    command: list[str | Path] = [subject.python, "-P", WORKER, subject.adapter, case.name]
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as place:
        command += ["--folder", place]
        if postgres is not None and case.postgres:
            command += ["--postgres", postgres()]
        command += [flag for flag, wanted in (("--toy", toy), ("--uvloop", subject.uvloop)) if wanted]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
            said, problem = done.stdout, _last_line(done.stderr) if done.returncode else ""
        except subprocess.TimeoutExpired as error:
            said = (error.stdout or b"").decode() if isinstance(error.stdout, bytes | None) else error.stdout
            problem = f"not done within {limit:g} s"
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")], problem


def _last_line(text: str) -> str:
    """The error a Python process ended with."""
    lines = [line for line in text.splitlines() if line.strip()]
    return f"failed: {lines[-1].strip()}" if lines else "failed"


def machine() -> dict[str, Any]:
    """What must stand beside figures: processor, interpreter, system and load."""
    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def as_data(tables: Tables) -> dict[str, Any]:
    """For JSON."""
    return {name: [asdict(row) for row in rows] for name, rows in tables.items()}


def from_data(data: dict[str, Any]) -> Tables:
    """Back from JSON."""
    return {name: [_row(row) for row in rows] for name, rows in data.items()}


def _row(data: dict[str, Any]) -> Row:
    figures = {name: Figure(**figure) for name, figure in data["figures"].items()}
    return Row(data["label"], data["unit"], data["goal"], figures)
