"""Each subscriber of a run's bus does one thing, each kind of signal has one handler, and the table in docs/architecture.md
says so. (D1, D2, D4)"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, get_args
from uuid import uuid4

import anyio
import pytest

from workflow_runtime import InMemoryDb, RunContext, Step, StepInput, Workflow
from workflow_runtime.engine.bus.projector import Projector
from workflow_runtime.engine.bus.recorder import Recorder
from workflow_runtime.engine.bus.signals import Answered, Cancel, Evict, Fail, Release, Signal
from workflow_runtime.engine.run.canceller import Canceller
from workflow_runtime.engine.run.execution import Execution
from workflow_runtime.engine.run.host import find_live
from workflow_runtime.engine.run.people import People

pytestmark = pytest.mark.anyio
ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"
SIGNALS = get_args(Signal)


class Seen:
    """A workflow of one step that notes who its run's events and signals go to."""

    def __init__(self, stored: bool) -> None:
        self.strict: list[type] = []
        self.told: list[type] = []
        self.readers: list[str] = []
        self.observers = 0
        self.workflow = Workflow(
            name="w",
            steps=[Step("look", executor=self.look)],
            db=InMemoryDb() if stored else None,
            debug_mode=True,
            telemetry=False,
        )

    def look(self, step_input: StepInput, run_context: RunContext) -> str:
        run = find_live(str(run_context.run_id))
        assert run is not None
        self.strict = [type(getattr(subscriber, "__self__", None)) for subscriber in run.bus.strict]
        self.told = [type(subscriber) for subscriber in run.bus.told]
        self.readers = [reader.policy for reader in run.bus.readers]
        self.observers = len(run.bus.observers)
        return "looked"


async def awaited(workflow: Workflow, run_id: str) -> None:
    await workflow.arun("x", run_id=run_id)


async def streamed(workflow: Workflow, run_id: str) -> None:
    async for _ in workflow.arun("x", run_id=run_id, stream=True):
        pass


async def in_background(workflow: Workflow, run_id: str) -> None:
    await workflow.arun("x", run_id=run_id, background=True)
    while (run := find_live(run_id)) is not None:
        await run.wait_ended()


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize(("mode", "readers"), [(awaited, []), (streamed, ["block"]), (in_background, [])])
async def test_the_modes_of_a_run_differ_in_its_readers_only(
    mode: Callable[[Workflow, str], Any], readers: list[str], stored: bool
) -> None:
    seen = Seen(stored)
    with anyio.fail_after(60):
        await mode(seen.workflow, uuid4().hex)  # a name of its own: the process remembers it
    assert seen.strict == ([Recorder, Projector] if stored else [Projector])
    assert seen.told == [Canceller, People]
    assert seen.readers == readers
    assert seen.observers == 1


def test_each_kind_of_signal_has_one_handler() -> None:
    handled = [kind for subscriber in (Canceller, People) for kind in subscriber.handles]
    assert sorted(kind.__name__ for kind in handled) == sorted(kind.__name__ for kind in SIGNALS)


def _rows() -> dict[str, list[str]]:
    """By subscriber: the cells of its row in the table of the document."""
    text = ARCHITECTURE.read_text().partition("## Subscribers\n")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| **")
    ]
    return {row[0].strip("*"): row[1:] for row in rows}


def test_the_table_of_the_architecture_names_the_handlers_and_their_files() -> None:
    rows = _rows()
    assert list(rows) == ["recorder", "projector", "canceller", "people", "observers", "readers"]
    told = {name: set(re.findall(r"`([A-Z]\w+)`", cells[1])) for name, cells in rows.items()}
    for name, subscriber in (("canceller", Canceller), ("people", People)):
        assert told.pop(name) == {kind.__name__ for kind in subscriber.handles}
    assert not any(told.values())
    for cells in rows.values():
        files = re.findall(r"`([\w/]+\.py)`", cells[2])
        assert files
        assert all((ARCHITECTURE.parents[1] / "workflow_runtime" / "engine" / file).is_file() for file in files)


@pytest.mark.parametrize(
    ("signal", "send"),
    [
        (Cancel("why"), lambda run: run.cancel("why")),
        (Fail(KeyError("x")), None),
        (Evict(), lambda run: run.evict()),
        (Answered([]), lambda run: run.answered([])),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, SIGNALS) else "",
)
async def test_what_is_said_to_a_run_goes_through_its_bus(signal: Any, send: Callable[[Execution], Any] | None) -> None:
    told: list[Any] = []

    class Listener:
        handles: ClassVar[dict[type, Any]] = {kind: lambda self, run, said: told.append(said) for kind in SIGNALS}

    async def step(step_input: StepInput, run_context: RunContext) -> None:
        run = find_live(str(run_context.run_id))
        assert run is not None
        subscribers, run.bus.told = run.bus.told, (Listener(),)
        (send or (lambda run: run.fail(signal.error)))(run)
        run.bus.told = ()
        with pytest.raises(TypeError, match=r"no subscriber of run .* handles"):
            run.bus.signal(run, signal)
        run.bus.told = subscribers

    await Workflow(name="w", steps=[step]).arun("x")
    assert told == [signal]


async def test_release_goes_through_the_bus_and_gives_the_lease_up() -> None:
    assert Canceller.handles[Release] is Canceller.handles[Evict]
    waiting = anyio.Event()

    async def step(step_input: StepInput) -> None:
        waiting.set()
        await anyio.sleep_forever()

    db = InMemoryDb()
    workflow = Workflow(name="w", steps=[step], db=db)
    with anyio.fail_after(60):
        await workflow.arun("x", run_id="r", background=True)
        await waiting.wait()
        run = find_live("r")
        assert run is not None
        await run.release()
    row = await db.load_run("r")
    assert row is not None
    assert row.expired
