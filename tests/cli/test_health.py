"""``wfr db check``: a sound database, a damaged one, and runs that cannot be read or need somebody."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from .conftest import Wfr


def change(url: str, *statements: str) -> None:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_a_sound_database_is_described_and_leaves_with_0(wfr: Wfr, url: str) -> None:
    wfr("run", "flows:hello", "one")
    wfr("run", "flows:broken", "two")
    wfr("run", "flows:ask", "three")
    said = wfr("db", "check")
    assert said.code == 0
    assert said.lines[0].startswith(f"database {url.removeprefix('sqlite:///')}, SQLite 3.")
    assert "runs     3: 1 paused, 1 error, 1 completed" in said.out
    assert "read     3 runs, whole" in said.out
    assert "waiting  1 question, the oldest for" in said.out
    assert said.lines[-1] == "result   all is well"
    found = wfr("db", "check", "--json").json
    assert found["ok"] is True
    assert found["runs"] == {"COMPLETED": 1, "ERROR": 1, "PAUSED": 1}
    assert (found["read"], found["waiting"], found["version"]) == (3, 1, 3)
    assert wfr("db", "check", "--json", "--limit", "1").json["read"] == 1


def test_the_space_of_what_was_pruned_is_given_back(wfr: Wfr, url: str) -> None:
    for run_id in ("r1", "r2", "r3"):
        wfr("run", "flows:hello", "one", "--run-id", run_id)
    wfr("prune", "--older-than", "0s", "--yes")
    assert wfr("db", "vacuum", "--json").json["freed"] >= 0
    said = wfr("db", "vacuum")
    assert (said.code, said.lines[-1]) == (0, "0 bytes given back")


def test_a_run_that_cannot_be_read_is_named_with_the_reason(wfr: Wfr, url: str) -> None:
    for run_id in ("r1", "r2", "r3"):
        wfr("run", "flows:hello", "one", "--run-id", run_id)
    change(
        url,
        "UPDATE workflow_runs SET data = x'7b' WHERE run_id = 'r1'",
        "UPDATE workflow_events SET data = x'ff' WHERE run_id = 'r3' AND seq = 2",
    )
    said = wfr("db", "check", "--json")
    assert said.code == 7
    assert set(said.json["unreadable"]) == {"r1", "r3"}
    text = wfr("db", "check").out
    assert "3 runs, 2 of them cannot be read" in text
    assert "r1: " in text
    assert text.endswith("result   something is wrong\n")


def test_rows_that_have_lost_their_run_are_counted(wfr: Wfr, url: str) -> None:
    wfr("run", "flows:hello", "one", "--run-id", "r1")
    change(url, "UPDATE workflow_deleting SET permitted = 1", "DELETE FROM workflow_runs")
    found = wfr("db", "check", "--json")
    assert found.code == 7
    assert [problem.split(" has rows of 1 run ")[0] for problem in found.json["problems"]] == [
        "workflow_steps",
        "workflow_events",
    ]


def test_a_damaged_file_is_told(wfr: Wfr, url: str) -> None:
    wfr("run", "flows:hello", "one", "--run-id", "r1")
    change(url, "PRAGMA wal_checkpoint(TRUNCATE)")
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        place = "SELECT rootpage FROM sqlite_master WHERE name = 'workflow_runs_by_workflow'"
        page = connection.execute(place).fetchone()[0]
    connection.close()
    with Path(url.removeprefix("sqlite:///")).open("r+b") as file:
        file.seek((page - 1) * size + 3)
        file.write(b"\0\0")  # an index without cells
    said = wfr("db", "check")
    assert said.code == 7
    assert "the file is damaged" in said.out
    assert "restore a backup" in said.out


def test_a_run_whose_process_died_is_named_with_the_way_out_and_is_no_damage(wfr: Wfr, url: str) -> None:
    wfr("run", "flows:hello", "one", "--run-id", "r1")
    change(url, "UPDATE workflow_runs SET status = 'RUNNING', owner = 'gone', lease_until = 5.0")
    said = wfr("db", "check")
    assert said.code == 0
    assert "1 run lost their process; take them over: wfr recover MODULE:NAME (r1)" in said.out
    assert wfr("db", "check", "--json").json["stranded"] == ["r1"]


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be one" * 50, None])
def test_what_is_no_database_is_one_line(wfr: Wfr, tmp_path: Path, content: bytes | None) -> None:
    place = tmp_path / "other.db"
    if content is None:
        place.mkdir()
    else:
        place.write_bytes(content)
    said = wfr("db", "check", "--db", f"sqlite:///{place}")
    assert said.code == 7
    assert said.err.startswith(f"wfr: SQLite database {place}: ")
    assert said.err.count("\n") == 1


def test_a_value_whose_class_is_not_here_is_counted_and_is_no_damage(wfr: Wfr, url: str) -> None:
    wfr("run", "flows:hello", "one", "--run-id", "r1")
    tag = '{"$":"dataclass","t":"shop.models:Order","v":{}}'
    change(
        url, f"UPDATE workflow_runs SET data = CAST(json_set(CAST(data AS TEXT), '$.content', json('{tag}')) AS BLOB)"
    )
    said = wfr("db", "check", "--json")
    assert (said.code, said.json["ok"], said.json["unreadable"]) == (0, True, {})
    assert said.json["classes"] == {"shop.models:Order": 1}
    text = wfr("db", "check").out
    assert "classes  values that only a process with their class can read: shop.models:Order (1 run)" in text
    assert text.endswith("result   all is well\n")


def test_a_tag_that_is_damaged_is_damage(wfr: Wfr, url: str) -> None:
    wfr("run", "flows:hello", "one", "--run-id", "r1")
    tag = '{"$":"int","v":[]}'
    change(
        url, f"UPDATE workflow_runs SET data = CAST(json_set(CAST(data AS TEXT), '$.content', json('{tag}')) AS BLOB)"
    )
    said = wfr("db", "check", "--json")
    assert (said.code, set(said.json["unreadable"])) == (7, {"r1"})


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize(
    "command",
    [
        ("db", "check"),
        ("db", "vacuum"),
        ("requeue", "r"),
        ("prune", "--older-than", "1d"),
        ("runs",),
        ("pending",),
        ("show", "r"),
        ("tail", "r"),
        ("answer", "r", "--yes"),
        ("cancel", "r"),
        ("export", "r"),
    ],
    ids=lambda command: " ".join(command),
)
def test_a_database_that_does_not_exist_is_named_and_not_made(
    wfr: Wfr, tmp_path: Path, command: tuple[str, ...], options: tuple[str, ...]
) -> None:
    place = tmp_path / "typo.db"
    said = wfr(*command, "--db", f"sqlite:///{place}", *options)
    assert said.code == 7
    assert f"there is no database at sqlite:///{place}" in (said.out + said.err).replace("\n", "")
    assert not place.exists()
