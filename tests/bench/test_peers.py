"""Every case of every other library at toy size, in its own environment at the versions that are pinned. Never a time.

The environments are made in .bench/ and kept there; making them needs the package index, as making .venv does.
"""

from __future__ import annotations

import ast
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from servers import TestServer

from benchmarks.environments import OTHERS, PINS, packages, pins, prepare
from workflow_runtime.bench.case import Case
from workflow_runtime.bench.cases import CASES
from workflow_runtime.bench.rounds import Row, measure

CACHE = Path(__file__).resolve().parents[2] / ".bench"
AT_ONCE = 2  # cases: each is a process, and this one only waits


@pytest.mark.parametrize("name", OTHERS)
def test_a_library_does_every_case_or_its_adapter_says_why_not(name: str, postgres: TestServer, tmp_path: Path) -> None:
    subject = prepare(name, CACHE)
    assert packages(subject.python).items() <= pins(name).items(), "something is installed that is not pinned"
    tree = ast.parse(subject.adapter.read_text())
    words = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    reasons = {word for word in words if isinstance(word, str) and word}
    reasons.add("it has no anyio to compare with")  # this one is said by the case
    does = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))} | {"IMPORT"}
    said: list[str] = []

    def toy(case: Case) -> list[Row]:
        found = measure(
            [case],
            [subject],
            rounds=1,
            toy=True,
            folder=tmp_path,
            postgres=postgres.new_database if case.postgres else None,
            limit=900.0,
            say=said.append,
        )
        return found[case.name]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        tables = list(pool.map(toy, CASES.values()))
    ended = [line.partition(f"{name}: ")[2] for line in said if line.startswith(" ")]
    assert set(ended) <= reasons, "a process came to no good end"
    for case, rows in zip(CASES.values(), tables, strict=True):
        for row in rows:
            figure = row.figures[name]
            assert bool(figure.rounds) != bool(figure.reason), f"{case.name}: {row.label}"
            assert figure.reason in {*reasons, ""}, f"{case.name}: {figure.reason}"
        assert any(row.figures[name].rounds for row in rows) == (case.function in does), case.name


def test_every_other_library_has_its_pins_and_nobody_else() -> None:
    assert {path.stem for path in PINS.iterdir()} == set(OTHERS)
