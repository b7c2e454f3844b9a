"""Every case does, at toy size, what it says it measures. Never a time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.environments import ADAPTERS
from workflow_runtime.bench import ours
from workflow_runtime.bench.case import Case
from workflow_runtime.bench.cases import CASES
from workflow_runtime.bench.rounds import Subject, Tables, measure

OURS = Subject("ours", Path(sys.executable), Path(ours.__file__))
LIMIT = Subject("limit", Path(sys.executable), ADAPTERS / "limit" / "__init__.py")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_case_measures_this_library_and_the_limit(case: Case, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    database = request.getfixturevalue("postgres").new_database if case.postgres else None
    rows = measure([case], [OURS, LIMIT], rounds=1, toy=True, folder=tmp_path, postgres=database)[case.name]
    assert rows
    for row in rows:
        assert row.unit
        for name, figure in row.figures.items():
            assert figure.rounds or figure.reason, f"{name}: {row.label}"
            assert not figure.reason.startswith("failed"), figure.reason
        assert row.figures["ours"].rounds, f"{row.label}: {row.figures['ours'].reason}"


def test_what_a_library_puts_off_until_its_first_run_is_counted(tmp_path: Path) -> None:
    rows = measure([CASES["import"]], [OURS, LIMIT], rounds=1, toy=True, folder=tmp_path)["import"]
    found = {(row.label, row.unit): {name: figure.rounds for name, figure in row.figures.items()} for row in rows}
    assert all(found["import, and a first run of one step", "ms CPU"].values())
    assert all(found["memory of the process after that run", "MB"].values())


def lying(tmp_path: Path, code: str) -> Subject:
    adapter = tmp_path / "adapter.py"
    adapter.write_text(f"CANNOT = {{'chunks': 'it has no text'}}\n{code}")
    return Subject("lying", Path(sys.executable), adapter)


def one(case: str, subject: Subject, tmp_path: Path) -> Tables:
    return measure([CASES[case]], [subject], rounds=2, toy=True, folder=tmp_path)


def test_a_library_that_did_not_do_the_work_gets_no_figure(tmp_path: Path) -> None:
    code = "def steps(count, nap):\n    async def run():\n        return count - 1\n    return run\n"
    (row,) = one("steps", lying(tmp_path, code), tmp_path)["steps"]
    assert row.figures["lying"].median is None
    assert "NotDone: expected 3, the library says 2" in row.figures["lying"].reason


def test_what_a_library_cannot_do_has_a_reason(tmp_path: Path) -> None:
    (row,) = one("chunks", lying(tmp_path, ""), tmp_path)["chunks"]
    assert row.figures["lying"].median is None
    assert row.figures["lying"].reason == "it has no text"
