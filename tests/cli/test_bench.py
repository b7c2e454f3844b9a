"""``wfr bench``: the cases, and load on a workflow here and on a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from server.serving import serving

from workflow_runtime import StepInput, Workflow

from .conftest import Wfr


async def echo(step_input: StepInput) -> str:
    return f"{step_input.input}"


def test_a_case_is_measured_and_printed(wfr: Wfr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = wfr("bench", "--case", "steps", "--toy", "--rounds", "1")
    assert said.code == 0, said.err
    assert "A step that does nothing" in said.lines[1]
    assert [line.split()[:2] for line in said.lines[2:]] == [["3", "steps"], ["10", "steps"]]
    assert list(tmp_path.iterdir()) == []


def test_the_figures_as_json(wfr: Wfr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = wfr("bench", "--case", "chunks", "--case", "postgres", "--toy", "--rounds", "2", "--json").json
    assert found["toy"] is True
    assert found["machine"]["processors"] >= 1
    assert [len(row["figures"]["ours"]["rounds"]) for row in found["tables"]["chunks"]] == [2, 2]
    (row,) = found["tables"]["postgres"]
    assert row["figures"]["ours"]["reason"] == "no PostgreSQL was given"


def test_an_unknown_case_is_named(wfr: Wfr) -> None:
    said = wfr("bench", "--case", "nonsense")
    assert said.code == 2
    assert "nonsense: there is none; the cases are steps" in said.err


def test_load_on_a_workflow_here(wfr: Wfr) -> None:
    found = wfr("bench", "flows:hello", "world", "--runs", "5", "--concurrency", "2", "--json").json
    assert (found["runs"], found["statuses"]) == (5, {"COMPLETED": 5})


def test_load_on_a_workflow_of_a_server(wfr: Wfr, tmp_path: Path) -> None:
    with serving(Workflow(name="Echo", steps=[echo], db=f"sqlite:///{tmp_path}/served.db")) as served:
        said = wfr("bench", f"{served.url}/workflows/echo", "hi", "--runs", "6", "--json")
        missing = wfr("bench", f"{served.url}/workflows/nobody", "hi", "--runs", "2")
    assert said.out, said.err
    assert (said.json["errors"], said.json["statuses"]) == ({}, {"COMPLETED": 6})
    assert missing.code == 1
    assert "2 x WorkflowNotFound" in missing.out


def test_a_load_of_nothing_and_a_url_of_nothing_are_usage_errors(wfr: Wfr) -> None:
    assert wfr("bench", "flows:hello", "--rate", "0").code == 2
    said = wfr("bench", "http://localhost:1/runs")
    assert said.code == 2
    assert "write http://host:port/workflows/ID" in said.err
