"""Results as tables, charts and a rewritten page; instruction counts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import instructions
from benchmarks.charts import draw
from benchmarks.report import markdown, rewrite
from workflow_runtime.bench.case import Case, Found
from workflow_runtime.bench.cases import CASES
from workflow_runtime.bench.clock import Bench
from workflow_runtime.bench.rounds import Figure, Row, Subject, as_data, from_data, measure

ROOT = Path(__file__).resolve().parents[2]
ROWS = [
    Row(
        "10 steps",
        "us/step",
        9.6,
        {"ours": Figure([3.0, 1.0, 2.0]), "slow": Figure([40.0]), "unable": Figure([], "no")},
    ),
    Row("100 steps", "us/step", None, {"ours": Figure([1000.0]), "slow": Figure([0.0]), "unable": Figure([], "no")}),
    Row("1,000 steps", "us/step", None, {"ours": Figure([0.05]), "slow": Figure([41.0]), "unable": Figure([], "no")}),
]
RESULT: dict[str, Any] = {
    "command": "python -m benchmarks --case steps",
    "when": {"steps": {"when": "2026-01-02 03:04 UTC", "load": 0.5, "load_after": 0.7}},
    "toy": False,
    "rounds": 3,
    "machine": {
        "processor": "P",
        "processors": 2,
        "python": "CPython 3.11",
        "system": "Linux 6",
        "load": 0.5,
    },
    "versions": {"ours": "0.1.0", "limit": ""},
    "tables": as_data({"steps": ROWS}),
}


def test_a_table_has_median_spread_goal_and_the_reason_for_what_is_missing() -> None:
    text = markdown(RESULT)
    assert "| 10 steps | us/step | 2.00 (1.00..3.00) | 40.0 | - | 9.60 |" in text
    assert "| 100 steps | us/step | 1,000 | 0 | - |  |" in text
    assert text.endswith("\n\nunable: no.\n")


def test_what_was_measured_on_stands_beside_it() -> None:
    text = markdown(RESULT)
    for part in (
        "`python -m benchmarks --case steps`",
        "2 x P",
        "CPython 3.11",
        "load 0.5 to 0.7",
        "ours 0.1.0",
    ):
        assert part in text
    assert "figures mean nothing" in markdown({**RESULT, "toy": True})


def test_results_come_back_from_json_as_they_were() -> None:
    assert from_data(RESULT["tables"]) == {"steps": ROWS}


def test_a_page_is_rewritten_between_its_markers_only(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench:steps -->old<!-- end -->\nbetween\n<!-- bench:events -->kept<!-- end -->\n")
    rewrite(page, RESULT, tmp_path / "charts")
    text = page.read_text()
    assert text.startswith(
        "before\n<!-- bench:steps -->\n\n**A step that does nothing, without a database.** 2026-01-02 03:04 UTC, 3 rounds,"
        " load 0.5 to 0.7.\n\n| | unit | ours | slow | unable | goal |"
    )
    assert "old" not in text
    assert "<!-- bench:events -->kept<!-- end -->" in text
    (picture,) = re.findall(r"!\[.*\]\((.*)\)", text)
    assert (tmp_path / picture).is_file()
    rewrite(page, RESULT, tmp_path / "charts")
    assert page.read_text() == text


@pytest.mark.parametrize("rows", [ROWS, ROWS[:2]], ids=["grows", "bars"])
def test_a_chart_shows_who_has_figures_and_loads_nothing_from_elsewhere(rows: list[Row], tmp_path: Path) -> None:
    (file,) = draw("steps", "A step", rows, tmp_path)
    text = file.read_text()
    root = ElementTree.fromstring(text)
    words = {"".join(node.itertext()) for node in root.iter() if node.tag.endswith("}text")}
    assert {"ours", "slow"} <= words
    assert "unable" not in words
    assert "A step (us/step, less is better)" in words
    assert "<script xlink:href" not in text


def test_figures_that_only_one_library_has_or_that_are_all_0_get_no_chart(tmp_path: Path) -> None:
    alone = [Row("x", "us", None, {"ours": Figure([1.0]), "unable": Figure([], "no")})]
    assert draw("steps", "A step", alone, tmp_path) == []
    nothing = [Row("x", "bytes", None, {"ours": Figure([0.0]), "limit": Figure([0.0])})]
    assert draw("memory", "What stays", nothing, tmp_path) == []


def test_the_page_has_a_place_for_every_case() -> None:
    found = re.findall(r"<!-- bench:(\w+) -->", (ROOT / "docs" / "performance.md").read_text())
    assert sorted(found) == sorted(["conditions", *CASES])


def _subject(tmp_path: Path) -> Subject:
    adapter = tmp_path / "adapter.py"
    adapter.write_text(
        "import time\nCANNOT = {}\n"
        "def chunks(count, patient):\n"
        "    async def stream():\n"
        "        if patient: time.sleep(60)\n"
        "        return count\n"
        "    return stream\n"
    )
    return Subject("stuck", Path(sys.executable), adapter)


def test_what_a_process_found_before_its_time_ran_out_counts_and_it_is_not_asked_again(tmp_path: Path) -> None:
    said: list[str] = []
    (row,) = measure(
        [CASES["chunks"]], [_subject(tmp_path)], rounds=3, toy=True, folder=tmp_path, limit=2.0, say=said.append
    )["chunks"]
    assert row.label == "the producer does not wait"
    assert len(row.figures["stuck"].rounds) == 1
    assert said == ["chunks 1/3 stuck", "    stuck: not done within 2 s"]


def test_who_took_longer_than_patience_is_measured_once(tmp_path: Path) -> None:
    ours = Subject("ours", Path(sys.executable), ROOT / "workflow_runtime" / "bench" / "ours" / "__init__.py")
    rows = measure([CASES["steps"]], [ours], rounds=3, toy=True, folder=tmp_path, patience=0.0)["steps"]
    assert [len(row.figures["ours"].rounds) for row in rows] == [1, 1]


def test_the_clock_measures_the_work_and_not_the_waiting(tmp_path: Path) -> None:
    async def work() -> None:
        sum(range(1000))

    with Bench(toy=True, folder=tmp_path) as bench:
        assert 0 < bench.cpu(work) < 1
        assert bench.size(10, 1) == 1
        assert bench.run(lambda: _double(3)) == 6


async def _double(number: int) -> int:
    return 2 * number


def test_a_case_has_a_name_a_title_and_goals_it_can_have() -> None:
    for name, case in CASES.items():
        assert isinstance(case, Case)
        assert (case.name, bool(case.title)) == (name, True)
        assert all(isinstance(Found(label, unit, goal).value, float) for (label, unit), goal in case.goals.items())


@pytest.mark.parametrize("case", instructions.CASES)
def test_what_is_counted_in_instructions_does_its_work(case: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", instructions.PROGRAM, case, "2", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_one_takes_is_what_a_longer_run_takes_more_and_stands_beside_that_of_earlier(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A valgrind that counts 5,000 instructions for a start and 6,040 for each time."""
    tool = tmp_path / "valgrind"
    tool.write_text('#!/bin/sh\nshift 2\n"$@" || exit 1\necho "==1== Collected : $((5000 + 6040 * $5))" >&2\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    out = tmp_path / "counts.json"
    monkeypatch.setattr(sys, "argv", ["instructions.py", "--out", str(out)])
    instructions.main()
    counts = json.loads(out.read_text())
    assert {case: one["instructions"] for case, one in counts["cases"].items()} == {
        "step": 60,
        "event": 20,
        "branch": 60,
        "saved": 6040,
    }
    counts["cases"]["event"]["instructions"] = 25
    out.write_text(json.dumps(counts))
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["instructions.py", "--compare", str(out)])
    instructions.main()
    assert [line.split("  ")[-1] for line in capsys.readouterr().out.splitlines()] == [
        "+0.0 %",
        "-20.0 %",
        "+0.0 %",
        "+0.0 %",
    ]


def test_without_a_tool_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["instructions.py"])
    with pytest.raises(SystemExit, match="install valgrind"):
        instructions.main()
