"""The command, run in this process: ``wfr("runs", "--json")``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from workflow_runtime.cli.app import app
from workflow_runtime.cli.source import ENV

HERE = Path(__file__).parent


@dataclass
class Said:
    """What a command left: its exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Wfr = Callable[..., Said]


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that the commands find in their environment."""
    found = f"sqlite:///{tmp_path / 'runs.db'}"
    monkeypatch.setenv(ENV, found)
    return found


@pytest.fixture
def wfr(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wfr]:
    monkeypatch.chdir(HERE)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "path", [str(HERE), *sys.path])

    def run(*arguments: str, input: str = "") -> Said:
        sys.modules.pop("flows", None)  # each command imports it, as in a process of its own
        found = CliRunner().invoke(app, list(arguments), input=input, prog_name="wfr")
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        return Said(found.exit_code, found.stdout, found.stderr)

    yield run
    sys.modules.pop("flows", None)
