"""``wfr`` on a database file that somebody else wrote, and on files that it is given: nothing runs, nothing is a crash."""

from __future__ import annotations

import json
import random
from pathlib import Path

import anyio
import pytest
from typer.testing import CliRunner

from workflow_runtime.cli.app import app

from .hostile import nothing_runs, tags
from .rows import SqliteRows
from .test_stored_rows import spoiled, stored

READING = [
    ("runs",), ("runs", "--json"), ("show", "waits"), ("show", "done"), ("show", "done", "--json"), ("pending",),
    ("pending", "--json"), ("show", "done", "--step", "give"), ("tail", "done"), ("tail", "done", "--json"),
    ("export", "done"), ("export", "waits"), ("db", "check"), ("db", "check", "--json"),
]  # fmt: skip
WRITING = [("answer", "waits", "--yes"), ("answer", "waits", "--answer", '{"confirmed": true}'), ("cancel", "waits")]


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SqliteRows:
    found = SqliteRows(tmp_path / "runs.db")
    monkeypatch.setenv("WFR_DB", f"sqlite:///{found.path}")
    monkeypatch.setenv("COLUMNS", "150")
    return found


def wfr(*arguments: str, input: str = "") -> tuple[int, str]:
    found = CliRunner().invoke(app, list(arguments), input=input, prog_name="wfr")
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.exit_code, found.stdout + found.stderr


async def prepared(rows: SqliteRows) -> dict[tuple[str, ...], bytes]:
    before = await stored(rows)
    await rows.db.aclose()
    return before


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.usefixtures("quiet")
def test_no_row_breaks_a_command(rows: SqliteRows, tmp_path: Path, seed: int) -> None:
    before = anyio.run(prepared, rows)
    chance = random.Random(seed)
    all_tags = list(tags(tmp_path))
    with nothing_runs(tmp_path):
        for _ in range(6):
            rows.write({**before, **spoiled(before, all_tags, chance)})
            for command in READING:
                code, said = wfr(*command)
                allowed = {0, 1, 7} if command[0] == "db" else {0, 5} if "--step" in command else {0}
                assert code in allowed or command[0] == "tail", (command, code, said[-2000:])
                assert "Traceback" not in said
                if "--json" in command and code == 0:
                    [json.loads(line) for line in said.split("\n") if line]
            code, said = wfr("runs", "--json")
            assert {run["run_id"] for run in json.loads(said)} == {"waits", "done", "other"}
            for command in WRITING:
                code, said = wfr(*command)
                assert "Traceback" not in said
