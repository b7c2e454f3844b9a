"""What the tests of the reference page share: databases, and each verb as its sync and its async twin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from workflow_runtime import BaseDb, InMemoryDb
from workflow_runtime.backends import SqliteDb

from .helpers import MODES, Api, Launch


@pytest.fixture(scope="session", autouse=True)
def _no_log_file_of_pytest(request: pytest.FixtureRequest) -> None:
    """pytest writes every record to /dev/null as well, which the watch for blocked loops takes for our doing."""
    plugin = request.config.pluginmanager.get_plugin("logging-plugin")
    assert plugin is not None
    plugin.log_file_handler.setLevel(100)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SqliteDb]:
    """A database file."""
    database = SqliteDb(tmp_path / "runs.db")
    yield database
    anyio.run(database.aclose)


@pytest.fixture(params=["memory", "sqlite"])
def db(request: pytest.FixtureRequest) -> BaseDb:
    """Every behaviour that stores something is shown on both."""
    if request.param == "memory":
        return InMemoryDb()
    found: BaseDb = request.getfixturevalue("sqlite")
    return found


@pytest.fixture(params=["sync", "async"])
def api(request: pytest.FixtureRequest) -> Api:
    """The verbs of a workflow, or their a-twins: ``api(wf).get_run(run_id)``."""
    return Api(request.param)


@pytest.fixture(params=MODES)
def launch(request: pytest.FixtureRequest) -> Launch:
    """A run in each of the modes: ``launch(wf, "input", session_id="s")`` gives its output."""
    return Launch(request.param)
