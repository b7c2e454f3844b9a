"""What a program stored is read by the module that it is, and by ``wfr``; and the other way round."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from dataclasses import dataclass
from workflow_runtime import Step, StepInput, Workflow
import msgspec

@dataclass
class Order:
    item: str
    count: int = 1

class Total(msgspec.Struct):
    price: int

def price(step_input: StepInput) -> Total:
    return Total(20 * step_input.input.count)

def pay(step_input: StepInput) -> str:
    return f"paid {step_input.previous_step_content.price}"

def build() -> Workflow:
    steps = [price, Step("pay", executor=pay, requires_confirmation=True)]
    return Workflow(name="Shop", id="shop", steps=steps, db="sqlite:///app.db")

workflow = build()

if __name__ == "__main__":
    if sys.argv[1] == "start":
        workflow.run(Order("lamp", 2), run_id=sys.argv[2])
    else:
        output = workflow.get_run(sys.argv[2])
        (question,) = output.step_requirements
        question.confirm()
        print(workflow.continue_run(run_id=sys.argv[2], step_requirements=[question]).content)
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "shop_app.py").write_text(PROGRAM)
    (tmp_path / "start.py").write_text(
        "import sys, shop_app\nshop_app.workflow.run(shop_app.Order('lamp', 2), run_id=sys.argv[1])\n"
    )
    return tmp_path


def run(here: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(here), *sys.path])
    return subprocess.run(
        [sys.executable, *command],
        cwd=here,
        env={**os.environ, "PYTHONPATH": path, "WFR_DB": "sqlite:///app.db", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def wfr(here: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return run(here, "-m", "workflow_runtime.cli", *command)


def test_a_program_goes_on_with_what_it_stored_where_it_was_imported(here: Path) -> None:
    assert run(here, "start.py", "r").returncode == 0
    done = run(here, "shop_app.py", "continue", "r")
    assert done.stdout == "paid 40\n", done.stderr


def test_wfr_lists_what_a_program_stored_and_goes_on_with_it_by_its_file(here: Path) -> None:
    assert run(here, "shop_app.py", "start", "r").returncode == 0
    listed = wfr(here, "runs")
    assert listed.returncode == 0, listed.stderr
    assert "unreadable" in listed.stdout
    assert "__main__:Order" in listed.stdout
    (row,) = json.loads(wfr(here, "runs", "--json").stdout)
    assert row["unreadable"].startswith("input: __main__:Order: ")
    shown = wfr(here, "show", "r")
    assert shown.returncode == 0, shown.stderr
    assert "<unreadable __main__:Total: " in shown.stdout
    found = json.loads(wfr(here, "show", "r", "--json").stdout)
    assert found["input"]["unreadable"] == "__main__:Order"
    assert found["input"]["data"] == {"item": "lamp", "count": 2}
    assert wfr(here, "answer", "r", "--yes").returncode == 0
    done = wfr(here, "continue", "shop_app.py:workflow", "r")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "paid 40" in done.stdout


def test_a_program_reads_what_it_stored_itself(here: Path) -> None:
    assert run(here, "shop_app.py", "start", "r").returncode == 0
    done = run(here, "shop_app.py", "continue", "r")
    assert done.stdout == "paid 40\n", done.stderr
    again = run(here, "-m", "shop_app", "start", "r2")
    assert again.returncode == 0, again.stderr
    assert run(here, "-m", "shop_app", "continue", "r2").stdout == "paid 40\n"
