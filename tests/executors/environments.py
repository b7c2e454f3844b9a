"""The environments of the agent libraries, and the runs of their adapters' tests inside them.

A library is a dependency group ``agent-NAME`` of pyproject.toml, which has the range of its versions. Its tests are in
``libraries/``. The environment is made in .agents/ when the tests first need it, and kept.
"""

from __future__ import annotations

import os
import subprocess
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

from benchmarks.venvs import pip, prepared

__all__ = ["LIBRARIES", "Outcome", "environment", "outcomes"]

ROOT = Path(__file__).resolve().parents[2]
TESTS = Path(__file__).parent / "libraries"
CACHE = ROOT / ".agents"

_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
_SHARED = "agent-tests"

LIBRARIES = {
    name.removeprefix("agent-"): wanted
    for name, wanted in _PROJECT["dependency-groups"].items()
    if name.startswith("agent-") and name != _SHARED
}
"""The requirements of each library, by its name."""

_MODULES = {"agno3": "agno"}
"""The test module of a library, where another's is its own: ``agno3`` runs that of ``agno``."""


class Outcome(NamedTuple):
    """How one test ended; ``failure`` is empty for one that passed."""

    name: str
    failure: str


def environment(library: str) -> Path:
    """The interpreter of the library's environment: this package from its sources, and the library."""
    groups = [f"agent-{library}", _SHARED]
    wanted = [_PROJECT["project"]["dependencies"], *(_PROJECT["dependency-groups"][group] for group in groups)]

    def install(python: Path) -> None:
        flags = [flag for group in groups for flag in ("--group", f"{ROOT / 'pyproject.toml'}:{group}")]
        pip(python, "install", "--editable", str(ROOT), *flags)

    return prepared(CACHE / library, lambda: wanted, install)


def outcomes(library: str, folder: Path) -> list[Outcome]:
    """Run the tests of the library's adapter in its environment, and read how each ended."""
    report = folder / "report.xml"
    module = f"test_{_MODULES.get(library, library).replace('-', '_')}.py"
    command = [environment(library), "-m", "pytest", "--config-file", TESTS / "pytest.ini", "--rootdir", TESTS]
    command += ["--confcutdir", TESTS, f"--junitxml={report}", f"--basetemp={folder / 'temp'}", TESTS / module]
    command.append(TESTS / "test_documentation.py")
    environ = {**os.environ, "WORKFLOW_RUNTIME_LIBRARY": library}
    done = subprocess.run(command, cwd=TESTS, env=environ, capture_output=True, text=True, check=False)
    if not report.exists():
        return [Outcome(module, f"pytest ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")]
    results = [_outcome(case) for case in ET.parse(report).iter("testcase")]
    return results or [Outcome(module, f"it has no tests:\n{done.stdout[-3000:]}")]


def _outcome(case: ET.Element) -> Outcome:
    troubles = [item for item in case if item.tag in ("failure", "error", "skipped")]
    text = "\n".join(f"{item.tag}: {item.get('message', '')}\n{item.text or ''}" for item in troubles)
    return Outcome(f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}", text)
