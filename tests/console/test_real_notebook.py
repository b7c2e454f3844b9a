"""A notebook with a real kernel: what its cells show of a workflow, of a run and of print_response."""

from __future__ import annotations

import json
import re
import sys
from html import unescape
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

SETUP = """
import asyncio
from workflow_runtime import Parallel, Step, Workflow

def find(step_input): return f"found <b>{step_input.input}</b>"
async def slow(step_input):
    await asyncio.sleep(0.6)
    return "**slow**"
def fail(step_input): raise ValueError("no <b>good</b>")
workflow = Workflow(name="Note", steps=[find, Step("slow", executor=slow)])
"""
CELLS = {
    "setup": SETUP,
    "picture": "workflow",
    "sync": "output = workflow.run('cats'); output",
    "async": "(await workflow.arun('cats')).content",
    "sync_print": "workflow.print_response('cats')",
    "async_print": "await workflow.aprint_response('dogs')",
    "paused": "pay = Step('pay', executor=find, requires_confirmation=True)\n"
    "Workflow(name='P', steps=[pay], db='sqlite:///paused.db').print_response('x')",
    "stream": "[event.event for event in workflow.run('cats', stream=True, stream_events=True)][-1]",
}


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """The outputs of each cell, as a notebook file has them."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS.values()])
    client(notebook, tmp_path_factory.mktemp("kernel")).execute()
    return dict(zip(CELLS, (cell.outputs for cell in notebook.cells), strict=True))


def client(notebook: Any, folder: Path) -> NotebookClient:
    """Runs on this interpreter, whatever kernels are installed."""
    spec = folder / "kernels" / "ours"
    spec.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "ours", "language": "python"}))
    found = NotebookClient(notebook, kernel_name="ours", timeout=120, resources={"metadata": {"path": str(folder)}})
    manager = found.create_kernel_manager()
    manager.kernel_spec_manager = KernelSpecManager(kernel_dirs=[str(folder / "kernels")])
    return found


def html(outputs: list[Any]) -> str:
    return "\n".join(output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {}))


def words(outputs: list[Any]) -> str:
    """What a person reads of it."""
    return unescape(re.sub(r"<[^>]*>", "", html(outputs)))


def test_a_workflow_is_a_picture_and_text(cells: dict[str, list[Any]]) -> None:
    (shown,) = cells["picture"]
    assert shown["data"]["image/svg+xml"].startswith("<svg")
    assert "find" in shown["data"]["image/svg+xml"]
    assert shown["data"]["text/plain"] == "Workflow('Note', 2 steps)"


def test_a_run_is_a_table_and_runs_inside_the_notebooks_loop(cells: dict[str, list[Any]]) -> None:
    (shown,) = cells["sync"]
    assert "COMPLETED" in shown["data"]["text/html"]
    assert "found &lt;b&gt;cats&lt;/b&gt;" in shown["data"]["text/html"]
    assert cells["async"][0]["data"]["text/plain"] == "'**slow**'"
    assert cells["stream"][0]["data"]["text/plain"] == "'WorkflowCompleted'"


@pytest.mark.parametrize("cell", ["sync_print", "async_print"])
def test_print_response_shows_the_run_in_place_and_the_answer_below(cells: dict[str, list[Any]], cell: str) -> None:
    shown = words(cells[cell])
    assert re.search(r"✔ find +\d+ms", shown)
    assert "Completed in" in shown
    assert "found <b>" in shown
    assert "found <b>" not in html(cells[cell])
    assert "\x1b" not in json.dumps(cells[cell])
    assert not [output for output in cells[cell] if output["output_type"] == "stream"]


def test_a_pause_says_how_to_continue(cells: dict[str, list[Any]]) -> None:
    assert "continue_run" in words(cells["paused"])


def test_a_failure_is_shown_and_raised_in_its_cell(tmp_path: Path) -> None:
    text = f"{SETUP}\nWorkflow(name='F', steps=[find, fail]).print_response('x')"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text)])
    with pytest.raises(CellExecutionError):
        client(notebook, tmp_path).execute()
    *shown, raised = notebook.cells[0].outputs
    assert (raised["ename"], raised["evalue"]) == ("ValueError", "no <b>good</b>")
    assert "at fail  (1.fail)" in words(shown)
