"""The runs of the data, made again by this version. What it stores of them is what the first version stored, but for what is
listed here with its reason: a change of what is stored shows here, and is listed or taken back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio

from workflow_runtime.storage.registry import open_url

from .conftest import unpack
from .make_fixtures import START
from .raw import columns_of_version_1, readable, rows, with_states

TESTS = Path(__file__).resolve().parents[1]

# Fields that this version adds to what a row holds, at any depth.
NEW_FIELDS = {"used_at", "withdrawn_at", "timed_out", "failed_steps", "usage"}

# Runs that go another way now.
OTHER_WAY = {
    "half-answered": "a continue goes as far as its answers reach, so the confirmed branch has run",
    "cancelled-half": "the same",
}

UNNAMED = {"made-by-hand": "a session that is saved without a name has an empty one, which is read as none"}

KEPT = {"pruned-whole": "a run from which a stored one was forked is not pruned"}

# Ended runs whose row has what was answered last; it had the question.
LAST_ANSWER = {"confirmed", "refused", "timed-out"}

# Questions that are put in other words now: their rows, the events and the runs that hold them.
OTHER_QUESTIONS = {
    "review": "a review says that it may be confirmed",
    "review-router": "the same, its message, and what was to choose from",
    "iteration": "the same, and the content of the iteration instead of a sentence about it",
}
# What a step raised has a row of its own since, which counts among the positions of the rows after it.
FAILURE = "!failure"
COUNTED = {"touched", "changes", "number", "version"}  # how often a row was written is not what is stored


def differences(was: Any, now: Any, where: str) -> Iterator[str]:
    """A line for each place where ``now`` is not ``was``; fields that are new are passed over."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in {**was, **now}:
            if key in was or key not in NEW_FIELDS:
                yield from differences(was.get(key), now.get(key), f"{where}.{key}")
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for number, (one, other) in enumerate(zip(was, now, strict=True)):
            yield from differences(one, other, f"{where}[{number}]")
    elif was != now:
        yield f"{where}: {was!r:.100} => {now!r:.100}"


def test_the_runs_of_the_first_version_made_again_leave_the_same_rows(tmp_path: Path) -> None:
    old, new = f"sqlite:///{unpack(tmp_path / 'old.db')}", f"sqlite:///{tmp_path / 'new.db'}"
    command = [sys.executable, "-m", "upgrade.make_fixtures", "living", new, str(START)]
    made = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, timeout=120, check=False)
    assert (made.returncode, made.stderr) == (0, "")
    there = rows(new)
    anyio.run(with_states, open_url(new), there)
    before, after = columns_of_version_1(rows(old)), columns_of_version_1(there)
    found: dict[str, set[str]] = {}
    failed = {key[0] for key in after["steps"] if str(key[1]).endswith(FAILURE)}
    for table, by_key in after.items():
        for key, row in by_key.items():
            run_id = str(key[0])
            known = before[table].get(key)
            if table == "steps" and str(key[1]).endswith(FAILURE):
                continue
            if known is None:
                found.setdefault(run_id, set()).add(f"{table} {key[1:]} is new")
                continue
            for name, value in row.items():
                if name not in COUNTED and not (name == "position" and key[0] in failed):
                    told = list(differences(readable(known[name]), readable(value), f"{table} {key[1:]} {name}"))
                    if told:
                        found.setdefault(run_id, set()).update(told)
    written = {key for by_key in after.values() for key in by_key}
    gone = [
        (table, key)
        for table, by_key in before.items()
        for key in by_key
        if key not in written and key[0] in {run_id for (run_id,) in after["runs"]}
    ]
    assert gone == []
    changed = {*OTHER_WAY, *UNNAMED, *KEPT, *OTHER_QUESTIONS, *LAST_ANSWER}
    assert {run_id: said for run_id, said in found.items() if run_id not in changed} == {}
    assert set(found) == changed
