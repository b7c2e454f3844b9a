"""The command ``python -m benchmarks``, and the environments that it makes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import environments
from benchmarks.environments import Peer, prepare
from workflow_runtime.bench.cases import CASES
from workflow_runtime.bench.rounds import measure

from .test_report import RESULT

ROOT = Path(__file__).resolve().parents[2]


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)


def test_saved_results_become_tables_charts_and_a_page(tmp_path: Path) -> None:
    saved, page = tmp_path / "saved.json", tmp_path / "page.md"
    saved.write_text(json.dumps(RESULT))
    page.write_text("<!-- bench:steps --><!-- end -->")
    done = command("--saved", saved, "--out", tmp_path / "plain")
    assert done.returncode == 0, done.stderr
    assert {file.name for file in (tmp_path / "plain").iterdir()} == {"results.json", "results.md", "steps.svg"}
    assert done.stdout.rstrip() == (tmp_path / "plain" / "results.md").read_text().rstrip()
    assert command("--saved", saved, "--out", tmp_path / "kept", "--page", page).returncode == 0
    assert "![A step that does nothing, without a database](charts/steps.svg)" in page.read_text()
    assert (tmp_path / "charts" / "steps.svg").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--case", "nonsense"), "unknown case: nonsense; there are steps"),
        (("--case", "steps", "--against", "nobody"), "unknown library: nobody; there are ours"),
    ],
)
def test_what_is_unknown_is_named_with_what_there_is(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = command(*arguments, "--out", tmp_path)
    assert done.returncode == 1
    assert message in done.stderr


def test_an_environment_is_made_once_kept_and_made_anew_when_it_is_to_hold_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(environments.PEERS, "bare", Peer((), (), "limit/__init__.py"))
    subject = prepare("bare", tmp_path)
    assert subject.python != Path(sys.executable)
    notes = tmp_path / "bare" / "installed.json"
    assert json.loads(notes.read_text()) == {"wanted": [[], []], "bytes": 0, "packages": 0}
    (row, *_) = measure([CASES["steps"]], [subject], rounds=1, toy=True, folder=tmp_path)["steps"]
    assert row.figures["bare"].rounds

    notes.touch()
    marked = tmp_path / "bare" / "marked"
    marked.touch()
    prepare("bare", tmp_path)
    assert marked.exists()
    notes.write_text(json.dumps({"wanted": [["something else"], []]}))
    prepare("bare", tmp_path)
    assert not marked.exists()
