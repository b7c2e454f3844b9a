"""Fixtures for pytest, there wherever this package is installed (entry point ``pytest11``).

``workflow_store``: a database for this test alone. ``fake_clock``: a clock that the test moves. ``recorded_events``: a run
with all its events. ``run_to_pause``: a run up to where it waits for a person. The last two have a-twins for tests that
are async (anyio's plugin runs those; pytest-asyncio is not needed).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:  # imported where they are used: the plugin is loaded by every pytest that finds this package
    from .. import BaseDb, Event, Workflow, WorkflowRunOutput
    from .clock import FakeClock

__all__ = ["Recorded"]

_E = TypeVar("_E", bound="Event")


@dataclass
class Recorded:
    """One run: its ``events`` in order, what it left, and what it raised (None where it did not).

    ``output`` is None when the run was refused before it began.
    """

    events: list[Event] = field(default_factory=list)
    output: WorkflowRunOutput | None = None
    error: Exception | None = None

    @property
    def names(self) -> list[str]:
        """The events' names, such as ``StepCompleted``."""
        return [event.event for event in self.events]

    def of(self, kind: type[_E]) -> list[_E]:
        """The events of one class."""
        return [event for event in self.events if isinstance(event, kind)]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("workflow_runtime").addoption(
        "--workflow-store",
        choices=("memory", "sqlite"),
        default="memory",
        help="what the fixture workflow_store is: memory, or sqlite (a file in tmp_path; not for trio)",
    )


@pytest.fixture
def workflow_store(request: pytest.FixtureRequest) -> Iterator[BaseDb]:
    """An empty database for ``Workflow(db=...)``: in memory, or with ``--workflow-store sqlite`` a file.

    Override it in a conftest to test on another database.
    """
    if request.config.getoption("--workflow-store") == "memory":
        from .. import InMemoryDb

        yield InMemoryDb()
        return
    import anyio

    from ..backends import SqliteDb

    folder: Path = request.getfixturevalue("tmp_path")
    db = SqliteDb(folder / "workflow_store.db")
    yield db
    anyio.run(db.aclose)


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock for ``Workflow(clock=...)`` that stands still until the test calls ``advance``."""
    from .clock import FakeClock

    return FakeClock()


@pytest.fixture
def recorded_events() -> Callable[..., Recorded]:
    """``recorded_events(workflow.run, "input", ...)``: call the verb as a stream, and keep everything it yields.

    A run that fails does not raise: its exception is ``error``. For ``run`` and ``continue_run``.
    """

    def record(verb: Callable[..., Any], *args: Any, **options: Any) -> Recorded:
        found = Recorded()
        try:
            stream = verb(*args, stream=True, stream_events=True, **options)
            for event in stream:
                found.events.append(event)
            found.output = stream.result()
        except Exception as error:
            _failed(found, error)
        return found

    return record


@pytest.fixture
def arecorded_events() -> Callable[..., Awaitable[Recorded]]:
    """The async twin of ``recorded_events``: ``await arecorded_events(workflow.arun, "input")``."""

    async def record(verb: Callable[..., Any], *args: Any, **options: Any) -> Recorded:
        found = Recorded()
        try:
            stream = await verb(*args, stream=True, stream_events=True, **options)
            async for event in stream:
                found.events.append(event)
            found.output = await stream.result()
        except Exception as error:
            _failed(found, error)
        return found

    return record


@pytest.fixture
def run_to_pause() -> Callable[..., WorkflowRunOutput]:
    """``run_to_pause(workflow, "input", ...)``: the paused output. A run that ends otherwise fails the test."""

    def run(workflow: Workflow, *args: Any, **options: Any) -> WorkflowRunOutput:
        return _paused(workflow.run(*args, stream=False, **options))

    return run


@pytest.fixture
def arun_to_pause() -> Callable[..., Awaitable[WorkflowRunOutput]]:
    """The async twin of ``run_to_pause``."""

    async def run(workflow: Workflow, *args: Any, **options: Any) -> WorkflowRunOutput:
        return _paused(await workflow.arun(*args, stream=False, **options))

    return run


def _failed(found: Recorded, error: Exception) -> None:
    found.error = error
    found.output = getattr(error, "run_output", None)


def _paused(output: WorkflowRunOutput) -> WorkflowRunOutput:
    if not output.is_paused:
        done = ", ".join(str(step.step_name) for step in output.step_results) or "none"
        pytest.fail(
            f"the run did not pause: it ended as {output.status.value} with {output.content!r}; finished steps: {done}",
            pytrace=False,
        )
    return output
