"""print_response in a notebook: one output that is replaced, the rest below it. The notebook itself is faked."""

from __future__ import annotations

import io
import sys
from types import ModuleType
from typing import Any

import anyio
import pytest
from rich.console import Console

from workflow_runtime import InMemoryDb, Step, StepInput, Workflow
from workflow_runtime.console.response import respond

pytestmark = pytest.mark.anyio


class Cell:
    """What stands below a cell: HTML texts, in order; a handle replaces its own."""

    def __init__(self) -> None:
        self.outputs: list[str] = []
        self.updates = 0

    def display(self, shown: Any, display_id: bool = False) -> Any:
        self.outputs.append(shown._repr_html_())
        place, cell = len(self.outputs) - 1, self

        class Handle:
            def update(self, shown: Any) -> None:
                cell.outputs[place] = shown._repr_html_()
                cell.updates += 1

        return Handle() if display_id else None


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    found = Cell()
    module = ModuleType("IPython.display")
    module.display = found.display  # type: ignore[attr-defined]  # a stand-in
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return found


async def shout(step_input: StepInput) -> str:
    return str(step_input.input).upper() + " <script>"


async def slow(step_input: StepInput) -> str:
    await anyio.sleep(0.6)
    return "done"


def console() -> Console:
    return Console(force_jupyter=True, file=io.StringIO())


async def test_a_cell_shows_the_tree_in_one_place_and_the_answer_below(cell: Cell) -> None:
    await respond(Workflow(name="W", steps=[shout, slow]), "hi", console=console())
    head, tree, step, answer = cell.outputs
    assert "hi" in head
    assert "✔" in tree
    assert "shout" in tree
    assert "HI &lt;script&gt;" in step
    assert "Completed" in answer
    assert cell.updates >= 2
    assert "<script>" not in "".join(cell.outputs)
    assert "\x1b" not in "".join(cell.outputs)


async def test_a_pause_in_a_notebook_says_how_to_continue(cell: Cell) -> None:
    ask = Step(name="publish", executor=shout, requires_confirmation=True, confirmation_message="Publish it?")
    output = await respond(Workflow(name="W", steps=[ask], db=InMemoryDb()), "hi", console=console())
    assert output.is_paused
    assert "Publish it?" in cell.outputs[-1]
    assert "wfr answer" in cell.outputs[-1]


async def test_a_failure_in_a_notebook_is_shown_and_raised(cell: Cell) -> None:
    async def fail(step_input: StepInput) -> None:
        raise ValueError("no <b>good</b>")

    with pytest.raises(ValueError, match="good"):
        await respond(Workflow(name="W", steps=[Step(name="s", executor=fail)]), "hi", console=console())
    assert "ValueError: " in cell.outputs[-1]
    assert "no &lt;b&gt;good&lt;/b&gt;" in cell.outputs[-1]
