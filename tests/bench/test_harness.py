"""The command ``python -m benchmarks``, and the environments that it makes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from zipfile import ZipFile

import pytest
from filelock import FileLock, Timeout

from benchmarks import environments
from benchmarks.environments import Peer, packages, pins, prepare
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
    assert json.loads(notes.read_text()) == {"wanted": [[], [], {}], "bytes": 0, "packages": 0}
    (row, *_) = measure([CASES["steps"]], [subject], rounds=1, toy=True, folder=tmp_path)["steps"]
    assert row.figures["bare"].rounds

    notes.touch()
    marked = tmp_path / "bare" / "marked"
    marked.touch()
    prepare("bare", tmp_path)
    assert marked.exists()
    notes.write_text(json.dumps({"wanted": [["something else"], [], {}]}))
    prepare("bare", tmp_path)
    assert not marked.exists()


def project(folder: Path, name: str, version: str) -> str:
    """The path of a wheel with nothing in it."""
    file = folder / f"{name}-{version}-py3-none-any.whl"
    information = f"{name}-{version}.dist-info"
    with ZipFile(file, "w") as wheel:
        wheel.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nTag: py3-none-any\n")
        wheel.writestr(f"{information}/RECORD", "")
    return str(file)


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library "other" with versions 1 and 2 in an index of its own; its pins are in the folder that is returned."""
    index, folder = tmp_path / "index", tmp_path / "pins"
    index.mkdir()
    folder.mkdir()
    for version in "12":
        project(index, "nothing_here", version)
    options = ("--no-index", "--find-links", str(index))
    monkeypatch.setitem(environments.PEERS, "other", Peer((*options, "nothing-here"), (), "burr.py", "nothing_here"))
    monkeypatch.setattr(environments, "PINS", folder)
    monkeypatch.setattr(environments, "OTHERS", ["other"])
    return folder


def test_another_library_has_the_version_that_is_pinned_until_the_pin_is_renewed(other: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="pin them: python -m benchmarks --newest --against other"):
        prepare("other", tmp_path)
    (other / "other.txt").write_text("# a comment\nnothing_here==1\n")
    assert prepare("other", tmp_path).version == "1"
    assert prepare("other", tmp_path, newest=True).version == "2"
    assert pins("other") == {"nothing_here": "2"}
    made = (tmp_path / "other" / "installed.json").stat().st_mtime_ns
    assert prepare("other", tmp_path).version == "2"
    assert (tmp_path / "other" / "installed.json").stat().st_mtime_ns == made, (
        "what was pinned just now is not installed again"
    )
    (other / "other.txt").write_text("nothing_here==1\n")
    assert packages(prepare("other", tmp_path).python) == {"nothing_here": "1"}


def test_while_an_environment_is_made_no_other_process_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "requirements"
    os.mkfifo(listed)  # pip waits in it
    monkeypatch.setitem(environments.PEERS, "slow", Peer(("-r", str(listed)), (), "limit/__init__.py"))
    monkeypatch.setattr(environments, "OTHERS", [])
    making = threading.Thread(target=prepare, args=("slow", tmp_path))
    making.start()
    with listed.open("w"), pytest.raises(Timeout):
        FileLock(tmp_path / "slow.lock").acquire(blocking=False)
    making.join()
    assert (tmp_path / "slow" / "installed.json").exists()
    with FileLock(tmp_path / "slow.lock").acquire(blocking=False):
        pass
