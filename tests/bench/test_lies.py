"""No case believes a library that did less than what is measured. ``liar.py`` is the library."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from workflow_runtime.bench.cases import CASES
from workflow_runtime.bench.rounds import Subject, measure

LIAR = Subject("liar", Path(sys.executable), Path(__file__).with_name("liar.py"))
LIES = {
    "steps": ["steps"],
    "parallel": ["parallel"],
    "call": ["call", "steps"],
    "events": ["events"],
    "chunks": ["chunks"],
    "first": ["first"],
    "concurrent": ["steps"],
    "memory": ["steps", "events"],
    "sqlite": ["saved.run", "saved.stored"],
    "postgres": ["saved.run", "saved.stored"],
    "growth": ["saved.run", "saved.stored"],
    "stall": ["saved.run", "saved.stored"],
    "replay": ["replay"],
    "paused": ["paused.pause", "paused.go_on"],
    "recovery": ["recovers"],
    "import": [],  # it asks the library nothing
    "commits": ["commits.stored"],
    "drawing": ["drawing"],
}


@pytest.mark.parametrize(("case", "lie"), [(case, lie) for case, lies in LIES.items() for lie in lies])
def test_a_library_that_did_less_gets_no_figure_for_it(
    case: str, lie: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("LIAR", lie)
    database = request.getfixturevalue("postgres").new_database if CASES[case].postgres else None
    said: list[str] = []
    measure([CASES[case]], [LIAR], rounds=1, toy=True, folder=tmp_path, postgres=database, say=said.append)
    assert "NotDone: expected" in said[-1]


def test_every_case_is_lied_to() -> None:
    assert list(LIES) == list(CASES)
