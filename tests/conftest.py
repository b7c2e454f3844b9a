"""What all tests share: the event loops, the databases, one verb for all modes, and a watch for blocked event loops."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import blockbuster.blockbuster as blocking
import hypothesis
import pytest
from blockbuster import blockbuster_ctx
from nats_servers import NatsServer, nats_server
from servers import TestServer, postgres_server

from workflow_runtime import BaseDb, InMemoryDb
from workflow_runtime.backends import SqliteDb
from workflow_runtime.engine.loop.process import current

pytest.register_assert_rewrite("verbs")  # before the import, or its asserts would not say what they compared

from verbs import Verb  # noqa: E402

ASYNCIO = pytest.param(("asyncio", {}), id="asyncio")
UVLOOP = pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")
TRIO = pytest.param(("trio", {}), id="trio")

# "default" is what CI runs, the same examples each time. "quick" is for a look while one works, "explore" finds new
# examples: HYPOTHESIS_PROFILE=explore.
_COMMON: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
}
hypothesis.settings.register_profile("quick", max_examples=20, derandomize=True, **_COMMON)
hypothesis.settings.register_profile("default", max_examples=200, derandomize=True, **_COMMON)
hypothesis.settings.register_profile("explore", max_examples=1000, **_COMMON)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(params=[ASYNCIO, UVLOOP, TRIO])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Each async test runs on every event loop that can run it."""
    return request.param


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SqliteDb]:
    """A database file."""
    database = SqliteDb(tmp_path / "runs.db")
    yield database
    anyio.run(database.aclose)


@pytest.fixture(scope="session")
def postgres() -> Iterator[TestServer]:
    """A real PostgreSQL, started when the first test asks for it: ``postgres.new_database()`` gives a URL."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A real NATS server with JetStream, started when the first test asks for it. Tests use prefixes of their own."""
    with nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture(params=["memory", "sqlite"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BaseDb]:
    """Each behaviour that stores something is shown on both databases."""
    if request.param == "memory":
        yield InMemoryDb()
        return
    database = SqliteDb(tmp_path / "runs.db")
    yield database
    anyio.run(database.aclose)


@pytest.fixture(params=["memory-asyncio", "memory-trio", "sqlite-uvloop"])
def verb(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Verb]:
    """``verb(make, input)``: one behaviour in every mode, compared. See verbs.py."""
    kind, loop = request.param.split("-")
    opened: list[SqliteDb] = []

    def database() -> BaseDb:
        if kind == "memory":
            return InMemoryDb()
        opened.append(SqliteDb(tmp_path / f"runs{len(opened)}.db"))
        return opened[-1]

    yield Verb(database, "trio" if loop == "trio" else "asyncio", {"use_uvloop": True} if loop == "uvloop" else {})
    for found in opened:
        anyio.run(found.aclose)


@pytest.fixture(autouse=True)
def _no_runs_of_other_tests() -> Iterator[None]:
    """A process remembers the background runs that no database keeps: each test may give its own runs any id."""
    yield
    current().finished.clear()


@pytest.fixture(autouse=True)
def _no_blocked_loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test in which this package blocks an asyncio loop, also where the error it gets for it was swallowed."""
    caught: list[str] = []

    class Caught(blocking.BlockingError):
        def __init__(self, function: str) -> None:
            super().__init__(function)
            caught.append(function)

    monkeypatch.setattr(blocking, "BlockingError", Caught)
    with blockbuster_ctx(
        ["workflow_runtime", "workflow_runtime_sqlite", "workflow_runtime_postgres", "workflow_runtime_nats"]
    ) as watch:
        for function in watch.functions.values():
            # The driver looks for ~/.pgpass and for certificates there, once per connection.
            function.can_block_in("asyncpg/connect_utils.py", {"_parse_connect_arguments"})
            function.can_block_in("workflow_runtime_sqlite/location.py", {"locate"})  # a path made absolute, once
            function.can_block_in(
                "workflow_runtime_sqlite/errors.py", {"translate"}
            )  # looks at a file that was not opened
            function.can_block_in(
                "server/inspector/assets.py", {"_assets"}
            )  # files of the wheel, once, as an app is made
            function.can_block_in("executors/registry.py", {"_entry_points"})  # what is installed, once per process
            function.can_block_in("engine/loop/portal.py", {"call", "portal_loop"})  # what they are for
            function.can_block_in(
                "engine/bus/failures.py", {"traceback_text"}
            )  # source lines, as a logged traceback reads
            function.can_block_in("logging/__init__.py", {"emit"})  # where a log goes is its user's choice
        yield
    assert not caught, f"the event loop was blocked by {', '.join(caught)}"


@pytest.fixture
def until() -> Callable[..., Any]:
    """``await until(lambda: condition)``: let other tasks run until the condition holds; fails after 5 seconds."""

    async def wait(condition: Callable[[], Any]) -> None:
        with anyio.fail_after(60):
            while not condition():
                await anyio.lowlevel.checkpoint()

    return wait
